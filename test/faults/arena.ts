/**
 * Rooms on real servers, with traffic running, for one story of a fault: the rooms' daemons are processes of their own, every server is a container, and a
 * proxy stands before each server and between the rooms. After the story {@link Arena.proves} says what has to hold: nothing acked is missing, both rooms are equal
 * key by key and row by row and hold what the messages say, computed apart, and no checker ever reported a drift.
 */
import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import { whyNotVerified } from '../../bench/soak/rest.ts';
import { Watch } from '../../bench/soak/watch.ts';
import { wmb } from '../../cli/testing.ts';
import { asEntry } from '../../examples/messages/demo/verify.ts';
import { compareCache, compareRows } from '../../examples/messages/expected.ts';
import { allSettled, RoomClients } from '../harness/clients.ts';
import { COMPILED_ONCE, type Daemon, Rooms, type RunningRoom } from '../harness/rooms.ts';
import { Messages } from './messages.ts';
import { RoomServers, SCHEMA } from './servers.ts';
import { SmallDisk } from './small-disk.ts';
import { compareKeys } from './state.ts';

export const CHECKER = { roundMs: 500, graceMs: 2_000, sweepMs: 10_000, canaryMs: 500, silenceMsMax: 5_000 };
const LINK = { pulseMs: 200, silenceMsMax: 2_000, reconnectMsMin: 20, reconnectMsMax: 500 };
const SETTLE_MS_MAX = 300_000;
const VERIFY_MS_MAX = 300_000;
const POLL_MS = 200;
const SHOWN_MAX = 8;
const EXAMPLE = new URL('../../examples/messages/', import.meta.url).pathname;
const DB_PASSWORD = 'WMB_TEST_DB_PASSWORD';
const AHEAD = new URL('ahead.ts', import.meta.url).pathname;
const DAEMONS: readonly Daemon[] = ['reship', 'collector', 'checker'];

export interface ArenaOptions {
  /** How many of the messages are submitted (default 3,000), and how many a second into all rooms together (default 300). */
  readonly messages?: number;
  readonly perSecond?: number;
  readonly mode?: 'independent' | 'master-slave';
  /** Flags of every Redis server. */
  readonly redisFlags?: readonly string[];
  /** The daemons of the first room see a clock that is so far ahead. */
  readonly clockAheadMs?: number;
  /** The first room's write log has a small disk of its own. */
  readonly smallLogDisk?: boolean;
}

interface ArenaParts {
  readonly rooms: Rooms;
  readonly servers: readonly RoomServers[];
  readonly directory: string;
  readonly disk: SmallDisk | undefined;
}

export class Arena {
  readonly rooms: Rooms;
  readonly servers: readonly RoomServers[];
  readonly clients: readonly RoomClients[];
  readonly directory: string;
  readonly #disk: SmallDisk | undefined;
  readonly #options: ArenaOptions;
  #messages: Messages | undefined;
  #watch: Watch | undefined;
  readonly #falseOnes: string[] = [];
  #isProven = false;

  private constructor(options: ArenaOptions, parts: ArenaParts) {
    this.#options = options;
    this.rooms = parts.rooms;
    this.servers = parts.servers;
    this.directory = parts.directory;
    this.#disk = parts.disk;
    this.clients = parts.rooms.rooms.map((room) => new RoomClients(room));
  }

  #begin(): void {
    const { messages = 3_000, perSecond = 300 } = this.#options;
    this.#watch = new Watch(this.clients, (drift) =>
      this.#falseOnes.push(`${drift.kind} ${drift.subject} in ${drift.wrong}: ${drift.why}`),
    );
    this.#messages = new Messages({ clients: this.clients, text: someMessages(messages), perSecond });
  }

  get messages(): Messages {
    return given(this.#messages);
  }

  /** Two rooms that are ready, with traffic. Everything ends with the test. */
  static async open(t: TestContext, options: ArenaOptions = {}): Promise<Arena> {
    const directory = mkdtempSync(join(tmpdir(), 'wmb-faults-'));
    const servers = await Promise.all([0, 1].map((place) => RoomServers.start(place, options.redisFlags ?? [])));
    t.after(() => Promise.all(servers.map((each) => each.remove())));
    // Daemons and the command line take it from the environment.
    process.env[DB_PASSWORD] = servers[0]?.mysql.password;
    const rooms = await Rooms.prepare({
      count: 2,
      mode: options.mode ?? 'independent',
      directory,
      daemons: DAEMONS,
      processorFile: join(EXAMPLE, 'processor.ts'),
      topologySettings: { databases: 'mysql' },
      roomSettings: (room) => ({ link: LINK, checker: CHECKER, ...settingsOf(room, servers) }),
    });
    process.once('exit', () => rooms.killAll());
    const disk = options.smallLogDisk === true ? SmallDisk.mount(join(rooms.room(0).directory, 'writes')) : undefined;
    await prepareDatabases(rooms);
    const arena = new Arena(options, { rooms, servers, directory, disk });
    t.after(() => arena.#close(t));
    await Promise.all(rooms.rooms.flatMap((_, place) => DAEMONS.map((daemon) => arena.start(place, daemon))));
    arena.#begin();
    return arena;
  }

  room(place: number): RunningRoom {
    return this.rooms.room(place);
  }

  server(place: number): RoomServers {
    const servers = this.servers[place];
    if (servers === undefined) throw new Error(`there is no room ${place}`);
    return servers;
  }

  client(place: number): RoomClients {
    const client = this.clients[place];
    if (client === undefined) throw new Error(`there is no room ${place}`);
    return client;
  }

  /** Ends a daemon and starts it again. */
  async restart(place: number, daemon: Daemon, signal: NodeJS.Signals, downMs = 500): Promise<void> {
    await this.rooms.end(this.room(place), daemon, signal);
    await pause(downMs);
    await this.start(place, daemon);
  }

  start(place: number, daemon: Daemon): Promise<void> {
    const { clockAheadMs = 0 } = this.#options;
    const options = place === 0 && clockAheadMs > 0 ? { main: AHEAD, env: { WMB_TEST_AHEAD_MS: String(clockAheadMs) } } : {};
    return this.rooms.start(this.room(place), daemon, options);
  }

  get disk(): SmallDisk {
    return given(this.#disk);
  }

  pause(ms: number): Promise<void> {
    return pause(ms);
  }

  /** Waits until `probe` is true. */
  async until(what: string, probe: () => Promise<boolean>, waitMsMax = VERIFY_MS_MAX): Promise<void> {
    for (const deadline = Date.now() + waitMsMax; ; await pause(POLL_MS)) {
      if (await probe().catch(() => false)) return;
      assert.ok(Date.now() < deadline, `in vain waited ${waitMsMax} ms until ${what}`);
    }
  }

  /** Everything is submitted and acked, and all of it is where it belongs. */
  async proves(): Promise<void> {
    await this.messages.end();
    await allSettled(this.clients, SETTLE_MS_MAX);
    const dumps = await Promise.all(this.clients.map((client) => client.dump()));
    const [master, slave] = this.servers as readonly [RoomServers, RoomServers];
    await this.until('the slave database has everything', async () => (await slave.rows()).length === (await master.rows()).length);
    const expected = this.messages.expected(new Map((await master.rows()).map((row) => [String(row.id), String(row.wmb_stamp)])));
    for (const [place, dump] of dumps.entries()) {
      const { id } = this.room(place);
      none(`the cache of ${id} against what the messages say`, compareCache(expected, [...dump.values()].map(asEntry)));
      none(`plain reads of ${id}’s Redis`, await compareKeys(this.server(place), dump));
      none(`the database of ${id} against what the messages say`, compareRows(expected, await this.server(place).rows()));
    }
    assert.deepEqual(dumps[1], dumps[0], 'the caches of the two rooms');
    await this.#verified();
    await given(this.#watch).stop();
    none('drifts that nobody made', this.#falseOnes);
    this.#isProven = true;
  }

  async #verified(): Promise<void> {
    const sinceMs = Date.now() + CHECKER.graceMs;
    let reasons: readonly string[] = ['nothing was asked'];
    const isVerified = async () => {
      reasons = await whyNotVerified(this.clients, sinceMs);
      return reasons.length === 0;
    };
    await this.until('both rooms are verified', isVerified).catch((cause: Error) => {
      throw new Error(`${cause.message}: ${reasons.join('; ')}`);
    });
  }

  async #close(t: TestContext): Promise<void> {
    for (const client of this.clients) client.close();
    await this.rooms.stop();
    this.#disk?.unmount();
    if (this.#isProven) rmSync(this.directory, { recursive: true, force: true });
    else t.diagnostic(`logs and data are left in ${this.directory}`);
  }
}

function given<T>(value: T | undefined): T {
  if (value === undefined) throw new Error('this arena has none');
  return value;
}

function none(what: string, differences: readonly string[]): void {
  assert.deepEqual(differences.slice(0, SHOWN_MAX), [], `${what}: ${differences.length} differences`);
}

function someMessages(count: number): string {
  return readFileSync(join(EXAMPLE, 'CollegeMsg.txt'), 'utf8')
    .split('\n')
    .slice(0, count + 1)
    .join('\n');
}

function settingsOf(room: string, servers: readonly RoomServers[]): Readonly<Record<string, unknown>> {
  const place = room === 'beijing' ? 0 : 1;
  const { redisAddress, mysqlAddress, mysql } = servers[place] as RoomServers;
  const database = {
    ...{ adapter: 'mysql', address: mysqlAddress, name: SCHEMA, user: mysql.user, password: { env: DB_PASSWORD } },
    schemaFile: join(EXAMPLE, 'schema.sql'),
  };
  const replication = { source: servers[0]?.mysql.address, user: mysql.user, password: { env: DB_PASSWORD } };
  return {
    cache: { adapter: 'redis', nodes: [{ address: redisAddress }] },
    database: place === 0 ? database : { ...database, replication },
  };
}

/** As docs/mysql.md says, with the command line. */
async function prepareDatabases(rooms: Rooms): Promise<void> {
  const run = async (...args: string[]) => {
    const { code, stdout, stderr } = await wmb(args, { env: COMPILED_ONCE });
    assert.equal(code, 0, `wmb ${args.join(' ')}: ${stdout}${stderr}`);
  };
  await run('db', 'init', '--config', rooms.room(0).configFile);
  await run('db', 'replicate', '--apply', '--config', rooms.room(1).configFile);
}
