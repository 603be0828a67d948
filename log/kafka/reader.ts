/**
 * A log in Kafka that another process of the room has open, for one that only looks things up in it now and then: it shares that process' index, and
 * asks Kafka for frames. What the other process has not written into its index yet (a quarter of a second) is not there yet: catchUp waits for it.
 */
import { existsSync, readdirSync } from 'node:fs';
import { DatabaseSync } from 'node:sqlite';
import { WmbError } from '../../core/errors.ts';
import { sleep, type Timer } from '../../core/runtime.ts';
import type { LogEpoch, LogName, RoomId, Seq } from '../../core/words.ts';
import { KafkaCluster } from '../../kafka/cluster.ts';
import { logError } from '../embedded/sqlite.ts';
import { gapError } from '../gap.ts';
import { Listeners } from '../listeners.ts';
import type { Extent, LogReader, StampBounds, StoredFrame } from '../log.ts';
import { readFrames } from './history.ts';
import { type Indexed, seqBack, stampsAt, writesUpTo } from './lookups.ts';
import { endsOf, type FoundLog, findLog, type LogPlace } from './open.ts';
import { otherEpoch } from './registry.ts';
import { slotFile } from './slot.ts';
import { type IndexedFrame, type IndexedPartition, IndexTables, indexedEpoch } from './tables.ts';

const POLL_MS = 250;
const BUSY_MS_MAX = 5_000;
/** Some times what the other process takes to write its index. */
const CATCH_UP_MS_MAX = 2_000;
const CATCH_UP_POLL_MS = 25;

export interface KafkaLogReaderOptions extends LogPlace {
  /** Of the process that has the log open. */
  readonly directory: string;
}

interface OpenReader extends FoundLog {
  readonly index: SharedIndex;
  /** Next seq by partition, as the listeners know it. */
  readonly told: Seq[];
}

export class KafkaLogReader implements LogReader {
  readonly log: LogName;
  readonly origin: RoomId;
  readonly partitions: number;
  readonly #options: KafkaLogReaderOptions;
  readonly #listeners = new Listeners();
  #state: OpenReader | undefined;
  #timer: Timer | undefined;

  constructor(options: KafkaLogReaderOptions) {
    this.log = options.log;
    this.origin = options.origin;
    this.partitions = options.partitions;
    this.#options = options;
  }

  get epoch(): LogEpoch {
    return this.#open.home.epoch;
  }

  /** As KafkaLog.open; LOG_UNAVAILABLE while no process has the log open here. */
  async open(): Promise<void> {
    const { kafka, runtime, origin, directory } = this.#options;
    const cluster = new KafkaCluster({ servers: kafka, clientId: `wmb-${origin}`, runtime });
    try {
      const found = await findLog(this.#options, cluster);
      const index = sharedIndex(directory, found.home.epoch, this.partitions);
      const told = Array.from({ length: this.partitions }, (_, partition) => index.partition(partition).next);
      this.#state = { ...found, index, told };
    } catch (cause) {
      cluster.close();
      throw logError(cause, directory);
    }
    this.#schedule();
  }

  extent(partition: number): Extent {
    const { first, next, writes, stampLast, through } = this.#index.partition(partition);
    return { partition, first, next, writes, stampLast, through };
  }

  async read(partition: number, from: Seq, bytesMax: number): Promise<readonly StoredFrame[]> {
    const { first, next } = this.#index.partition(partition);
    if (from < first || from > next) throw gapError(this.#open.home, { partition, from, first, next });
    if (from === next) return [];
    return readFrames(this.#open, { partition, from, next, bytesMax, runtime: this.#options.runtime });
  }

  async seqBack(partition: number, before: Seq, writes: number): Promise<Seq> {
    return seqBack(this.#index, partition, before, writes);
  }

  async writesUpTo(partition: number, seq: Seq): Promise<number> {
    return writesUpTo(this.#index, partition, seq);
  }

  async stampsAt(partition: number, seq: Seq): Promise<StampBounds | undefined> {
    return stampsAt(this.#index, partition, seq);
  }

  /** The other process is asked for nothing: it is waited for. */
  async catchUp(): Promise<void> {
    const { cluster, topic } = this.#open;
    const { runtime, directory } = this.#options;
    const { end } = await endsOf(cluster, runtime, topic);
    const startedMs = runtime.monotonicMs();
    for (;;) {
      const index = this.#index;
      const behind = end.reduce((sum, next, partition) => sum + Math.max(0, next - index.partition(partition).next), 0);
      if (behind === 0) return;
      // The process whose index this is may be gone, and another one at work.
      const waitedMs = runtime.monotonicMs() - startedMs;
      if (waitedMs > CATCH_UP_MS_MAX / 4) this.#lookAround();
      if (waitedMs > CATCH_UP_MS_MAX) {
        throw new WmbError(
          'LOG_UNAVAILABLE',
          `the index in ${directory} lacks ${behind} frames that Kafka has; the room’s reship puts them there while it runs`,
        );
      }
      await sleep(runtime, CATCH_UP_POLL_MS);
    }
  }

  onAppend(listener: (partition: number) => void): () => void {
    return this.#listeners.add(listener);
  }

  #lookAround(): void {
    const open = this.#open;
    const found = sharedIndex(this.#options.directory, open.home.epoch, this.partitions);
    if (found.frames(this.partitions) <= open.index.frames(this.partitions)) {
      found.close();
      return;
    }
    open.index.close();
    this.#state = { ...open, index: found };
  }

  async close(): Promise<void> {
    this.#timer?.cancel();
    this.#state?.index.close();
    this.#state?.cluster.close();
    this.#state = undefined;
  }

  get #open(): OpenReader {
    if (this.#state === undefined) throw new WmbError('LOG_UNAVAILABLE', `the ${this.log} log of room ${this.origin} is not open`);
    return this.#state;
  }

  /** LOG_GAP where it is another epoch's by now. */
  get #index(): SharedIndex {
    const { index, home, registry } = this.#open;
    const epoch = index.epoch();
    if (epoch !== home.epoch) throw otherEpoch(registry.topic, epoch ?? 'that nobody knows');
    return index;
  }

  #schedule(): void {
    this.#timer = this.#options.runtime.after(POLL_MS, () => this.#poll(), true);
  }

  #poll(): void {
    const { index, told } = this.#open;
    for (let partition = 0; partition < this.partitions; partition += 1) {
      const next = nextOf(index, partition);
      if (next === told[partition]) continue;
      told[partition] = next;
      this.#listeners.call(partition);
    }
    this.#schedule();
  }
}

/** Whoever listens reads, and meets a failure where it can be told. */
function nextOf(index: SharedIndex, partition: number): Seq {
  try {
    return index.partition(partition).next;
  } catch {
    return -1;
  }
}

/** The index file of another process. */
class SharedIndex implements Indexed {
  readonly #db: DatabaseSync;
  readonly #tables: IndexTables;

  constructor(db: DatabaseSync) {
    this.#db = db;
    this.#tables = new IndexTables(db);
  }

  epoch(): LogEpoch | undefined {
    return indexedEpoch(this.#db);
  }

  partition(partition: number): IndexedPartition {
    const row = this.#tables.partition(partition);
    if (row === undefined) throw new WmbError('INTERNAL', `the log has no partition ${partition}`);
    return row;
  }

  frame(partition: number, seq: Seq): IndexedFrame | undefined {
    return seq < this.partition(partition).first ? undefined : this.#tables.frame(partition, seq);
  }

  /** Ever appended, as far as it knows. */
  frames(partitions: number): number {
    return Array.from({ length: partitions }, (_, partition) => this.partition(partition).next).reduce((sum, next) => sum + next, 0);
  }

  close(): void {
    this.#db.close();
  }
}

/** Of several, the one that is the furthest: its process is most likely at work. */
function sharedIndex(directory: string, epoch: LogEpoch, partitions: number): SharedIndex {
  let best: { readonly index: SharedIndex; readonly frames: number } | undefined;
  const slots = existsSync(directory) ? readdirSync(directory).filter((name) => name.startsWith('index-')) : [];
  for (let slot = 0; slot < slots.length; slot += 1) {
    const index = openShared(slotFile(directory, slot), epoch);
    if (index === undefined) continue;
    const frames = index.frames(partitions);
    const [worse, better] = best !== undefined && best.frames >= frames ? [index, best] : [best?.index, { index, frames }];
    worse?.close();
    best = better;
  }
  if (best !== undefined) return best.index;
  throw new WmbError(
    'LOG_UNAVAILABLE',
    `${directory} has no index of log epoch ${epoch}; the room’s reship makes it when it starts, and must have the same directory`,
  );
}

function openShared(file: string, epoch: LogEpoch): SharedIndex | undefined {
  if (!existsSync(file)) return undefined;
  const db = new DatabaseSync(file, { readOnly: true, timeout: BUSY_MS_MAX });
  if (indexedEpoch(db) === epoch) return new SharedIndex(db);
  db.close();
  return undefined;
}
