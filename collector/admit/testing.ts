/** A room in memory whose collector can be killed and made anew, and logs to feed it with. */
import type { Config } from '../../core/config/types.ts';
import { compileCommands } from '../../core/converge/commands.ts';
import { silentLogger } from '../../core/logger.ts';
import { noMetrics } from '../../core/metrics.ts';
import type { Runtime } from '../../core/runtime.ts';
import { formatStamp } from '../../core/stamp.ts';
import type { Lane, Seq, StampedWrite } from '../../core/words.ts';
import { decodeFrame, encodeFrame } from '../../link/frame.ts';
import type { LinkFrame } from '../../link/link.ts';
import { callModule } from '../process/module.ts';
import type { ProcessFunction } from '../process/processor.ts';
import { Processors } from '../process/processors.ts';
import { EmbeddedBook } from '../receipts/embedded.ts';
import { Applier, type SharedRoom } from './admit.ts';
import type { Processing } from './context.ts';
import { Crash, crashingBook, MemoryCache, MemoryDatabase, MemoryLog } from './fixture-stores.ts';

export const EPOCH = '0123456789abcdef';
export const START_MS = 1_700_000_000_000;

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
  async turn(): Promise<void> {}
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
  readonly share?: SharedRoom;
}

/** A room whose stores outlive its collector: `restart` makes a new collector on the same stores. */
export class TestRoom {
  readonly crash = new Crash();
  readonly runtime = new TestRuntime();
  readonly config: Config;
  readonly cache = new MemoryCache(this.crash);
  readonly database = new MemoryDatabase(this.crash);
  readonly effectLog = new MemoryLog(this.crash);
  bookFile = new EmbeddedBook({ file: ':memory:', room: 'beijing' });
  book = crashingBook(this.bookFile, this.crash);
  readonly processors: TestProcessors;
  applier: Applier;
  readonly #share: SharedRoom | undefined;
  #floor = '';

  constructor(options: RoomOptions = {}) {
    this.config = testConfig(options);
    this.#share = options.share;
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
    return new Applier({
      config,
      cache,
      database,
      book,
      processors,
      effectLog,
      floors: { floor: () => this.#floor },
      share: this.#share,
      runtime,
      logger: silentLogger,
      metrics: noMetrics,
    });
  }

  /** Another book, opened, with a new collector. */
  useBook(book: EmbeddedBook): void {
    this.bookFile = book;
    this.book = crashingBook(book, this.crash);
    this.restart();
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
  const rooms = ['beijing', 'guangzhou'].map((id, at) => ({
    id,
    number: at + 1,
    database: at === 0 ? ('master' as const) : ('slave' as const),
    reship: address,
    collector: address,
  }));
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
        stamp: formatStamp({
          ms: START_MS - 1_000 + (write.aheadMs ?? 0),
          counter: this.#counter,
          writer: this.lane.origin === 'beijing' ? 1 : 2,
        }),
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
    return this.frames
      .slice(from)
      .map((bytes, at) => ({ log: this.lane.log, partition: this.lane.partition, seq: from + at, history: from + at <= seq, bytes }));
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
