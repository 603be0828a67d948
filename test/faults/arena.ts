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
import { type Ended, wmb } from '../../cli/testing.ts';
import { EXIT } from '../../core/errors.ts';
import { asEntry } from '../../examples/messages/demo/verify.ts';
import { compareCache, compareRows } from '../../examples/messages/expected.ts';
import { Wait, type WriteRequest } from '../../proto/gen/wmb/v1/writes.ts';
import { until } from '../e2e/scene.ts';
import { allSettled, RoomClients } from '../harness/clients.ts';
import type { TcpProxy } from '../harness/proxy.ts';
import { COMPILED_ONCE, type Daemon, Rooms, type RunningRoom } from '../harness/rooms.ts';
import { Members, SHARES } from './members.ts';
import { Messages } from './messages.ts';
import type { Brokers } from './room-kafka.ts';
import { RoomServers, SCHEMA } from './servers.ts';
import { SmallDisk } from './small-disk.ts';
import { compareCaches, compareKeys } from './state.ts';

const CHECKER = {
  ...{ roundMs: 500, graceMs: 2_000, sweepMs: 10_000, canaryMs: 500, silenceMsMax: 5_000 },
  database: { roundMs: 500, workMsMax: 200 },
};
const LINK = { pulseMs: 200, silenceMsMax: 2_000, reconnectMsMin: 20, reconnectMsMax: 500 };
const SETTLE_MS_MAX = 300_000;
const VERIFY_MS_MAX = 300_000;
/** Submitted in all rooms together, unless a story needs more. */
const MESSAGES = 3_000;
const MESSAGES_PER_SECOND = 300;
const SHOWN_MAX = 8;
/** Frames from the first room, which are of its effect log where only it processes. */
export const INBOX = 'wmb.inbox.beijing.writes';
const EFFECTS_INBOX = 'wmb.inbox.beijing.effects';
const INBOX_RECORDS_MIN = 100;
const EXAMPLE = new URL('../../examples/messages/', import.meta.url).pathname;
const DB_PASSWORD = 'WMB_TEST_DB_PASSWORD';
const AHEAD = new URL('ahead.ts', import.meta.url).pathname;
/** What a checker says of a key whose write request nobody has any more. */
const NOT_IN_THE_LOG = /the write log of \S+ has nothing stamped .* any more/;
const DAEMONS: readonly Daemon[] = ['reship', 'collector', 'checker'];

export interface ArenaOptions {
  /** Flags of every Redis server. */
  readonly redisFlags?: readonly string[];
  /** Each room keeps its logs in a Kafka of its own, of so many brokers, or the first room alone. */
  readonly brokers?: Brokers | readonly [Brokers, Brokers | undefined];
  /** Default: independent. */
  readonly mode?: 'independent' | 'master-slave';
  /** Three collectors divide the partitions of each room. */
  readonly shared?: boolean;
  /** Three reships append to the first room's log, which is in Kafka, and messages go to each of them in turn. */
  readonly reships?: boolean;
  /** The link from the first room into the second is over mq, through the second's Kafka, which holds nothing else without `brokers`. */
  readonly mq?: boolean;
  /** `log.retention` of the first room. */
  readonly retention?: Readonly<Record<string, unknown>>;
  /** Write requests of each partition by which a retried one is known, and that stay in the log for it. */
  readonly duplicateWindowWrites?: number;
  /** Somebody accepts that frames are lost on the way, so that drifts are reported of what they held. */
  readonly givesUp?: boolean;
  /** Submitted in all rooms together, 300 a second: where something that takes long has to happen meanwhile. */
  readonly messages?: number;
  /** What applications are told for good meanwhile, and send again all the same, because somebody mends it. */
  readonly refusedFor?: string;
  /** The daemons of the first room see a clock that is so far ahead. */
  readonly clockAheadMs?: number;
  /** The first room's write log has a small disk of its own. */
  readonly smallLogDisk?: boolean;
}

interface ArenaParts {
  readonly rooms: Rooms;
  readonly members: readonly Members[];
  readonly reships: Members;
  readonly servers: readonly RoomServers[];
  readonly directory: string;
  readonly disk: SmallDisk | undefined;
}

export class Arena {
  readonly rooms: Rooms;
  readonly servers: readonly RoomServers[];
  readonly clients: readonly RoomClients[];
  readonly directory: string;
  readonly #members: readonly Members[];
  /** Of the first room. */
  readonly reships: Members;
  readonly #disk: SmallDisk | undefined;
  readonly #options: ArenaOptions;
  #messages: Messages | undefined;
  #watch: Watch | undefined;
  readonly #falseOnes: string[] = [];
  /** Drifts of what was given up. */
  #givenUp = 0;
  #isProven = false;

  private constructor(options: ArenaOptions, parts: ArenaParts) {
    this.#options = options;
    this.rooms = parts.rooms;
    this.servers = parts.servers;
    this.#members = parts.members;
    this.reships = parts.reships;
    this.directory = parts.directory;
    this.#disk = parts.disk;
    this.clients = parts.rooms.rooms.map((room, place) => (place === 0 && options.reships ? parts.reships.inTurn : new RoomClients(room)));
  }

  #begin(): void {
    const { refusedFor, messages = MESSAGES, givesUp = false } = this.#options;
    this.#watch = new Watch(this.clients, ({ kind, subject, wrong, why, cause }) => {
      if (givesUp && (cause === 'given-up' || NOT_IN_THE_LOG.test(why))) this.#givenUp += 1;
      else this.#falseOnes.push(`${kind} ${subject} in ${wrong}, ${cause}: ${why}`);
    });
    this.#messages = new Messages({ clients: this.clients, text: someMessages(messages), perSecond: MESSAGES_PER_SECOND, refusedFor });
  }

  /** What is between the rooms: to each other's reship, and to the other's Kafka. */
  get lines(): readonly TcpProxy[] {
    return [...this.rooms.rooms.map(({ proxy }) => proxy), ...(this.#options.mq ? this.server(1).kafka.lines : [])];
  }

  /** So many drifts were reported of what was given up. */
  get givenUp(): number {
    return this.#givenUp;
  }

  get messages(): Messages {
    return given(this.#messages);
  }

  /** Two rooms that are ready, with traffic. Everything ends with the test. */
  static async open(t: TestContext, options: ArenaOptions = {}): Promise<Arena> {
    const directory = mkdtempSync(join(tmpdir(), 'wmb-faults-'));
    const { redisFlags = [], brokers, smallLogDisk = false } = options;
    const kept = brokers === undefined ? join(directory, 'beijing', 'writes') : join(directory, 'kafka');
    const disk = smallLogDisk ? SmallDisk.mount(kept) : undefined;
    const servers = await Promise.all(
      [0, 1].map((place) => {
        const kafkaDirectory = place === 0 && disk ? kept : undefined;
        return RoomServers.start(place, { redisFlags, brokers: brokersOf(place, options), kafkaDirectory });
      }),
    );
    // Daemons and the command line take it from the environment.
    process.env[DB_PASSWORD] = servers[0]?.mysql.password;
    const rooms = await Rooms.prepare({
      count: 2,
      mode: options.mode ?? 'independent',
      directory,
      daemons: DAEMONS,
      processorFile: join(EXAMPLE, 'processor.ts'),
      topologySettings: topologyOf(options),
      roomSettings: (room) => ({ link: LINK, checker: CHECKER, ...settingsOf(room, servers, options) }),
    });
    const killAll = () => rooms.killAll();
    process.once('exit', killAll);
    const members: Members[] = [];
    for (const room of rooms.rooms) members.push(await Members.of(rooms, room, 'collector', options.shared === true));
    const reships = await Members.of(rooms, rooms.room(0), 'reship', options.reships === true);
    const arena = new Arena(options, { rooms, members, reships, servers, directory, disk });
    t.after(() => arena.#close(t));
    t.after(() => process.off('exit', killAll));
    await arena.#prepare();
    await Promise.all([0, 1].map((place) => arena.#startAll(place)));
    arena.#begin();
    return arena;
  }

  /** As docs/mysql.md, docs/write-log.md and docs/links.md say. */
  async #prepare(): Promise<void> {
    await this.wmb(0, 'db', 'init');
    await this.wmb(1, 'db', 'replicate', '--apply');
    for (const place of [0, 1]) if (logBrokersOf(place, this.#options) !== undefined) await this.wmb(place, 'log', 'init');
    if (this.#options.mq) await this.wmb(1, 'link', 'init');
  }

  /** What the command line prints in a room, where it must succeed. What it asks may not answer in time on a machine that stands still now and then. */
  async wmb(place: number, ...args: string[]): Promise<string> {
    const ended = await until(`wmb ${args[0]} is answered`, async () => {
      const tried = await this.tries(place, ...args);
      if (tried.code === EXIT.unavailable) throw new Error(tried.stderr);
      return tried;
    });
    assert.equal(ended.code, 0, `wmb ${args.join(' ')}: ${ended.stdout}${ended.stderr}`);
    return ended.stdout;
  }

  /** The same, where it need not. */
  tries(place: number, ...args: string[]): Promise<Ended> {
    return wmb([...args, '--config', this.room(place).configFile], { env: COMPILED_ONCE });
  }

  room(place: number): RunningRoom {
    return this.rooms.room(place);
  }

  server(place: number): RoomServers {
    const servers = this.servers[place];
    if (servers === undefined) throw new Error(`there is no room ${place}`);
    return servers;
  }

  /** The collectors of a room. */
  members(place: number): Members {
    return given(this.#members[place]);
  }

  /** Ends a daemon and starts it again. */
  async restart(place: number, daemon: Daemon, signal: NodeJS.Signals, downMs = 500): Promise<void> {
    await this.rooms.end(this.room(place), daemon, signal);
    await pause(downMs);
    await this.start(place, daemon);
  }

  /** All of a room dies at once, servers and daemons, and is started again later. */
  async losePower(place: number, downMs: number): Promise<void> {
    await Promise.all(DAEMONS.map((daemon) => this.rooms.end(this.room(place), daemon, 'SIGKILL')));
    await this.server(place).killAll();
    await pause(downMs);
    await this.server(place).startAll();
    await this.#startAll(place);
  }

  /** All daemons of a room end in order, and are started again when the work is done. */
  async whileDown(place: number, work: () => Promise<unknown>): Promise<void> {
    await Promise.all(DAEMONS.map((daemon) => this.rooms.end(this.room(place), daemon, 'SIGTERM')));
    await work();
    await this.#startAll(place);
  }

  async #startAll(place: number): Promise<void> {
    const others = place === 0 ? [this.members(place), this.reships] : [this.members(place)];
    await Promise.all([...DAEMONS.map((daemon) => this.start(place, daemon)), ...others.map((members) => members.startOthers())]);
  }

  start(place: number, daemon: Daemon): Promise<void> {
    const { clockAheadMs = 0 } = this.#options;
    const options = place === 0 && clockAheadMs > 0 ? { main: AHEAD, env: { WMB_TEST_AHEAD_MS: String(clockAheadMs) } } : {};
    return this.rooms.start(this.room(place), daemon, options);
  }

  get disk(): SmallDisk {
    return given(this.#disk);
  }

  /** With which code a room refuses a write request that is no message; undefined: it is in its log. */
  async refusal(place: number, write: WriteRequest): Promise<string | undefined> {
    const answer = await this.clients[place]?.submit({ writes: [write], wait: Wait.WAIT_LOGGED, deadlineMs: 0, batchId: 0 });
    return answer?.results[0]?.error?.code;
  }

  pause(ms: number): Promise<void> {
    return pause(ms);
  }

  /** Everything is submitted and acked, and all of it is where it belongs. */
  async proves(): Promise<void> {
    await this.rests();
    const dumps = await Promise.all(this.clients.map((client) => client.dump()));
    const [master, slave] = this.servers as readonly [RoomServers, RoomServers];
    await until(
      'the slave database has everything',
      async () => (await slave.rows()).length === (await master.rows()).length,
      VERIFY_MS_MAX,
    );
    const expected = this.messages.expected(new Map((await master.rows()).map((row) => [String(row.id), String(row.wmb_stamp)])));
    for (const [place, dump] of dumps.entries()) {
      const { id } = this.room(place);
      none(`the cache of ${id} against what the messages say`, compareCache(expected, [...dump.values()].map(asEntry)));
      none(`plain reads of ${id}’s Redis`, await compareKeys(this.server(place), dump));
      none(`the database of ${id} against what the messages say`, compareRows(expected, await this.server(place).rows()));
    }
    none('the caches of the two rooms', compareCaches(given(dumps[0]), given(dumps[1])));
    await this.verified();
    await given(this.#watch).stop();
    none('drifts that nobody made', this.#falseOnes);
    const inbox = this.#options.mode === 'master-slave' ? EFFECTS_INBOX : INBOX;
    if (this.#options.mq) assert.ok((await this.server(1).kafka.records(inbox)) >= INBOX_RECORDS_MIN, 'the link is over mq');
    this.#isProven = true;
  }

  /** Nothing more is written, and what was is everywhere. */
  async rests(): Promise<void> {
    await this.messages.end();
    await allSettled(this.clients, SETTLE_MS_MAX);
  }

  /** Every checker has found its room equal to the other. `mending` is done before each look. */
  async verified(mending: () => Promise<unknown> = async () => {}): Promise<void> {
    const sinceMs = Date.now() + CHECKER.graceMs;
    const isVerified = async () => {
      await mending();
      const reasons = await whyNotVerified(this.clients, sinceMs);
      if (reasons.length > 0) throw new Error(reasons.join('; '));
      return true;
    };
    await until('both rooms are verified', isVerified, VERIFY_MS_MAX);
  }

  async #close(t: TestContext): Promise<void> {
    this.#messages?.stop();
    await this.#watch?.end();
    for (const client of this.clients) client.close();
    // Before their servers: daemons that stop have something to say to them.
    await Promise.all([...this.#members, this.reships].map((members) => members.close()));
    await this.rooms.stop();
    this.#disk?.unmount();
    await Promise.all(this.servers.map((each) => each.remove()));
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

/** Of a room; undefined: its logs are embedded. */
function logBrokersOf(place: number, { brokers }: ArenaOptions): Brokers | undefined {
  return typeof brokers === 'object' ? brokers[place] : brokers;
}

/** Of a room; undefined: it has no Kafka. */
function brokersOf(place: number, options: ArenaOptions): Brokers | undefined {
  return logBrokersOf(place, options) ?? (options.mq && place === 1 ? 1 : undefined);
}

function topologyOf({ mq = false, duplicateWindowWrites }: ArenaOptions): Readonly<Record<string, unknown>> {
  return {
    databases: 'mysql',
    ...(mq && { links: [{ origin: 'beijing', peer: 'guangzhou', transport: 'mq' }] }),
    ...(duplicateWindowWrites && { limits: { duplicateWindowWrites } }),
  };
}

function settingsOf(room: string, servers: readonly RoomServers[], options: ArenaOptions): Readonly<Record<string, unknown>> {
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
    ...(options.shared && { collector: { shares: SHARES } }),
    ...kafkaSettingsOf(place, servers as readonly [RoomServers, RoomServers], options),
  };
}

function kafkaSettingsOf(
  place: number,
  servers: readonly [RoomServers, RoomServers],
  options: ArenaOptions,
): Readonly<Record<string, unknown>> {
  const { mq, retention } = options;
  const log = {
    ...(logBrokersOf(place, options) && { adapter: 'kafka', ...servers[place]?.kafka.settings }),
    ...(retention && place === 0 && { retention }),
  };
  if (!mq) return { log };
  return place === 0 ? { log, peers: { guangzhou: { kafka: servers[1].kafka.settingsFar } } } : { log, inbox: servers[1].kafka.settings };
}
