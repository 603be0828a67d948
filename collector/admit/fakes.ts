/** Stores in memory for tests of the lanes: the ports' behaviour in its plainest form, with failures at will. */
import type { Config } from '../../core/config/types.ts';
import type { CacheEntry, Effect } from '../../core/converge/effects.ts';
import { silentLogger } from '../../core/logger.ts';
import { noMetrics } from '../../core/metrics.ts';
import type { Runtime } from '../../core/runtime.ts';
import { formatStamp } from '../../core/stamp.ts';
import { type Lane, laneKey, type LogName, type Mark, type Seq, type StampedWrite } from '../../core/words.ts';
import { decodeFrame, encodeFrame } from '../../link/frame.ts';
import type { LinkFrame } from '../../link/link.ts';
import type { FrameDraft, Log } from '../../log/log.ts';
import type { CacheBatch, CacheOutcome, CacheResult, CacheStore, MarkMove } from '../../store/cache.ts';
import type { DatabaseBatch, DatabaseOutcome, DatabaseResult, DatabaseStore } from '../../store/database.ts';
import type { ProcessFunction } from '../process/processor.ts';
import { callModule } from '../process/module.ts';
import { Processors } from '../process/processors.ts';
import { EmbeddedBook } from '../receipts/embedded.ts';
import type { ReceiptBook } from '../receipts/receipts.ts';
import { Applier } from './admit.ts';
import type { Processing } from './context.ts';
import { compileCommands } from '../../core/converge/commands.ts';

export const EPOCH = '0123456789abcdef';
export const START_MS = 1_700_000_000_000;

/** Throws before or after the named step, once. */
export class Crash {
  #at = '';

  next(at: string): void {
    this.#at = at;
  }

  check(at: string): void {
    if (this.#at !== at) return;
    this.#at = '';
    throw new Error(`crash ${at}`);
  }
}

class Marks {
  readonly #marks = new Map<string, Mark>();

  all(): Mark[] {
    return [...this.#marks.values()];
  }

  /** The stored mark of the first move that does not fit; otherwise all are moved. */
  move(moves: readonly MarkMove[]): { readonly stored: Mark | undefined } | undefined {
    for (const move of moves) {
      const stored = this.#marks.get(laneKey(move));
      const seq = stored?.epoch === move.epoch ? stored.seq : -1;
      if (seq !== move.expected) return { stored };
    }
    for (const { log, origin, partition, epoch, next } of moves) this.#marks.set(laneKey({ log, origin, partition }), { log, origin, partition, epoch, seq: next });
    return undefined;
  }

  set(mark: Mark): void {
    this.#marks.set(laneKey(mark), mark);
  }
}

export class MemoryCache implements CacheStore {
  readonly marksTable = new Marks();
  readonly values = new Map<string, { version: string; value: string | undefined; counted: Set<string> }>();
  readonly batches: CacheBatch[] = [];
  readonly late = new Set<string>();
  readonly #crash: Crash;

  constructor(crash: Crash) {
    this.#crash = crash;
  }

  async open(): Promise<void> {}
  async close(): Promise<void> {}

  async marks(): Promise<readonly Mark[]> {
    return this.marksTable.all();
  }

  async apply(batch: CacheBatch): Promise<CacheResult> {
    this.#crash.check('before cache');
    const refused = this.marksTable.move(batch.moves);
    if (refused !== undefined) return { moved: false, stored: refused.stored };
    this.batches.push(batch);
    const outcomes = batch.writes.map((effects) => this.#write(effects));
    this.#crash.check('after cache');
    return { moved: true, outcomes };
  }

  #write(effects: readonly Effect[]): CacheOutcome {
    if (effects.some((effect) => this.late.has(effect.key))) return 'late';
    const outcomes = effects.map((effect) => this.#effect(effect));
    if (outcomes.includes('applied') || outcomes.length === 0) return 'applied';
    return outcomes.includes('duplicate') ? 'duplicate' : 'superseded';
  }

  #effect(effect: Effect): CacheOutcome {
    const cell = this.values.get(effect.key) ?? { version: '', value: undefined, counted: new Set<string>() };
    this.values.set(effect.key, cell);
    if (effect.op === 'incr') {
      if (cell.counted.has(effect.version)) return 'duplicate';
      cell.counted.add(effect.version);
      cell.value = String(Number(cell.value ?? 0) + Number(effect.delta));
      return 'applied';
    }
    if (effect.version === cell.version) return 'duplicate';
    if (effect.version < cell.version) return 'superseded';
    cell.version = effect.version;
    cell.value = effect.op === 'set' ? effect.value : undefined;
    return 'applied';
  }

  value(key: string): string | undefined {
    return this.values.get(key)?.value;
  }

  async get(key: string): Promise<CacheEntry | undefined> {
    const cell = this.values.get(key);
    if (cell?.value === undefined) return undefined;
    return { key, value: { type: 'string', value: cell.value }, expireAtMs: 0, version: cell.version };
  }

  async *scan(options: { readonly prefix: string }): AsyncIterable<CacheEntry> {
    for (const key of [...this.values.keys()].filter((it) => it.startsWith(options.prefix)).sort()) {
      const entry = await this.get(key);
      if (entry !== undefined) yield entry;
    }
  }

  async sweep(): Promise<number> {
    return 0;
  }
}

/** Keeps the texts of `sql` statements in order; refuses those that contain a word of `refuses`. */
export class MemoryDatabase implements DatabaseStore {
  readonly marksTable = new Marks();
  readonly executed: string[] = [];
  readonly refuses = new Set<string>();
  readonly changes: string[] = [];
  readonly #records = new Map<string, string | undefined>();
  readonly #crash: Crash;

  constructor(crash: Crash) {
    this.#crash = crash;
  }

  async open(): Promise<void> {}
  async close(): Promise<void> {}

  async marks(): Promise<readonly Mark[]> {
    return this.marksTable.all();
  }

  async execute(batch: DatabaseBatch): Promise<DatabaseResult> {
    this.#crash.check('before database');
    const refused = this.marksTable.move(batch.moves);
    if (refused !== undefined) return { moved: false, stored: refused.stored };
    const outcomes = batch.writes.map((write): DatabaseOutcome => {
      const name = `${laneKey(batch.lane)} ${write.seq} ${write.index}`;
      if (batch.moves.length === 0 && this.#records.has(name) && this.#records.get(name) === undefined) return { status: 'committed' };
      const texts = write.statements.map((statement) => (statement.op === 'sql' ? statement.text : statement.table));
      const bad = texts.find((text) => [...this.refuses].some((word) => text.includes(word)));
      this.#records.set(name, bad);
      if (bad !== undefined) return { status: 'refused', reason: `no ${bad}` };
      this.executed.push(...texts);
      return { status: 'committed' };
    });
    this.#crash.check('after database');
    return { moved: true, outcomes };
  }

  async recorded(lane: Lane, seq: Seq): Promise<ReadonlyMap<number, string>> {
    const refused = new Map<number, string>();
    for (const [name, reason] of this.#records) {
      const [laneName, recordedSeq, index] = name.split(' ');
      if (laneName === laneKey(lane) && Number(recordedSeq) === seq && reason !== undefined) refused.set(Number(index), reason);
    }
    return refused;
  }

  async applyChanges(move: MarkMove, changes: readonly Uint8Array[]): Promise<{ readonly moved: boolean; readonly stored: Mark | undefined }> {
    const refused = this.marksTable.move([move]);
    if (refused !== undefined) return { moved: false, stored: refused.stored };
    this.changes.push(...changes.map((change) => Buffer.from(change).toString()));
    return { moved: true, stored: undefined };
  }

  async tables(): Promise<readonly string[]> {
    return [];
  }

  async *rows(): AsyncIterable<never> {}
}

/** The effect log as a list of frames. */
export class MemoryLog {
  readonly log: LogName = 'effects';
  readonly origin = 'beijing';
  readonly epoch = 'eeeeeeeeeeeeeeee';
  readonly frames: Uint8Array[] = [];
  readonly #crash: Crash;

  constructor(crash: Crash) {
    this.#crash = crash;
  }

  async append(drafts: readonly FrameDraft[]): Promise<readonly Seq[]> {
    this.#crash.check('before effect log');
    const first = this.frames.length;
    for (const draft of drafts) this.frames.push(draft.bytes);
    this.#crash.check('after effect log');
    return drafts.map((_, at) => first + at);
  }

  asLog(): Log {
    return this as unknown as Log;
  }

  entries(): { outcome: string; last?: boolean; source: { seq: number; index: number } }[] {
    return this.frames.flatMap((frame) => decodeFrame(frame).writes.map((write) => JSON.parse(Buffer.from(write.payload).toString()) as never));
  }
}

/** Virtual wall clock; timers run when they are asked to, except pauses of no length. */
export class TestRuntime implements Runtime {
  now = START_MS;
  readonly timers: { at: number; task: () => void }[] = [];

  nowMs(): number {
    return this.now;
  }
  monotonicMs(): number {
    return this.now;
  }
  after(delayMs: number, task: () => void): { cancel(): void } {
    const timer = { at: this.now + delayMs, task };
    if (delayMs === 0) queueMicrotask(task);
    else this.timers.push(timer);
    return { cancel: () => void this.timers.splice(this.timers.indexOf(timer) >>> 0, 1) };
  }
  random(): number {
    return 0.5;
  }
  bytes(count: number): Uint8Array {
    return new Uint8Array(count);
  }
  /** Runs what is due after `ms` more. */
  advance(ms: number): void {
    this.now += ms;
    for (const timer of this.timers.filter((it) => it.at <= this.now)) {
      this.timers.splice(this.timers.indexOf(timer), 1);
      timer.task();
    }
  }
}

/** Fails at will around `record`. */
export function crashingBook(book: ReceiptBook, crash: Crash): ReceiptBook {
  return new Proxy(book, {
    get(target, name) {
      const value: unknown = Reflect.get(target, name, target);
      if (typeof value !== 'function') return value;
      if (name !== 'record') return (value as (...args: unknown[]) => unknown).bind(target);
      return async (entries: Parameters<ReceiptBook['record']>[0]) => {
        const isFinal = entries.some((entry) => entry.frames.length > 0);
        crash.check(isFinal ? 'before book' : 'before parking');
        await target.record(entries);
        crash.check(isFinal ? 'after book' : 'after parking');
      };
    },
  });
}

/** Processors of functions; each gets its write request as a module's function would. */
export class TestProcessors implements Processing {
  readonly kinds: Record<string, ProcessFunction> = {};
  readonly #builtIn: Processors;
  readonly #runtime: Runtime;

  constructor(config: Config, runtime: Runtime) {
    this.#builtIn = new Processors({ config, runtime });
    this.#runtime = runtime;
  }

  run(write: StampedWrite): ReturnType<Processors['run']> {
    const run = this.kinds[write.kind];
    if (run === undefined) return this.#builtIn.run(write);
    const output = callModule(run, write, 100, this.#runtime);
    const finish = (done: Awaited<typeof output>) => ({ ...done, effects: compileCommands(done.commands, write.stamp) });
    return output instanceof Promise ? output.then(finish) : finish(output);
  }
}

export interface RoomOptions {
  readonly id?: string;
  readonly mode?: 'independent' | 'master-slave';
  readonly onFailure?: 'park' | 'pass';
  readonly kindRooms?: readonly string[];
  readonly windowWrites?: number;
}

/** A room whose stores outlive its collector: `restart` makes a new collector on the same stores. */
export class TestRoom {
  readonly crash = new Crash();
  readonly runtime = new TestRuntime();
  readonly config: Config;
  readonly cache = new MemoryCache(this.crash);
  readonly database = new MemoryDatabase(this.crash);
  readonly effectLog = new MemoryLog(this.crash);
  readonly bookFile = new EmbeddedBook({ file: ':memory:', room: 'beijing' });
  readonly book = crashingBook(this.bookFile, this.crash);
  readonly processors: TestProcessors;
  applier: Applier;
  #floor = '';

  constructor(options: RoomOptions = {}) {
    this.config = testConfig(options);
    this.processors = new TestProcessors(this.config, this.runtime);
    this.applier = this.#make();
  }

  async open(): Promise<this> {
    await this.bookFile.open();
    return this;
  }

  #make(): Applier {
    const { config, cache, database, book, processors, runtime } = this;
    const isMaster = config.topology.mode === 'master-slave' && config.room.id === 'beijing';
    const effectLog = isMaster ? this.effectLog.asLog() : undefined;
    return new Applier({ config, cache, database, book, processors, effectLog, floors: { floor: () => this.#floor }, runtime, logger: silentLogger, metrics: noMetrics });
  }

  setFloor(floor: string): void {
    this.#floor = floor;
  }

  restart(): void {
    this.applier = this.#make();
  }

  /** Resumes the lane and hands it what lies behind its mark in `log`, as a link would. */
  async run(log: TestLog): Promise<void> {
    const consumer = this.applier.consumers(log.lane);
    const { after, historyWrites } = await consumer.resume({ epoch: log.epoch });
    await consumer.take(log.after(after, historyWrites));
  }
}

function testConfig(options: RoomOptions): Config {
  const address = { grpc: '127.0.0.1:1', http: '127.0.0.1:2' };
  const rooms = ['beijing', 'guangzhou'].map((id, at) => ({ id, number: at + 1, database: at === 0 ? ('master' as const) : ('slave' as const), reship: address, collector: address }));
  const kind = { rooms: options.kindRooms ?? ['beijing', 'guangzhou'], onFailure: options.onFailure ?? ('park' as const) };
  return {
    topology: {
      epoch: 1,
      mode: options.mode ?? 'independent',
      partitions: 1,
      rooms,
      links: [],
      kinds: { cache: { rooms: ['beijing', 'guangzhou'], onFailure: 'park' }, message: kind },
      limits: { payloadBytesMax: 1_000_000, clockAheadMsMax: 5_000, duplicateWindowWrites: options.windowWrites ?? 1_000 },
    },
    room: { id: options.id ?? 'beijing', processors: {} },
  } as unknown as Config;
}

/** A log of a test: frames of write requests, stamped as they come. */
export class TestLog {
  readonly lane: Lane;
  readonly epoch: string;
  readonly frames: Uint8Array[] = [];
  #counter = 0;

  constructor(lane: Partial<Lane> = {}, epoch = EPOCH) {
    this.lane = { log: 'writes', origin: 'guangzhou', partition: 0, ...lane };
    this.epoch = epoch;
  }

  /** One frame. A write request is `[key, commands]` of the kind `cache`, or more of it. */
  add(...writes: readonly Partial<TestWrite>[]): this {
    const stamped = writes.map((write): StampedWrite => {
      this.#counter += 1;
      return {
        requestId: write.id ?? `${this.lane.origin}-${this.#counter}`,
        kind: write.kind ?? 'cache',
        key: write.key ?? 'k',
        trace: '',
        payload: Buffer.from(typeof write.payload === 'string' ? write.payload : JSON.stringify(write.payload ?? [])),
        stamp: formatStamp({ ms: START_MS - 1_000 + (write.aheadMs ?? 0), counter: this.#counter, writer: this.lane.origin === 'beijing' ? 1 : 2 }),
      };
    });
    this.frames.push(encodeFrame({ ...this.lane, epoch: this.epoch }, stamped));
    return this;
  }

  raw(bytes: Uint8Array): this {
    this.frames.push(bytes);
    return this;
  }

  after(seq: Seq, historyWrites = 0): LinkFrame[] {
    let from = seq + 1;
    for (let writes = 0; from > 0 && writes < historyWrites; ) {
      from -= 1;
      writes += decodeFrame(this.frames[from] ?? new Uint8Array()).writes.length;
    }
    return this.frames.slice(from).map((bytes, at) => ({ log: this.lane.log, partition: this.lane.partition, seq: from + at, history: from + at <= seq, bytes }));
  }
}

export interface TestWrite {
  readonly id: string;
  readonly kind: string;
  readonly key: string;
  readonly payload: unknown;
  readonly aheadMs: number;
}

/** `SET key value` as a write request of the kind `cache`. */
export function set(key: string, value: string, more: Partial<TestWrite> = {}): Partial<TestWrite> {
  return { key, payload: [['SET', key, value]], ...more };
}

export function incr(key: string, more: Partial<TestWrite> = {}): Partial<TestWrite> {
  return { key, payload: [['INCR', key]], ...more };
}

