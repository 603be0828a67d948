/** A receipt book in memory that outlives the collector: the same port and the same answers as the one on SQLite. */
import { receiptDigest } from '../collector/receipts/receipt-digest.ts';
import type {
  BookEntry,
  EpochLane,
  ExceptionReceipt,
  FrameReceipt,
  LaneSummary,
  ParkedPlace,
  ParkedWrite,
  ReceiptBook,
  RetriedEffects,
  RetriedWrite,
  Settlement,
  Skip,
} from '../collector/receipts/receipts.ts';
import type { ErrorCode } from '../core/errors.ts';
import type { FrameReceipts, SeqRange } from '../core/inspection.ts';
import type { Stamp } from '../core/stamp.ts';
import { formatPosition, type Lane, laneKey, type Mark, NOTHING_SEEN, type Position, type Seq } from '../core/words.ts';

interface BookLane {
  readonly lane: EpochLane;
  seq: Seq;
  writes: number;
  through: string;
  readonly frames: Map<Seq, FrameReceipt>;
  /** By `seq.index`. */
  readonly exceptions: Map<string, ExceptionReceipt>;
}

export class MemoryBook implements ReceiptBook {
  readonly #lanes = new Map<string, BookLane>();
  /** In the order of parking. */
  #parked: ParkedWrite[] = [];
  #retriedLast = 0;
  #retried: { readonly id: number; readonly parked: ParkedWrite; readonly effects: RetriedEffects }[] = [];

  async open(): Promise<void> {}
  async close(): Promise<void> {}

  async marks(): Promise<readonly Mark[]> {
    const newest = new Map<string, BookLane>();
    for (const lane of this.#lanes.values()) newest.set(laneKey(lane.lane), lane);
    return [...newest.values()].filter(({ seq }) => seq >= 0).map(({ lane, seq }) => ({ ...lane, seq }));
  }

  async summary(lane: EpochLane): Promise<LaneSummary> {
    const known = this.#lanes.get(nameOf(lane));
    const exceptions = [...(known?.exceptions.values() ?? [])];
    const seq = known?.seq ?? NOTHING_SEEN;
    const parkedSeqs = exceptions.filter(({ outcome }) => outcome === 'parked').map((it) => it.seq);
    return {
      epoch: lane.epoch,
      seq,
      writes: known?.writes ?? 0,
      through: known?.through ?? '',
      parkedSeq: parkedSeqs.length === 0 ? NOTHING_SEEN : Math.min(...parkedSeqs),
      parked: this.#ofLane(lane).length,
      knownSeq: Math.max(seq, ...exceptions.map((it) => it.seq)),
    };
  }

  async record(entries: readonly BookEntry[]): Promise<void> {
    for (const entry of entries) this.#recordEntry(entry);
  }

  #recordEntry(entry: BookEntry): void {
    const lane = this.#lane(entry.lane);
    for (const frame of entry.frames) {
      lane.frames.set(frame.seq, { ...frame, appliedMs: lane.frames.get(frame.seq)?.appliedMs ?? frame.appliedMs });
      if (frame.seq > lane.seq) lane.writes += frame.count;
      else for (const [name, it] of lane.exceptions) if (it.seq === frame.seq) lane.exceptions.delete(name);
    }
    for (const it of entry.exceptions) putException(lane, it);
    for (const it of entry.parked) if (!this.#parked.some((other) => isSame(other, it))) this.#parked.push(it);
    const last = entry.frames.at(-1);
    if (last === undefined || last.seq <= lane.seq) return;
    lane.seq = last.seq;
    lane.through = last.through;
  }

  async exceptions(lane: EpochLane, from: Seq, to: Seq): Promise<readonly ExceptionReceipt[]> {
    return this.exceptionsOf(lane)
      .filter(({ seq }) => seq >= from && seq <= to)
      .sort((a, b) => a.seq - b.seq || a.index - b.index);
  }

  async frames({ lane, from, to }: SeqRange): Promise<readonly FrameReceipts[]> {
    const exceptions = Map.groupBy(await this.exceptions(lane, from, to), ({ seq }) => seq);
    return [...(this.#lanes.get(nameOf(lane))?.frames.values() ?? [])]
      .filter(({ seq }) => seq >= from && seq <= to)
      .sort((a, b) => a.seq - b.seq)
      .map(({ through: _, ...frame }) => ({
        ...frame,
        exceptions: (exceptions.get(frame.seq) ?? []).map((it) => this.#detailOf(lane, it)),
      }));
  }

  #detailOf(lane: EpochLane, { seq, index, requestId, outcome, code }: ExceptionReceipt): FrameReceipts['exceptions'][number] {
    const parked = this.#parked.find((it) => outcome === 'parked' && isSame(it, { position: { ...lane, seq, index } }));
    return { index, requestId, outcome, code, parkedMs: parked?.parkedMs ?? 0, attempts: parked?.attempts ?? 0 };
  }

  async digest(range: SeqRange): Promise<string> {
    const frames = await this.frames(range);
    return frames.length === range.to - range.from + 1 ? receiptDigest(frames) : '';
  }

  async parkedKeys(lane: EpochLane): Promise<readonly { key: string; seq: Seq; index: number }[]> {
    const oldest = new Map<string, ParkedWrite>();
    for (const it of this.#ofLane(lane)) if (!oldest.has(it.write.key)) oldest.set(it.write.key, it);
    return [...oldest].map(([key, { position }]) => ({ key, seq: position.seq, index: position.index }));
  }

  async list(after: string, limit: number): Promise<readonly ParkedWrite[]> {
    const from = this.#parked.findIndex(({ position }) => formatPosition(position) === after) + 1;
    return this.#parked.slice(from, from + limit);
  }

  async page(after: string, limit: number): Promise<readonly ParkedPlace[]> {
    const places = this.#places(this.#parked);
    const from = places.findIndex(({ position }) => formatPosition(position) === after) + 1;
    return places.slice(from, from + limit);
  }

  async select(names: readonly string[]): Promise<readonly ParkedPlace[]> {
    return this.#places(this.#parked.filter((it) => names.includes(formatPosition(it.position)) || names.includes(it.write.requestId)));
  }

  async find(position: Position): Promise<ParkedWrite | undefined> {
    return this.#parked.find((it) => isSame(it, { position }));
  }

  async firstOfKey(lane: EpochLane, key: string): Promise<ParkedWrite | undefined> {
    return this.#ofLane(lane).find(({ write }) => write.key === key);
  }

  async due(nowMs: number, limit: number): Promise<readonly ParkedPlace[]> {
    return this.#parked
      .filter(({ retryMs }) => retryMs !== undefined && retryMs <= nowMs)
      .sort((a, b) => (a.retryMs ?? 0) - (b.retryMs ?? 0))
      .slice(0, limit)
      .map(placeOf);
  }

  async settle({ position, requestId, outcome, code, effects }: Settlement): Promise<void> {
    putException(this.#lane(position), { seq: position.seq, index: position.index, requestId, outcome, code });
    const gone = this.#parked.find((it) => isSame(it, { position }));
    this.#parked = this.#parked.filter((it) => it !== gone);
    if (gone === undefined || effects === undefined) return;
    this.#retriedLast += 1;
    this.#retried.push({ id: this.#retriedLast, parked: gone, effects });
  }

  async retried(lane: EpochLane, cacheSeq: Seq, after: number, limit: number): Promise<readonly RetriedWrite[]> {
    return this.#retried
      .filter(({ id, effects }) => id > after && nameOf(effects.cacheMark) === nameOf(lane) && effects.cacheMark.seq >= cacheSeq)
      .slice(0, limit)
      .map(({ id, parked, effects }) => {
        const { requestId, stamp } = parked.write;
        return { id, position: parked.position, requestId, stamp, commands: effects.commands, cacheSeq: effects.cacheMark.seq };
      });
  }

  async forgetRetried(upTo: Stamp): Promise<void> {
    this.#retried = this.#retried.filter(({ parked }) => parked.write.stamp > upTo);
  }

  async parkAgain({ id }: RetriedWrite, why: { code: ErrorCode; message: string; nowMs: number }): Promise<void> {
    const found = this.#retried.find((it) => it.id === id);
    if (found === undefined) return;
    const { position, write } = found.parked;
    this.#retried = this.#retried.filter((it) => it !== found);
    this.#parked.push({
      ...found.parked,
      code: why.code,
      message: why.message,
      parkedMs: why.nowMs,
      attempts: 1,
      retryMs: undefined,
      inDatabase: true,
    });
    const { seq, index } = position;
    putException(this.#lane(position), { seq, index, requestId: write.requestId, outcome: 'parked', code: why.code });
  }

  // Nobody gives frames up here: the logs keep everything.

  beginSkip(): Promise<never> {
    throw new Error('there is nothing to skip');
  }

  finishSkip(): Promise<never> {
    throw new Error('there is nothing to skip');
  }

  async pendingSkip(): Promise<undefined> {}

  async skips(): Promise<readonly Skip[]> {
    return [];
  }

  async inRange(): Promise<{ writes: undefined; parked: number }> {
    return { writes: undefined, parked: 0 };
  }

  parkedBytes(): number {
    return this.#parked.reduce((sum, { write }) => sum + write.payload.length, 0);
  }

  async failAgain(it: ParkedWrite): Promise<void> {
    const { position, write, code } = it;
    this.#parked = this.#parked.map((other) => (isSame(other, it) ? { ...it, parkedMs: other.parkedMs } : other));
    const exception: ExceptionReceipt = { seq: position.seq, index: position.index, requestId: write.requestId, outcome: 'parked', code };
    putException(this.#lane(position), exception);
  }

  parkedTotal(): number {
    return this.#parked.length;
  }

  // What the simulator's checks look at.

  parked(): readonly ParkedWrite[] {
    return this.#parked;
  }

  markOf(lane: EpochLane): Seq {
    return this.#lanes.get(nameOf(lane))?.seq ?? NOTHING_SEEN;
  }

  hasFrame(lane: EpochLane, seq: Seq): boolean {
    return this.#lanes.get(nameOf(lane))?.frames.has(seq) ?? false;
  }

  exceptionAt(lane: EpochLane, seq: Seq, index: number): ExceptionReceipt | undefined {
    return this.#lanes.get(nameOf(lane))?.exceptions.get(`${seq}.${index}`);
  }

  exceptionsOf(lane: EpochLane): ExceptionReceipt[] {
    return [...(this.#lanes.get(nameOf(lane))?.exceptions.values() ?? [])];
  }

  #ofLane(lane: EpochLane): ParkedWrite[] {
    const name = nameOf(lane);
    return this.#parked.filter(({ position }) => nameOf(position) === name).sort(byPosition);
  }

  /** In the order of their lanes. */
  #places(parked: readonly ParkedWrite[]): ParkedPlace[] {
    const lanes = [...this.#lanes.keys()];
    const place = (it: ParkedWrite) => lanes.indexOf(nameOf(it.position));
    return [...parked].sort((a, b) => place(a) - place(b) || byPosition(a, b)).map(placeOf);
  }

  #lane(lane: EpochLane): BookLane {
    const name = nameOf(lane);
    const known = this.#lanes.get(name);
    if (known !== undefined) return known;
    const { log, origin, partition, epoch } = lane;
    const made = {
      lane: { log, origin, partition, epoch },
      seq: NOTHING_SEEN,
      writes: 0,
      through: '',
      frames: new Map(),
      exceptions: new Map(),
    };
    this.#lanes.set(name, made);
    return made;
  }
}

function nameOf(lane: Lane & { readonly epoch: string }): string {
  return `${laneKey(lane)}@${lane.epoch}`;
}

function putException(lane: BookLane, it: ExceptionReceipt): void {
  if (it.outcome === 'applied') lane.exceptions.delete(`${it.seq}.${it.index}`);
  else lane.exceptions.set(`${it.seq}.${it.index}`, it);
}

function placeOf({ position, write }: ParkedWrite): ParkedPlace {
  return { position, requestId: write.requestId, key: write.key };
}

function byPosition(a: ParkedWrite, b: ParkedWrite): number {
  return a.position.seq - b.position.seq || a.position.index - b.position.index;
}

function isSame(a: Pick<ParkedWrite, 'position'>, b: Pick<ParkedWrite, 'position'>): boolean {
  return nameOf(a.position) === nameOf(b.position) && a.position.seq === b.position.seq && a.position.index === b.position.index;
}
