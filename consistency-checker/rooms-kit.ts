/**
 * Rooms in memory for the tests of explaining and repairing: real caches and real rules of convergence, with write logs, receipts and clocks that a test can make say
 * anything. A write request is one frame's part; what a room does with it is the test's choice.
 */
import type { Topology } from '../core/config/types.ts';
import { compileCommands, parseCachePayload } from '../core/converge/commands.ts';
import type { Effect } from '../core/converge/effects.ts';
import { WmbError } from '../core/errors.ts';
import { VirtualTime } from '../core/flow/virtual-time.testing.ts';
import type { DerivedWrite, ReceiptDetail } from '../core/inspection.ts';
import { silentLogger } from '../core/logger.ts';
import { formatStamp, type Stamp, writerId } from '../core/stamp.ts';
import { formatPosition, type Outcome, type Position, type RoomId, type StampedWrite } from '../core/words.ts';
import { MemoryCache } from '../store/memory/cache.ts';
import { MemoryCacheInspector } from '../store/memory/cache-inspector.ts';
import { type ConfirmedKey, KeyComparison } from './cache/comparison.ts';
import type { Drift } from './drift.ts';
import { type ConfirmedReceipt, ReceiptComparison } from './messages/comparison.ts';
import { FakeReceipts, laneOfTest } from './messages/receipts-kit.ts';
import { type Mender, Repairer } from './repair/repairer.ts';
import { Explainer } from './report/explain.ts';
import { MemoryDriftBook } from './report/memory-book.ts';
import type { FoundWrite, RoomView, WriteQuery } from './room.ts';

export const START_MS = Date.parse('2026-11-22T20:15:44.000Z');
const PARTITIONS = 2;

export interface TestWrite {
  readonly id: string;
  readonly commands: readonly (readonly (string | number)[])[];
  readonly kind?: string;
}

/** `lose`: the receipt says applied and nothing is there. */
export type Fault = 'lose' | 'parked' | 'rejected' | 'duplicate' | 'none';
export type Faults = Readonly<Record<RoomId, Fault | Readonly<Record<number, Fault>>>>;

export class TestRoom {
  readonly id: RoomId;
  readonly number: number;
  readonly world: World;
  cache = new MemoryCache();
  readonly receipts: FakeReceipts;
  readonly log: FoundWrite[] = [];
  readonly parked = new Map<string, readonly Effect[]>();
  /** By key. */
  readonly changedBehindMs = new Map<string, number>();
  /** Write requests stamped before are not in the log any more. */
  logFrom: Stamp = '';
  /** Called before each answer: a test may change something, or throw. */
  before: (what: keyof RoomView) => void | Promise<void> = () => {};
  readonly #inspector = new MemoryCacheInspector(() => this.cache);
  #counter = 0;

  constructor(world: World, id: RoomId, number: number) {
    this.world = world;
    this.id = id;
    this.number = number;
    this.receipts = new FakeReceipts(id);
    this.receipts.nowMs = () => world.runtime.nowMs();
  }

  stamp(): Stamp {
    this.#counter += 1;
    return formatStamp({ ms: this.world.runtime.nowMs(), counter: this.#counter, writer: writerId(this.number, 1) });
  }

  /** Straight into the store: nobody wrote it. */
  async tamper(...effects: readonly Effect[]): Promise<void> {
    await this.cache.apply({ generation: 0, moves: [], writes: [effects], floor: '', nowMs: this.world.runtime.nowMs() });
  }

  /** Replaces what is stored of an element, its version included or not. */
  overwrite(key: string, name: string, value: string | number | null, version?: string): void {
    const cell = this.cache.cell(key);
    const known = cell?.register(name)?.version ?? '';
    cell?.setRegister(name, { version: version ?? known, value });
  }

  /** Takes a key, or one element of it, out of the store. */
  wipe(key: string, name?: string): void {
    const cell = this.cache.cell(key);
    if (cell === undefined) return;
    if (name !== undefined) return void cell.dropRegister(name);
    cell.dropUpTo('g');
    Object.assign(cell.head, { type: 'none', kill: '', expireAtMs: 0, caps: [], members: 0 });
  }

  /** Everybody has applied everything: what only late write requests need is forgotten. */
  async settle(): Promise<void> {
    const nowMs = this.world.runtime.nowMs();
    await this.cache.sweep({ generation: 0, floor: formatStamp({ ms: nowMs, counter: 0, writer: 1 }), nowMs });
  }

  get view(): RoomView {
    return {
      room: this.id,
      horizon: () => this.#answer('horizon', () => this.receipts.horizon()),
      states: (keys) => this.#answer('states', () => this.#states(keys)),
      receiptDigests: (ranges) => this.#answer('receiptDigests', () => this.receipts.receiptDigests(ranges)),
      receipts: (range) => this.#answer('receipts', () => this.receipts.receipts(range)),
      findWrites: (query) => this.#answer('findWrites', () => this.#find(query)),
      derive: (writes) => this.#answer('derive', () => writes.map((write) => this.derive(write))),
      nodes: () => this.#answer('nodes', () => ({ digests: new Uint8Array(), keys: 0, built: 1 })),
      entries: () => this.#answer('entries', () => []),
    };
  }

  derive(write: StampedWrite): DerivedWrite {
    if (write.kind === 'poison') return { stamp: write.stamp, effects: undefined, error: 'PROCESSOR_FAILED: the processor threw' };
    return { stamp: write.stamp, effects: effectsOf(write), error: '' };
  }

  async #answer<T>(what: keyof RoomView, answer: () => T | Promise<T>): Promise<T> {
    await this.before(what);
    this.receipts.answer();
    return await answer();
  }

  async #states(keys: readonly string[]) {
    const states = await this.#inspector.states(keys);
    return keys.map((key, at) => ({ key, state: states[at], changedBehindMs: this.changedBehindMs.get(key) ?? 0 }));
  }

  #find(query: WriteQuery): readonly FoundWrite[] {
    const kept = this.log.filter(({ write }) => write.stamp >= this.logFrom);
    if (query.by === 'stamp') return kept.filter(({ write }) => query.stamps.includes(write.stamp));
    if (query.by === 'request') return kept.filter(({ write }) => write.requestId === query.requestId);
    const wanted = new Set(query.positions.map(formatPosition));
    return kept.filter(({ position }) => wanted.has(formatPosition(position)));
  }
}

export class World {
  readonly runtime = new VirtualTime(START_MS);
  readonly rooms: ReadonlyMap<RoomId, TestRoom>;
  readonly topology: Topology;

  constructor(names: readonly RoomId[] = ['beijing', 'guangzhou'], kinds: Topology['kinds'] = {}) {
    this.rooms = new Map(names.map((id, at) => [id, new TestRoom(this, id, at + 1)]));
    const daemon = { grpc: '127.0.0.1:1', http: '127.0.0.1:2' };
    this.topology = {
      ...{ epoch: 1, mode: 'independent', partitions: PARTITIONS, links: [], kinds },
      rooms: names.map((id, at) => ({ id, number: at + 1, database: 'none', reship: daemon, collector: daemon, checker: daemon })),
      limits: { payloadBytesMax: 1_000_000, clockAheadMsMax: 5_000, duplicateWindowWrites: 65_536 },
    };
    for (const room of this.rooms.values()) {
      for (const origin of names)
        for (let partition = 0; partition < PARTITIONS; partition += 1) room.receipts.lane(laneOfTest(origin, partition));
    }
  }

  room(id: RoomId): TestRoom {
    const room = this.rooms.get(id);
    if (room === undefined) throw new Error(`no room ${id}`);
    return room;
  }

  /** One frame of `origin`, taken by every room at once. Returns where its write requests stand. */
  async write(origin: RoomId, writes: readonly TestWrite[], faults: Faults = {}, partition = 0): Promise<readonly FoundWrite[]> {
    await this.runtime.advance(10);
    const from = this.room(origin);
    const lane = laneOfTest(origin, partition);
    const seq = from.receipts.lane(lane).place.mark + 1;
    const found = writes.map(({ id, commands, kind = 'cache' }, index): FoundWrite => {
      const write = {
        requestId: id,
        kind,
        key: String(commands[0]?.[1]),
        payload: Buffer.from(JSON.stringify(commands)),
        trace: '',
        stamp: from.stamp(),
      };
      return { position: { ...lane, seq, index }, write };
    });
    from.log.push(...found);
    for (const room of this.rooms.values()) await this.#take(room, found, faults[room.id]);
    await this.pass(100);
    return found;
  }

  /** Time in which every lane is heard of. */
  async pass(ms: number): Promise<void> {
    await this.runtime.advance(ms);
    const seen = formatStamp({ ms: this.runtime.nowMs(), counter: 0, writer: 1 });
    for (const { receipts } of this.rooms.values()) for (const lane of receipts.lanes.values()) lane.place = { ...lane.place, seen };
  }

  async #take(room: TestRoom, found: readonly FoundWrite[], faults: Faults[RoomId] | undefined): Promise<void> {
    const [first] = found;
    if (first === undefined) return;
    const exceptions: ReceiptDetail[] = [];
    const nowMs = this.runtime.nowMs() + 78;
    for (const { position, write } of found) {
      const fault = typeof faults === 'string' ? faults : faults?.[position.index];
      if (fault === undefined) await room.tamper(...(room.derive(write).effects ?? []));
      else if (fault === 'parked') room.parked.set(formatPosition(position), effectsOf(write));
      if (fault === undefined || fault === 'lose' || fault === 'none') continue;
      const code = fault === 'duplicate' ? '' : 'PROCESSOR_FAILED';
      const parkedMs = fault === 'parked' ? nowMs : 0;
      exceptions.push({
        index: position.index,
        requestId: write.requestId,
        outcome: fault,
        code,
        parkedMs,
        attempts: fault === 'parked' ? 1 : 0,
      });
    }
    const { seq } = first.position;
    const stamps = { stampFirst: first.write.stamp, stampLast: found.at(-1)?.write.stamp ?? '' };
    room.receipts.receipt(first.position, seq, { count: found.length, appliedMs: nowMs, exceptions, ...stamps });
    if (faults === 'none') room.receipts.lane(first.position).frames.delete(seq);
  }

  /** The checker of `own`, as far as explaining and repairing go. */
  checker(own: RoomId, peer: RoomId): TestChecker {
    return new TestChecker(this, own, peer);
  }
}

export class TestChecker {
  readonly world: World;
  readonly own: TestRoom;
  readonly peer: RoomId;
  readonly book = new MemoryDriftBook();
  readonly keys: KeyComparison;
  readonly receipts: ReceiptComparison;
  readonly explainer: Explainer;
  /** Rooms without a checker. */
  readonly absent = new Set<RoomId>();
  /** Called before each repair reaches the store. */
  beforeRepair: () => void | Promise<void> = () => {};

  constructor(world: World, own: RoomId, peer: RoomId) {
    this.world = world;
    this.own = world.room(own);
    this.peer = peer;
    const { runtime, topology } = world;
    const sides = { mine: this.own.view, theirs: world.room(peer).view, graceMs: 10_000, runtime };
    this.keys = new KeyComparison({ ...sides, topology });
    this.receipts = new ReceiptComparison(sides);
    this.explainer = new Explainer({ own, topology, rooms: (id) => this.#view(id), runtime });
  }

  #view(id: RoomId): RoomView | undefined {
    return this.absent.has(id) ? undefined : this.world.rooms.get(id)?.view;
  }

  differs(drift: Drift): Promise<ConfirmedKey | ConfirmedReceipt | undefined> {
    if (drift.subject.type === 'key') return this.keys.differs(drift.subject.name);
    const position = this.world
      .room(drift.write?.position.split('/')[0] ?? '')
      .log.find((it) => formatPosition(it.position) === drift.subject.name)?.position;
    return position === undefined ? Promise.resolve(undefined) : this.receipts.differs(position);
  }

  /** The drift of a key, explained and in the book; undefined: there is none. */
  async key(key: string): Promise<Drift | undefined> {
    const confirmed = await this.keys.differs(key);
    const drift = confirmed && (await this.explainer.key(confirmed, this.peer));
    if (drift !== undefined) await this.book.put([drift]);
    return drift;
  }

  /** The same of a write request. */
  async receipt(position: Position): Promise<Drift | undefined> {
    const confirmed = await this.receipts.differs(position);
    const drift = confirmed && (await this.explainer.receipt(confirmed, this.peer));
    if (drift !== undefined) await this.book.put([drift]);
    return drift;
  }

  repairer(limits = { keysMax: 100, keysPerSecondMax: 1_000_000 }): Repairer {
    const { runtime } = this.world;
    return new Repairer({
      own: this.own.view,
      rooms: (id) => this.#view(id),
      mender: this.mender,
      book: this.book,
      explainer: this.explainer,
      differs: (drift) => this.differs(drift),
      rewrite: async () => {},
      limits,
      runtime,
      logger: silentLogger,
    });
  }

  readonly mender: Mender = {
    repair: async (repairs) => {
      await this.beforeRepair();
      return await this.own.cache.repair(repairs, this.world.runtime.nowMs());
    },
    retryParked: (position) => this.#retry(position),
  };

  async #retry(position: string): Promise<{ readonly outcome: Outcome; readonly message: string }> {
    const effects = this.own.parked.get(position);
    const place = [...this.world.rooms.values()].flatMap(({ log }) => log).find((it) => formatPosition(it.position) === position);
    if (effects === undefined || place === undefined) throw new WmbError('NOT_FOUND', `${position} is not parked`);
    if (place.write.kind === 'poison') return { outcome: 'parked', message: 'the processor threw' };
    await this.own.tamper(...effects);
    this.own.parked.delete(position);
    const frame = this.own.receipts.lane(place.position).frames.get(place.position.seq);
    const exceptions = frame?.exceptions.filter(({ index }) => index !== place.position.index) ?? [];
    this.own.receipts.receipt(place.position, place.position.seq, { ...frame, exceptions });
    return { outcome: 'applied', message: '' };
  }
}

function effectsOf(write: StampedWrite): readonly Effect[] {
  return compileCommands(parseCachePayload(write.payload), write.stamp);
}
