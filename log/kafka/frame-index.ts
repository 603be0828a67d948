/**
 * The index of a log in Kafka, fed in the order of the seqs by whoever hears of frames first: the append that made them, or the one that follows the topic. What
 * is new stays in memory until it is written, all at once, a few times a second. So a process that dies loses the newest part, and reads it from
 * Kafka again when it comes back.
 */
import { rmSync } from 'node:fs';
import { DatabaseSync } from 'node:sqlite';
import type { WmbError } from '../../core/errors.ts';
import type { Runtime, Timer } from '../../core/runtime.ts';
import type { Stamp } from '../../core/stamp.ts';
import type { LogEpoch, Seq } from '../../core/words.ts';
import { inTransaction, logError } from '../embedded/sqlite.ts';
import type { FrameFacts, TrimView } from '../retention.ts';
import { type Indexed, seqBack } from './lookups.ts';
import { createIndex, type IndexedFrame, type IndexedPartition, IndexTables, indexedEpoch } from './tables.ts';

const FLUSH_MS = 250;
/** Written at once beyond this: a topic that is read from its beginning comes faster than the clock. */
const NEW_FRAMES_MAX = 8_192;

interface Lane {
  first: Seq;
  next: Seq;
  writes: number;
  bytes: number;
  stampLast: Stamp;
  through: Stamp;
  /** The frames that are not in the file yet: the last ones before `next`. */
  fresh: IndexedFrame[];
  /** The file may hold rows before `first`. */
  hasGarbage: boolean;
  isChanged: boolean;
}

export interface FrameIndexOptions {
  readonly file: string;
  readonly epoch: LogEpoch;
  readonly partitions: number;
  readonly runtime: Runtime;
  /** It could not be written; told once, until it can be again. */
  readonly onTrouble: (error: WmbError) => void;
}

export class FrameIndex implements Indexed {
  readonly #db: DatabaseSync;
  readonly #tables: IndexTables;
  readonly #lanes: readonly Lane[];
  readonly #options: FrameIndexOptions;
  #fresh = 0;
  #isFailing = false;
  #timer: Timer | undefined;

  /** Throws what SQLite throws where the file cannot be written. */
  constructor(options: FrameIndexOptions) {
    this.#db = openIndex(options);
    this.#tables = new IndexTables(this.#db);
    this.#options = options;
    this.#lanes = Array.from({ length: options.partitions }, (_, partition) => ({
      ...(this.#tables.partition(partition) ?? NOTHING),
      fresh: [],
      hasGarbage: true,
      isChanged: false,
    }));
  }

  partition(partition: number): IndexedPartition {
    return this.#lane(partition);
  }

  frame(partition: number, seq: Seq): IndexedFrame | undefined {
    const { first, next, fresh } = this.#lane(partition);
    if (seq < first || seq >= next) return undefined;
    const freshFrom = next - fresh.length;
    return seq >= freshFrom ? fresh[seq - freshFrom] : this.#tables.frame(partition, seq);
  }

  bytes(): number {
    return this.#lanes.reduce((sum, { bytes }) => sum + bytes, 0);
  }

  /** The frame has the seq `next` of its partition. */
  add(partition: number, { count, bytes, stampLast, through }: Omit<IndexedFrame, 'before' | 'greatest'>): void {
    const lane = this.#lane(partition);
    if (stampLast > lane.stampLast) lane.stampLast = stampLast;
    if (through > lane.through) lane.through = through;
    lane.fresh.push({ before: lane.writes, count, bytes, stampLast, greatest: lane.stampLast, through: lane.through });
    lane.next += 1;
    lane.writes += count;
    lane.bytes += bytes;
    this.#fresh += 1;
    if (this.#fresh >= NEW_FRAMES_MAX && !this.#isFailing) this.flush();
    else this.#changed(lane);
  }

  /** The frames before `first` are no longer in the log. */
  forget(partition: number, first: Seq): void {
    const lane = this.#lane(partition);
    if (first <= lane.first) return;
    lane.bytes -= this.#bytesBefore(partition, lane, first);
    lane.first = first;
    lane.hasGarbage = true;
    this.#changed(lane);
  }

  /** The partition begins at `first` with so many write requests before it: what was known of it is of no use. */
  restart(partition: number, first: Seq, writes: number): void {
    const lane = this.#lane(partition);
    this.#fresh -= lane.fresh.length;
    lane.fresh.length = 0;
    this.#tables.removeFrom(partition, 0);
    Object.assign(lane, { first, next: first, writes, bytes: 0 });
    this.#changed(lane);
  }

  /** For planTrim; `plan` says what the plan has removed so far of each partition. */
  trimView(plan: ReadonlyMap<number, { readonly through: Seq; readonly bytes: number }>): TrimView {
    return {
      partitions: () =>
        this.#lanes.map(({ first, next, bytes }, partition) => {
          const gone = plan.get(partition);
          return { partition, first: gone ? gone.through + 1 : first, next, bytes: bytes - (gone?.bytes ?? 0) };
        }),
      seqBack: (partition, before, writes) => seqBack(this, partition, before, writes),
      oldest: (partition, end, framesMax) => this.#oldest(partition, (plan.get(partition)?.through ?? -1) + 1, end, framesMax),
    };
  }

  /** Writes what is new. While the disk does not take it, it stays in memory. */
  flush(): void {
    this.#timer?.cancel();
    this.#timer = undefined;
    try {
      inTransaction(this.#db, () => {
        for (const [partition, lane] of this.#lanes.entries()) if (lane.isChanged) this.#write(partition, lane);
      });
      this.#written();
    } catch (cause) {
      if (!this.#isFailing) this.#options.onTrouble(logError(cause, this.#options.file));
      this.#isFailing = true;
    }
    if (this.#lanes.some(({ isChanged }) => isChanged)) this.#schedule();
  }

  close(): void {
    this.flush();
    this.#timer?.cancel();
    this.#db.close();
  }

  #write(partition: number, lane: Lane): void {
    const kept = lane.fresh.slice(Math.max(0, lane.first - (lane.next - lane.fresh.length)));
    this.#tables.insert(partition, lane.next - kept.length, kept);
    this.#tables.update(partition, lane);
    if (lane.hasGarbage) lane.hasGarbage = !this.#tables.removeBefore(partition, lane.first);
  }

  #written(): void {
    for (const lane of this.#lanes) {
      lane.fresh = [];
      lane.isChanged = lane.hasGarbage;
    }
    this.#fresh = 0;
    this.#isFailing = false;
  }

  #bytesBefore(partition: number, { first, next, fresh }: Lane, end: Seq): number {
    const freshFrom = next - fresh.length;
    const gone = fresh.slice(Math.max(0, first - freshFrom), Math.max(0, end - freshFrom));
    const written = this.#tables.bytesBetween(partition, first, Math.min(end, freshFrom));
    return written + gone.reduce((sum, { bytes }) => sum + bytes, 0);
  }

  *#oldest(partition: number, from: Seq, end: Seq, framesMax: number): Generator<FrameFacts> {
    const start = Math.max(from, this.#lane(partition).first);
    for (let seq = start; seq < Math.min(end, start + framesMax); seq += 1) {
      const frame = this.frame(partition, seq);
      if (frame === undefined) return;
      yield { seq, bytes: frame.bytes, stampLast: frame.stampLast };
    }
  }

  #changed(lane: Lane): void {
    lane.isChanged = true;
    this.#schedule();
  }

  #schedule(): void {
    this.#timer ??= this.#options.runtime.after(FLUSH_MS, () => this.flush(), true);
  }

  #lane(partition: number): Lane {
    const lane = this.#lanes[partition];
    if (lane === undefined) throw new RangeError(`no partition ${partition}`);
    return lane;
  }
}

const NOTHING: IndexedPartition = { first: 0, next: 0, writes: 0, bytes: 0, stampLast: '', through: '' };

/** A file that cannot be read is of no more use than none. */
function openIndex(options: FrameIndexOptions): DatabaseSync {
  try {
    return openOrCreate(options);
  } catch {
    for (const ending of ['', '-wal', '-shm']) rmSync(options.file + ending, { force: true });
    return openOrCreate(options);
  }
}

function openOrCreate({ file, epoch, partitions }: FrameIndexOptions): DatabaseSync {
  const db = new DatabaseSync(file);
  try {
    // A transaction that the machine loses is read from Kafka again; a torn file would be worse.
    db.exec('PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL');
    if (indexedEpoch(db) === epoch) return db;
    inTransaction(db, () => createIndex(db, epoch, partitions));
    return db;
  } catch (cause) {
    db.close();
    throw cause;
  }
}
