/** A receipt book in memory that outlives the collector: the same port and the same answers as the one on SQLite. */
import type {
  BookEntry,
  EpochLane,
  ExceptionReceipt,
  FrameReceipt,
  LaneSummary,
  ParkedWrite,
  ReceiptBook,
  Selection,
  Settlement,
} from '../collector/receipts/receipts.ts';
import { formatPosition, type Lane, laneKey, type Mark, NOTHING_SEEN, type Seq } from '../core/words.ts';

interface BookLane {
  readonly lane: EpochLane;
  seq: Seq;
  writes: number;
  stampLast: string;
  readonly frames: Map<Seq, FrameReceipt>;
  /** By `seq.index`. */
  readonly exceptions: Map<string, ExceptionReceipt>;
}

export class MemoryBook implements ReceiptBook {
  readonly #lanes = new Map<string, BookLane>();
  /** In the order of parking. */
  #parked: ParkedWrite[] = [];

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
      stampLast: known?.stampLast ?? '',
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
      lane.frames.set(frame.seq, frame);
      if (frame.seq > lane.seq) lane.writes += frame.count;
      else for (const [name, it] of lane.exceptions) if (it.seq === frame.seq) lane.exceptions.delete(name);
    }
    for (const it of entry.exceptions) putException(lane, it);
    for (const it of entry.parked) if (!this.#parked.some((other) => isSame(other, it))) this.#parked.push(it);
    const last = entry.frames.at(-1);
    if (last === undefined || last.seq <= lane.seq) return;
    lane.seq = last.seq;
    lane.stampLast = last.stampLast;
  }

  async exceptions(lane: EpochLane, from: Seq, to: Seq): Promise<readonly ExceptionReceipt[]> {
    return this.exceptionsOf(lane)
      .filter(({ seq }) => seq >= from && seq <= to)
      .sort((a, b) => a.seq - b.seq || a.index - b.index);
  }

  async parkedKeys(lane: EpochLane): Promise<readonly { key: string; seq: Seq; index: number }[]> {
    return this.#ofLane(lane).map(({ write, position }) => ({ key: write.key, seq: position.seq, index: position.index }));
  }

  async list(after: string, limit: number): Promise<readonly ParkedWrite[]> {
    const from = this.#parked.findIndex(({ position }) => formatPosition(position) === after) + 1;
    return this.#parked.slice(from, from + limit);
  }

  async select(selection: Selection): Promise<readonly ParkedWrite[]> {
    const names = new Set(selection.writes);
    const chosen = this.#parked.filter(
      ({ position, write }) => selection.all || names.has(formatPosition(position)) || names.has(write.requestId),
    );
    const lanes = [...this.#lanes.keys()];
    const place = (it: ParkedWrite) => lanes.indexOf(nameOf(it.position));
    return chosen.sort((a, b) => place(a) - place(b) || byPosition(a, b));
  }

  async firstOfKey(lane: EpochLane, key: string): Promise<ParkedWrite | undefined> {
    return this.#ofLane(lane).find(({ write }) => write.key === key);
  }

  async due(nowMs: number, limit: number): Promise<readonly ParkedWrite[]> {
    return this.#parked
      .filter(({ retryMs }) => retryMs !== undefined && retryMs <= nowMs)
      .sort((a, b) => (a.retryMs ?? 0) - (b.retryMs ?? 0))
      .slice(0, limit);
  }

  async settle({ position, requestId, outcome, code }: Settlement): Promise<void> {
    putException(this.#lane(position), { seq: position.seq, index: position.index, requestId, outcome, code });
    this.#parked = this.#parked.filter((it) => !isSame(it, { position }));
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

  #lane(lane: EpochLane): BookLane {
    const name = nameOf(lane);
    const known = this.#lanes.get(name);
    if (known !== undefined) return known;
    const { log, origin, partition, epoch } = lane;
    const made = {
      lane: { log, origin, partition, epoch },
      seq: NOTHING_SEEN,
      writes: 0,
      stampLast: '',
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

function byPosition(a: ParkedWrite, b: ParkedWrite): number {
  return a.position.seq - b.position.seq || a.position.index - b.position.index;
}

function isSame(a: Pick<ParkedWrite, 'position'>, b: Pick<ParkedWrite, 'position'>): boolean {
  return nameOf(a.position) === nameOf(b.position) && a.position.seq === b.position.seq && a.position.index === b.position.index;
}
