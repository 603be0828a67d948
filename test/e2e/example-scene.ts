/**
 * The rooms of an example on real servers, under messages of the campus network: what is told in a folder of examples/ works, whatever is mixed in it. Afterwards nothing acked may be
 * missing, every room must hold key by key, and every database row by row, what the messages say, computed apart, and no checker may ever have reported a drift.
 */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { after } from 'node:test';
import { asEntry } from '../../examples/messages/demo/verify.ts';
import { compareCache, compareRows } from '../../examples/messages/expected.ts';
import type { Row } from '../../store/database.ts';
import { Messages } from '../faults/messages.ts';
import { type ExampleOptions, exampleRooms } from '../harness/example-rooms.ts';
import { type Daemon, Rooms } from '../harness/rooms.ts';
import { Scene, scratch, until } from './scene.ts';
import { none, QUICK_CHECKER, WatchedCheckers } from './watched-checkers.ts';

const CHECKER = `\nchecker: ${JSON.stringify(QUICK_CHECKER)}\n`;
const MESSAGES = 1_000;
const MESSAGES_PER_SECOND = 300;
const VERIFY_MS_MAX = 120_000;
const FILE = new URL('../../examples/messages/CollegeMsg.txt', import.meta.url);

export interface ExampleSceneOptions extends Pick<ExampleOptions, 'name' | 'servers' | 'mode'> {
  /** Commands before the daemons are started, each with the place of its room. */
  readonly prepare: readonly (readonly [room: number, ...args: string[]])[];
  /** The checkers look on from the beginning; default: they are started when everything is submitted, which is less work for the machine. */
  readonly watched?: boolean;
  /** Rows of a database that is no file. */
  readonly rowsOf?: Readonly<Record<string, () => Promise<readonly Row[]>>>;
}

export class ExampleScene {
  readonly scene: Scene;
  readonly messages: Messages;
  readonly #options: ExampleSceneOptions;
  readonly #checkers: WatchedCheckers;

  private constructor(scene: Scene, options: ExampleSceneOptions) {
    const { clients } = scene;
    this.scene = scene;
    this.#options = options;
    this.#checkers = new WatchedCheckers(clients);
    this.messages = new Messages({ clients, text: someMessages(), perSecond: MESSAGES_PER_SECOND, refusedFor: undefined });
    after(() => this.messages.stop());
  }

  /** All daemons are ready, and messages come into every room. It ends with the file's tests. */
  static async open(options: ExampleSceneOptions): Promise<ExampleScene> {
    const directory = scratch();
    const rooms = await exampleRooms({ ...options, directory, more: CHECKER });
    const daemons: readonly Daemon[] = ['reship', 'collector', ...(options.watched ? (['checker'] as const) : [])];
    const scene = Scene.of(Rooms.of(rooms, daemons), directory);
    for (const [room, ...args] of options.prepare) {
      const { code, stdout, stderr } = await scene.wmb(room, ...args);
      assert.equal(code, 0, `wmb ${args.join(' ')}: ${stdout}${stderr}`);
    }
    await scene.rooms.startAll();
    return new ExampleScene(scene, options);
  }

  /** One daemon after the other dies in the middle of the messages, and is started again. */
  async killed(...daemons: readonly (readonly [room: number, daemon: Daemon])[]): Promise<void> {
    for (const [room, daemon] of daemons) {
      await this.messages.more(150);
      await this.scene.restart(room, daemon, 'SIGKILL');
    }
  }

  async proves(): Promise<void> {
    await this.messages.end();
    const { rooms } = this.scene;
    if (!this.#options.watched) await Promise.all(rooms.rooms.map((room) => rooms.start(room, 'checker')));
    await this.scene.settled();
    const { clients } = this.scene;
    const databases = clients.filter(({ room }) => room.database !== 'none').map(({ room }) => room);
    const rows = () => Promise.all(databases.map(async ({ id }) => [id, await this.#rows(id)] as const));
    await until('all databases have all rows', async () => (await rows()).every(([, { length }]) => length === MESSAGES), VERIFY_MS_MAX);
    const stored = await rows();
    const expected = this.messages.expected(new Map(stored[0]?.[1].map((row) => [String(row.id), String(row.wmb_stamp)])));
    for (const [id, of] of stored) none(`the database of ${id}`, compareRows(expected, of));
    for (const client of clients)
      none(`the cache of ${client.room.id}`, compareCache(expected, [...(await client.dump()).values()].map(asEntry)));
    await this.scene.equalRooms();
    await this.#checkers.areSilent();
    // Before their servers: daemons that stop have something to say to them.
    await this.scene.rooms.stop();
  }

  async #rows(room: string): Promise<readonly Row[]> {
    const ofServer = this.#options.rowsOf?.[room];
    if (ofServer !== undefined) return ofServer();
    const database = new DatabaseSync(join(this.scene.directory, 'data', room, 'database', 'database.db'), { readOnly: true });
    try {
      return database.prepare('SELECT * FROM messages ORDER BY id').all() as Row[];
    } finally {
      database.close();
    }
  }
}

/** After the line with the titles. */
function someMessages(): string {
  return readFileSync(FILE, 'utf8')
    .split('\n')
    .slice(0, MESSAGES + 1)
    .join('\n');
}
