/** Reads the receipts of whole frames, for comparisons with other rooms. */
import type { FrameReceipts, ReceiptDetail, SeqRange } from '../../core/inspection.ts';
import { NO_STAMP } from '../../core/stamp.ts';
import type { Outcome, Seq } from '../../core/words.ts';
import type { BookFile, Row } from './book-file.ts';
import { type DigestedFrame, receiptDigest } from './receipt-digest.ts';

const FRAMES = 'SELECT seq, count, stamp_first, stamp_last, applied_ms FROM frames WHERE lane = ? AND seq BETWEEN ? AND ? ORDER BY seq';
const DETAILS = `SELECT e.seq, e.place, e.request_id, e.outcome, e.code, p.parked_ms, p.attempts
  FROM exceptions e LEFT JOIN parked p ON p.lane = e.lane AND p.seq = e.seq AND p.place = e.place AND e.outcome = 'parked'
  WHERE e.lane = ? AND e.seq BETWEEN ? AND ? ORDER BY e.seq, e.place`;
/** As receipt-digest.ts says of outcomes. */
const UNDONE = `SELECT seq, place, outcome FROM exceptions
  WHERE lane = ? AND seq BETWEEN ? AND ? AND outcome IN ('duplicate', 'parked', 'rejected') ORDER BY seq, place`;

/** Ranges that were passed over; not a tail that a log has lost, whose seqs belong to other frames. */
const GIVEN_UP = `SELECT max(seq_from, ?2, lanes.seq - ?4 + 1) AS first, min(seq_to, ?3) AS last, skipped_ms FROM skips JOIN lanes ON lanes.id = skips.lane
  WHERE lane = ?1 AND done = 1 AND next_seq >= seq_to AND seq_to >= ?2 AND seq_from <= ?3`;

export class FrameRows {
  readonly #file: BookFile;
  readonly #framesKept: number;

  constructor(file: BookFile, framesKept: number) {
    this.#file = file;
    this.#framesKept = framesKept;
  }

  frames(range: SeqRange): FrameReceipts[] {
    const lane = this.#file.findLane(range.lane);
    if (lane === undefined) return [];
    const details = bySeq(this.#file.read(DETAILS, lane, range.from, range.to), detailOf);
    const taken = this.#file.read(FRAMES, lane, range.from, range.to).map((row) => ({
      ...frameOf(row, details),
      stampFirst: String(row['stamp_first']),
      appliedMs: Number(row['applied_ms']),
    }));
    const givenUp = this.#givenUp(lane, range, new Set(taken.map(({ seq }) => seq)));
    return givenUp.length === 0 ? taken : [...taken, ...givenUp].sort((a, b) => a.seq - b.seq);
  }

  /** Told for as long as a frame would be that was taken. */
  #givenUp(lane: number, { from, to }: SeqRange, taken: Set<Seq>): FrameReceipts[] {
    const frames: FrameReceipts[] = [];
    for (const row of this.#file.read(GIVEN_UP, lane, from, to, this.#framesKept)) {
      for (let seq = Number(row['first']); seq <= Number(row['last']); seq += 1) {
        if (taken.has(seq)) continue;
        taken.add(seq);
        frames.push(givenUpFrame(seq, Number(row['skipped_ms'])));
      }
    }
    return frames;
  }

  digest(range: SeqRange): string {
    const lane = this.#file.findLane(range.lane);
    if (lane === undefined) return '';
    const frames = this.#file.read(FRAMES, lane, range.from, range.to);
    if (frames.length !== range.to - range.from + 1) return '';
    const undone = bySeq(this.#file.read(UNDONE, lane, range.from, range.to), (row) => ({
      index: Number(row['place']),
      outcome: row['outcome'] as Outcome,
    }));
    return receiptDigest(frames.map((row) => frameOf(row, undone)));
  }
}

function givenUpFrame(seq: Seq, skippedMs: number): FrameReceipts {
  const rejected: ReceiptDetail = { index: 0, requestId: '', outcome: 'rejected', code: 'LOG_GAP', parkedMs: 0, attempts: 0 };
  return { seq, count: 1, stampFirst: NO_STAMP, stampLast: NO_STAMP, appliedMs: skippedMs, exceptions: [rejected] };
}

function frameOf<T extends DigestedFrame['exceptions'][number]>(
  row: Row,
  exceptions: ReadonlyMap<Seq, readonly T[]>,
): DigestedFrame & { readonly exceptions: readonly T[] } {
  const seq = Number(row['seq']);
  return { seq, count: Number(row['count']), stampLast: String(row['stamp_last']), exceptions: exceptions.get(seq) ?? [] };
}

function bySeq<T>(rows: readonly Row[], read: (row: Row) => T): ReadonlyMap<Seq, readonly T[]> {
  const found = new Map<Seq, T[]>();
  for (const row of rows) {
    const seq = Number(row['seq']);
    const list = found.get(seq);
    if (list === undefined) found.set(seq, [read(row)]);
    else list.push(read(row));
  }
  return found;
}

function detailOf(row: Row): ReceiptDetail {
  return {
    index: Number(row['place']),
    requestId: String(row['request_id']),
    outcome: row['outcome'] as Outcome,
    code: String(row['code']),
    parkedMs: Number(row['parked_ms'] ?? 0),
    attempts: Number(row['attempts'] ?? 0),
  };
}
