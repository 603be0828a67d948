/** Stores in memory for tests of the lanes: the ports' behaviour in its plainest form, with failures at will. */
import type { CacheEntry, Effect } from '../../core/converge/effects.ts';
import { type Lane, type LogName, laneKey, type Mark, type Seq } from '../../core/words.ts';
import { decodeFrame } from '../../link/frame.ts';
import type { Extent, FrameDraft, Log } from '../../log/log.ts';
import type { CacheBatch, CacheMarks, CacheOutcome, CacheResult, CacheStore, MarkMove } from '../../store/cache.ts';
import type { DatabaseBatch, DatabaseOutcome, DatabaseResult, DatabaseStore } from '../../store/database.ts';
import type { RepairOutcome } from '../../store/inspection.ts';
import type { ReceiptBook } from '../receipts/receipts.ts';

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
    for (const { log, origin, partition, epoch, next } of moves)
      this.#marks.set(laneKey({ log, origin, partition }), { log, origin, partition, epoch, seq: next });
    return undefined;
  }

  set(mark: Mark): void {
    this.#marks.set(laneKey(mark), mark);
  }

  clear(): void {
    this.#marks.clear();
  }
}

export class MemoryCache implements CacheStore {
  readonly marksTable = new Marks();
  readonly values = new Map<string, { version: string; value: string | undefined; counted: Set<string> }>();
  readonly batches: CacheBatch[] = [];
  readonly late = new Set<string>();
  generation = 0;
  readonly #crash: Crash;

  constructor(crash: Crash) {
    this.#crash = crash;
  }

  /** What it holds now; calling it brings that back. */
  copy(): () => void {
    const values = structuredClone(this.values);
    const marks = this.marksTable.all();
    return () => {
      this.generation += 1;
      this.values.clear();
      for (const [key, value] of structuredClone(values)) this.values.set(key, value);
      this.marksTable.clear();
      for (const mark of marks) this.marksTable.set(mark);
    };
  }

  async open(): Promise<void> {}
  async close(): Promise<void> {}

  async marks(): Promise<CacheMarks> {
    return { generation: this.generation, marks: this.marksTable.all(), settled: '' };
  }

  async apply(batch: CacheBatch): Promise<CacheResult> {
    const { generation } = this;
    this.#crash.check('before cache');
    if (batch.generation !== generation) return { moved: false, generation, stored: undefined };
    const refused = this.marksTable.move(batch.moves);
    if (refused !== undefined) return { moved: false, generation, stored: refused.stored };
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

  async takeDirty(): Promise<readonly number[]> {
    return [];
  }
  async repair(): Promise<readonly RepairOutcome[]> {
    return [];
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
    const before = this.marksTable.all();
    const refused = this.marksTable.move(batch.moves);
    if (refused !== undefined) return { moved: false, stored: refused.stored };
    if (before.some((mark) => batch.moves.some((it) => laneKey(it) === laneKey(mark) && it.next < mark.seq))) this.#records.clear();
    const held = new Set<string>();
    const outcomes = batch.writes.map((write): DatabaseOutcome => {
      const name = `${laneKey(batch.lane)} ${write.seq} ${write.index}`;
      if (batch.moves.length === 0 && this.#records.has(name) && this.#records.get(name) === undefined) return { status: 'committed' };
      const texts = write.statements.map((statement) => (statement.op === 'sql' ? statement.text : statement.table));
      const behind = held.has(write.key ?? '') ? 'overtaking' : undefined;
      const bad = write.withheld ?? behind ?? texts.find((text) => [...this.refuses].some((word) => text.includes(word)));
      if (bad !== undefined && write.key !== undefined && write.passes !== true) held.add(write.key);
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

  /** As a real one forgets the oldest. */
  forgetRecords(): void {
    this.#records.clear();
  }

  async applyChanges(
    move: MarkMove,
    changes: readonly Uint8Array[],
  ): Promise<{ readonly moved: boolean; readonly stored: Mark | undefined }> {
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
  readonly partitions = 1;
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

  extent(partition: number): Extent {
    return { partition, first: 0, next: this.frames.length, writes: this.entries().length, stampLast: '', through: '' };
  }

  asLog(): Log {
    return this as unknown as Log;
  }

  entries(): { outcome: string; last?: boolean; source: { seq: number; index: number } }[] {
    return this.frames.flatMap((frame) =>
      decodeFrame(frame).writes.map((write) => JSON.parse(Buffer.from(write.payload).toString()) as never),
    );
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
