/** For the tests of this folder: a partition of a topic in memory, and a room that takes it in, whose member can die at any moment. */

import { gzipSync, zstdCompressSync } from 'node:zlib';
import { crc32c } from '@node-rs/crc32';
import { CANARY_KIND } from '../../../core/canary.ts';
import { HybridClock } from '../../../core/clock.ts';
import type { IntakeLimits } from '../../../core/config/types.ts';
import { silentLogger } from '../../../core/logger.ts';
import { noMetrics } from '../../../core/metrics.ts';
import { systemRuntime } from '../../../core/runtime.ts';
import { NO_STAMP } from '../../../core/stamp.ts';
import type { StampedWrite } from '../../../core/words.ts';
import type { GroupOffset } from '../../../kafka/group-requests.ts';
import type { AbortedTransaction, FetchAnswer, FetchPartition } from '../../../kafka/requests.ts';
import { decodeFrame } from '../../../link/frame.ts';
import { MemoryLog, MemoryLogDisk } from '../../../log/memory/memory.ts';
import { Intake } from '../intake.ts';
import { LIMITS, topology } from '../testing.ts';
import { writeRules } from '../validate.ts';
import { topicsMetrics } from './metrics.ts';
import { parseNote } from './note.ts';
import { PartitionIntake, type PartitionOptions } from './partition.ts';

const CODECS = { none: 0, gzip: 1, snappy: 2, lz4: 3, zstd: 4, unknown: 7 } as const;
const PACK: Readonly<Record<string, (raw: Buffer) => Buffer>> = { gzip: gzipSync, zstd: zstdCompressSync };

export interface BatchDraft {
  readonly records: readonly { readonly key?: string; readonly value?: string }[];
  readonly codec?: keyof typeof CODECS;
  /** Of a transaction. */
  readonly producerId?: number;
  /** A control batch that ends the producer's transaction. */
  readonly end?: 'commit' | 'abort';
}

export function encodeBatch(firstOffset: number, { records, codec = 'none', producerId, end }: BatchDraft): Buffer {
  const controls = [{ key: Buffer.from([0, 0, 0, end === 'commit' ? 1 : 0]), value: Buffer.alloc(6) }];
  const bodies = (end === undefined ? records : controls).map(({ key, value }, index) => encodeRecord(index, key, value));
  const packed = (PACK[codec] ?? ((raw) => raw))(Buffer.concat(bodies));
  const bytes = Buffer.alloc(61 + packed.length);
  bytes.writeBigInt64BE(BigInt(firstOffset), 0);
  bytes.writeInt32BE(bytes.length - 12, 8);
  bytes[16] = 2;
  bytes.writeInt16BE(CODECS[codec] | (producerId === undefined ? 0 : 0x10) | (end === undefined ? 0 : 0x20), 21);
  bytes.writeInt32BE(bodies.length - 1, 23);
  bytes.writeBigInt64BE(1_700_000_000_000n, 27);
  bytes.writeBigInt64BE(BigInt(producerId ?? -1), 43);
  bytes.writeInt32BE(bodies.length, 57);
  packed.copy(bytes, 61);
  bytes.writeUInt32BE(crc32c(bytes.subarray(21)), 17);
  return bytes;
}

function encodeRecord(index: number, key: string | Buffer | undefined, value: string | Buffer | undefined): Buffer {
  const blob = (bytes: string | Buffer | undefined) =>
    bytes === undefined ? varint(-1) : Buffer.concat([varint(Buffer.byteLength(bytes)), Buffer.from(bytes)]);
  const body = Buffer.concat([Buffer.from([0]), varint(0), varint(index), blob(key), blob(value), varint(0)]);
  return Buffer.concat([varint(body.length), body]);
}

function varint(value: number): Buffer {
  const bytes: number[] = [];
  let rest = ((value << 1) ^ (value >> 31)) >>> 0;
  for (; rest > 0x7f; rest >>>= 7) bytes.push((rest & 0x7f) | 0x80);
  return Buffer.from([...bytes, rest]);
}

/** One partition of a topic. */
export class MemoryTopic {
  readonly #batches: { readonly first: number; readonly next: number; readonly bytes: Buffer }[] = [];
  readonly aborted: AbortedTransaction[] = [];
  end = 0;

  add(draft: BatchDraft): void {
    this.addBytes(encodeBatch(this.end, draft), draft.end === undefined ? draft.records.length : 1);
  }

  addBytes(bytes: Buffer, records: number): void {
    this.#batches.push({ first: this.end, next: this.end + records, bytes });
    this.end += records;
  }

  fetch({ partition, from, bytesMax }: FetchPartition): FetchAnswer {
    const found: Buffer[] = [];
    let bytes = 0;
    for (const batch of this.#batches) {
      if (batch.next <= from || bytes >= bytesMax) continue;
      found.push(batch.bytes);
      bytes += batch.bytes.length;
    }
    return { partition, error: 0, start: 0, end: this.end, aborted: this.aborted, records: Buffer.concat(found) };
  }
}

/** A write request of its own id, for key `k<i>`. */
export function message(i: number, requestId?: string): { readonly key: string; readonly value: string } {
  return { key: `k${i % 7}`, value: JSON.stringify({ kind: 'message', payload: i, ...(requestId === undefined ? {} : { requestId }) }) };
}

export interface Member {
  readonly intake: PartitionIntake;
  /** Offsets that the group has, the newest last. */
  readonly commits: GroupOffset[];
  /** Fetches until there is nothing more that the partition wants; does not wait for it. */
  pump(): void;
  /** As a commit that is due at this moment. */
  commit(): void;
  /** Resolves when everything in the topic is in the log. */
  caughtUp(): Promise<void>;
}

export class TestRoom {
  readonly topic = new MemoryTopic();
  readonly log = new MemoryLog({ disk: new MemoryLogDisk(), log: 'writes', origin: 'beijing', partitions: 4, runtime: systemRuntime });
  /** Replaces the log's append, to fail. */
  append: ((drafts: Parameters<MemoryLog['append']>[0]) => ReturnType<MemoryLog['append']>) | undefined;
  held = true;
  #limits: Partial<IntakeLimits>;
  #leases = 0;

  constructor(limits: Partial<IntakeLimits> = {}) {
    this.#limits = limits;
  }

  /** A member that goes on from what the group has, as one of a process of its own. */
  async join(committed: GroupOffset | undefined, more: Partial<PartitionOptions> = {}): Promise<Member> {
    await this.log.open();
    const commits: GroupOffset[] = committed === undefined ? [] : [committed];
    const intake: PartitionIntake = new PartitionIntake({
      ...this.#options(),
      offset: committed?.offset ?? 0,
      note: committed && parseNote(committed.note),
      commit: () => queueMicrotask(commit),
      ...more,
    });
    const commit = () => {
      const due = intake.due();
      if (due === undefined) return;
      commits.push(due);
      intake.committed(due);
    };
    const pump = () => {
      for (let place = intake.place(); place !== undefined && place.from < this.topic.end; place = intake.place()) {
        intake.take(this.topic.fetch(place), place.from);
        if (intake.place()?.from === place.from) return;
      }
    };
    const caughtUp = () =>
      waitFor(() => {
        pump();
        return intake.offset >= this.topic.end;
      });
    intake.start();
    return { intake, commits, pump, commit, caughtUp };
  }

  #options(): Omit<PartitionOptions, 'offset' | 'note' | 'commit'> {
    this.#leases += 1;
    const clock = new HybridClock({ runtime: systemRuntime, writer: 0x01000000 + this.#leases, stampLast: NO_STAMP, aheadMsMax: 5_000 });
    const append = (drafts: Parameters<MemoryLog['append']>[0]) => (this.append ?? ((all) => this.log.append(all)))(drafts);
    const log = boundTo(this.log, append);
    return {
      source: { config: { topic: 'app.writes', format: 'json', kind: '' }, partition: 0, rules: writeRules(topology) },
      intake: new Intake({ room: 'beijing', topology, limits: { ...LIMITS, ...this.#limits }, log, clock, runtime: systemRuntime }),
      log: this.log,
      runtime: systemRuntime,
      logger: silentLogger,
      meters: topicsMetrics(noMetrics).of({ topic: 'app.writes', partitions: () => [] }),
      held: () => this.held,
      fetch: async (place) => this.topic.fetch(place),
    };
  }

  /** Everything in the log, by partition, in order. */
  async writes(): Promise<StampedWrite[]> {
    const found: StampedWrite[] = [];
    for (let partition = 0; partition < 4; partition += 1)
      for (const { bytes } of await this.log.read(partition, 0, Number.MAX_SAFE_INTEGER)) found.push(...decodeFrame(bytes).writes);
    return found.filter(({ kind }) => kind !== CANARY_KIND);
  }
}

/** The log with another way to append. */
function boundTo(log: MemoryLog, append: MemoryLog['append']): MemoryLog {
  return new Proxy(log, {
    get: (target, name) => {
      if (name === 'append') return append;
      const value: unknown = Reflect.get(target, name, target);
      return typeof value === 'function' ? value.bind(target) : value;
    },
  });
}

/** Polls: everything here is a matter of milliseconds, where the machine does not stand still. */
export async function waitFor(done: () => boolean): Promise<void> {
  const deadline = Date.now() + 60_000;
  while (!done()) {
    if (Date.now() > deadline) throw new Error('in vain waited a minute');
    await new Promise((resolve) => setTimeout(resolve, 2));
  }
}
