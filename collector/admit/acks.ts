/** What this room tells the origins about their lanes, and its own reship about its logs. */
import type { Stamp } from '../../core/stamp.ts';
import { NO_STAMP } from '../../core/stamp.ts';
import type { LogName, Mark, RoomId, Seq } from '../../core/words.ts';
import type { ReceiptException } from '../../link/link.ts';
import type { Ack, AckBoard, AckState, LocalHints } from '../lane.ts';
import type { EpochLane } from '../receipts/receipts.ts';

/** Exceptions kept for an origin that is away; the oldest go first (the book has them all). */
export const EXCEPTIONS_MAX = 4096;

interface LaneAck {
  state: AckState;
  changed: boolean;
  /** `exceptions` are all there are from this seq up to the state's. */
  exceptionsFrom: Seq;
  exceptions: ReceiptException[];
}

interface OriginAcks {
  /** By log and partition. */
  readonly lanes: Map<string, LaneAck>;
  /** In a room with a slave database that follows by itself: how far it has come. */
  readonly arrived: Map<string, Mark>;
  readonly listeners: Set<() => void>;
  exceptionCount: number;
}

export class Acks implements AckBoard {
  readonly #origins = new Map<RoomId, OriginAcks>();

  /**
   * The room's state in a lane after a batch, with the batch's receipts that are not `applied`: all of them from seq `from` on. Without a
   * batch nothing is known of what lies before: then leave `from` out.
   */
  publish(
    lane: EpochLane,
    state: { readonly seq: Seq; readonly parkedSeq: Seq; readonly from?: Seq; readonly databaseSeq?: Seq | undefined },
    exceptions: readonly ReceiptException[],
  ): void {
    const acks = this.#of(lane.origin);
    const name = `${lane.log}/${lane.partition}`;
    const known = acks.lanes.get(name);
    const next: AckState = {
      log: lane.log,
      partition: lane.partition,
      epoch: lane.epoch,
      seq: state.seq,
      parkedSeq: state.parkedSeq,
      ...inDatabase(state.databaseSeq ?? this.arrivedIn(lane)),
    };
    if (known !== undefined && exceptions.length === 0 && isSame(known.state, next)) return;
    const from = state.from ?? state.seq + 1;
    const ack = known ?? { state: next, changed: true, exceptionsFrom: from, exceptions: [] };
    if (ack.state.epoch !== next.epoch) {
      dropExceptions(acks, ack, ack.exceptions.length);
      ack.exceptionsFrom = from;
    }
    // What was published before reaches up to the state: a batch that begins beyond it leaves a gap.
    ack.exceptionsFrom = from > ack.state.seq + 1 ? from : Math.min(ack.exceptionsFrom, from);
    ack.state = next;
    ack.changed = true;
    for (const it of exceptions) ack.exceptions.push(it);
    acks.exceptionCount += exceptions.length;
    acks.lanes.set(name, ack);
    shed(acks, ack);
    for (const listener of acks.listeners) listener();
  }

  /** The room's slave database has come to these marks of the master's. */
  arrived(marks: readonly Mark[]): void {
    for (const mark of marks) {
      const acks = this.#of(mark.origin);
      acks.arrived.set(`${mark.log}/${mark.partition}`, mark);
      const ack = acks.lanes.get(`${mark.log}/${mark.partition}`);
      if (ack === undefined || ack.state.epoch !== mark.epoch || ack.state.databaseSeq === mark.seq) continue;
      ack.state = { ...ack.state, databaseSeq: mark.seq };
      ack.changed = true;
      for (const listener of acks.listeners) listener();
    }
  }

  /** Undefined: none of the lane has. */
  arrivedIn({ log, origin, partition, epoch }: EpochLane): Seq | undefined {
    const mark = this.#of(origin).arrived.get(`${log}/${partition}`);
    return mark?.epoch === epoch ? mark.seq : undefined;
  }

  /** The newest state of every lane of `origin` that has one. */
  current(origin: RoomId): readonly AckState[] {
    return [...this.#of(origin).lanes.values()].map((ack) => ack.state);
  }

  take(origin: RoomId): readonly Ack[] {
    const acks = this.#of(origin);
    return [...acks.lanes.values()].filter((ack) => ack.changed).map((ack) => takeOne(acks, ack));
  }

  takeAll(origin: RoomId): readonly Ack[] {
    const acks = this.#of(origin);
    return [...acks.lanes.values()].map((ack) => takeOne(acks, ack));
  }

  onChange(origin: RoomId, listener: () => void): () => void {
    const { listeners } = this.#of(origin);
    listeners.add(listener);
    return () => listeners.delete(listener);
  }

  #of(origin: RoomId): OriginAcks {
    const known = this.#origins.get(origin);
    if (known !== undefined) return known;
    const made: OriginAcks = { lanes: new Map(), arrived: new Map(), listeners: new Set(), exceptionCount: 0 };
    this.#origins.set(origin, made);
    return made;
  }
}

/** Exceptions ahead of the mark (a frame whose effects come in parts) wait until it has passed them. */
function takeOne(acks: OriginAcks, ack: LaneAck): Ack {
  const { state, exceptionsFrom } = ack;
  const exceptions = ack.exceptions.filter(({ seq }) => seq <= state.seq);
  ack.exceptions = ack.exceptions.filter(({ seq }) => seq > state.seq);
  ack.exceptionsFrom = state.seq + 1;
  ack.changed = false;
  acks.exceptionCount -= exceptions.length;
  return { ...state, exceptionsFrom, exceptions };
}

/** Gives up the oldest exceptions: of other lanes first, since those have waited longest, then of `newest`. */
function shed(acks: OriginAcks, newest: LaneAck): void {
  for (const ack of [...acks.lanes.values()].filter((it) => it !== newest).concat(newest)) {
    const over = acks.exceptionCount - EXCEPTIONS_MAX;
    if (over <= 0) return;
    dropExceptions(acks, ack, Math.min(over, ack.exceptions.length));
  }
}

function dropExceptions(acks: OriginAcks, ack: LaneAck, count: number): void {
  for (const { seq } of ack.exceptions.splice(0, count)) ack.exceptionsFrom = Math.max(ack.exceptionsFrom, seq + 1);
  acks.exceptionCount -= count;
}

/** Where there is nothing to say of a database, there is no such field. */
function inDatabase(databaseSeq: Seq | undefined): Pick<AckState, 'databaseSeq'> {
  return databaseSeq === undefined ? {} : { databaseSeq };
}

function isSame(a: AckState, b: AckState): boolean {
  return a.seq === b.seq && a.parkedSeq === b.parkedSeq && a.epoch === b.epoch && a.databaseSeq === b.databaseSeq;
}

/** Hints for the local reship. */
export class Hints implements LocalHints {
  readonly #observed = new Set<(stamp: Stamp) => void>();
  readonly #appended = new Set<(log: LogName, partition: number) => void>();
  #greatest: Stamp = NO_STAMP;

  /** A peer's write request with this stamp was applied. */
  observed(stamp: Stamp): void {
    if (stamp <= this.#greatest) return;
    this.#greatest = stamp;
    for (const listener of this.#observed) listener(stamp);
  }

  appended(log: LogName, partition: number): void {
    for (const listener of this.#appended) listener(log, partition);
  }

  /** Also calls back at once with the greatest stamp so far: a reship that starts later needs it no less. */
  onObserved(listener: (stamp: Stamp) => void): () => void {
    this.#observed.add(listener);
    if (this.#greatest !== NO_STAMP) listener(this.#greatest);
    return () => this.#observed.delete(listener);
  }

  onAppended(listener: (log: LogName, partition: number) => void): () => void {
    this.#appended.add(listener);
    return () => this.#appended.delete(listener);
  }
}
