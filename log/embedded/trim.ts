/** Carries the steps of log/retention.ts out on SQLite. Freed pages are used again by later frames; the file does not shrink. */
import type { DatabaseSync } from 'node:sqlite';
import type { Seq } from '../../core/words.ts';
import { type FrameFacts, planTrim, type TrimRequest, type TrimStep, type TrimView } from '../retention.ts';
import { FrameTable } from './frames.ts';
import { frameId, type LogIdentity, seqOf, toPartitionRow } from './schema.ts';
import { inTransaction } from './sqlite.ts';

/**
 * Plans the next step and removes its frames in a transaction of their own; undefined when nothing may go. It plans before it takes
 * the write lock: only one process trims a log, and appends at the other end do not make a plan wrong.
 */
export function trimStep(db: DatabaseSync, identity: LogIdentity, request: TrimRequest): TrimStep | undefined {
  const step = nextStep(db, identity, request);
  if (step !== undefined) inTransaction(db, () => removeFrames(db, step));
  return step;
}

/** What the next step would remove. It takes no lock. */
export function nextStep(db: DatabaseSync, identity: LogIdentity, request: TrimRequest): TrimStep | undefined {
  return planTrim(trimView(db, identity), request);
}

function trimView(db: DatabaseSync, identity: LogIdentity): TrimView {
  const frames = new FrameTable(db, identity);
  return {
    partitions: () => db.prepare('SELECT * FROM wmb_log_partitions ORDER BY partition').all().map(toPartitionRow),
    seqBack: (partition, before, writes) => frames.seqBack(partition, before, writes),
    oldest: (partition, end, framesMax) => oldest(db, partition, end, framesMax),
  };
}

function* oldest(db: DatabaseSync, partition: number, end: Seq, framesMax: number): Generator<FrameFacts> {
  const sql = 'SELECT id, length(frame) AS bytes, stamp_last FROM wmb_log_frames WHERE id >= ? AND id < ? ORDER BY id LIMIT ?';
  for (const row of db.prepare(sql).iterate(frameId(partition, 0), frameId(partition, end), framesMax)) {
    yield { seq: seqOf(Number(row.id)), bytes: Number(row.bytes), stampLast: String(row.stamp_last) };
  }
}

function removeFrames(db: DatabaseSync, step: TrimStep): void {
  const { partition, through, bytes } = step;
  db.prepare('DELETE FROM wmb_log_frames WHERE id >= ? AND id <= ?').run(frameId(partition, 0), frameId(partition, through));
  db.prepare('UPDATE wmb_log_partitions SET first = ?, bytes = bytes - ? WHERE partition = ?').run(through + 1, bytes, partition);
}
