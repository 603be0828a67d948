/** Ranges of frames that a person gave up: `rejected`, every one of their write requests, with the reason LOG_GAP. */
import { NO_STAMP } from '../../core/stamp.ts';
import type { Lane, Seq } from '../../core/words.ts';
import { type BookFile, laneOf, type Row } from './book-file.ts';
import type { EpochLane, Skip, SkipDraft } from './receipts.ts';

const SELECT_SKIPS = 'SELECT skips.*, log, origin, partition, epoch FROM skips JOIN lanes ON lanes.id = skips.lane';

export class Skips {
  readonly #file: BookFile;

  constructor(file: BookFile) {
    this.#file = file;
  }

  begin(draft: SkipDraft): Skip {
    const lane = this.#file.laneId(draft);
    const sql = `INSERT INTO skips (lane, seq_from, seq_to, writes, outcome, code, next_epoch, next_seq, skipped_ms, done)
      VALUES (?, ?, ?, ?, 'rejected', 'LOG_GAP', ?, ?, ?, 0)`;
    const { from, to, writes, next, skippedMs } = draft;
    const { lastInsertRowid } = this.#file.transaction(() =>
      this.#file.sql(sql).run(lane, from, to ?? null, writes ?? null, next.epoch, next.seq, skippedMs),
    );
    return { ...draft, id: Number(lastInsertRowid), done: false };
  }

  finish(skip: Skip): void {
    const lane = this.#file.laneId(skip);
    // The newest lane is the one whose mark counts.
    if (skip.next.epoch !== skip.epoch) this.#file.laneId({ ...skip, epoch: skip.next.epoch });
    this.#file.transaction(() => {
      if (skip.next.epoch === skip.epoch) {
        if (skip.next.seq < skip.from) this.#moveBack(lane, skip.next.seq);
        else this.#file.sql('UPDATE lanes SET seq = ?1, stamp_last = ?2 WHERE id = ?3 AND seq < ?1').run(skip.next.seq, NO_STAMP, lane);
      }
      this.#file.sql('UPDATE skips SET done = 1 WHERE id = ?').run(skip.id);
    });
  }

  /** The tail was lost: these seqs will belong to other frames. */
  #moveBack(lane: number, seq: Seq): void {
    const gone = this.#file.sql('SELECT coalesce(sum(count), 0) AS writes FROM frames WHERE lane = ? AND seq > ?').get(lane, seq);
    this.#file
      .sql('UPDATE lanes SET seq = ?, writes = max(0, writes - ?), stamp_last = ? WHERE id = ?')
      .run(seq, Number(gone?.['writes']), NO_STAMP, lane);
    for (const table of ['frames', 'exceptions']) this.#file.sql(`DELETE FROM ${table} WHERE lane = ? AND seq > ?`).run(lane, seq);
  }

  pending({ log, origin, partition }: Lane): Skip | undefined {
    const sql = `${SELECT_SKIPS} WHERE done = 0 AND log = ? AND origin = ? AND partition = ? ORDER BY skips.id DESC LIMIT 1`;
    return this.#file.read(sql, log, origin, partition).map(skipOf)[0];
  }

  all(lane: Lane): Skip[] {
    const { log, origin, partition } = lane;
    return this.#file
      .read(`${SELECT_SKIPS} WHERE log = ? AND origin = ? AND partition = ? ORDER BY skips.id`, log, origin, partition)
      .map(skipOf);
  }

  inRange(lane: EpochLane, from: Seq, to: Seq): { readonly writes: number | undefined; readonly parked: number } {
    const id = this.#file.findLane(lane);
    if (id === undefined) return { writes: undefined, parked: 0 };
    const range = 'WHERE lane = ? AND seq BETWEEN ? AND ?';
    const frames = this.#file.read(`SELECT count(*) AS frames, sum(count) AS writes FROM frames ${range}`, id, from, to)[0];
    const parked = this.#file.number(`SELECT count(*) AS n FROM parked ${range}`, id, from, to);
    return { writes: Number(frames?.['frames']) === to - from + 1 ? Number(frames?.['writes']) : undefined, parked };
  }
}

function skipOf(row: Row): Skip {
  const known = (name: string) => (row[name] === null ? undefined : Number(row[name]));
  return {
    ...laneOf(row),
    id: Number(row['id']),
    from: Number(row['seq_from']),
    to: known('seq_to'),
    writes: known('writes'),
    next: { epoch: String(row['next_epoch']), seq: Number(row['next_seq']) },
    skippedMs: Number(row['skipped_ms']),
    done: row['done'] === 1,
  };
}
