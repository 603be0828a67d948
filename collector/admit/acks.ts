/** What this room tells the origins about their lanes, and its own reship about its logs. */
import type { Stamp } from '../../core/stamp.ts';
import { NO_STAMP } from '../../core/stamp.ts';
import type { LogName, RoomId, Seq } from '../../core/words.ts';
import type { ReceiptException } from '../../link/link.ts';
import type { AckBoard, AckState, LocalHints } from '../lane.ts';
import type { EpochLane } from '../receipts/receipts.ts';

/** Exceptions kept for an origin that is away; the oldest go first (the book has them all). */
export const EXCEPTIONS_MAX = 4096;

interface LaneAck {
  state: AckState;
  changed: boolean;
  exceptions: ReceiptException[];
}

interface OriginAcks {
  /** By log and partition. */
  readonly lanes: Map<string, LaneAck>;
  readonly listeners: Set<() => void>;
  exceptionCount: number;
}

export class Acks implements AckBoard {
  readonly #origins = new Map<RoomId, OriginAcks>();

  /** The room's state in a lane after a batch, with the batch's receipts that are not `applied`. */
  publish(lane: EpochLane, state: { readonly seq: Seq; readonly parkedSeq: Seq }, exceptions: readonly ReceiptException[]): void {
    const acks = this.#of(lane.origin);
    const name = `${lane.log}/${lane.partition}`;
    const next: AckState = { log: lane.log, partition: lane.partition, epoch: lane.epoch, seq: state.seq, parkedSeq: state.parkedSeq };
    const known = acks.lanes.get(name);
    if (known !== undefined && exceptions.length === 0 && isSame(known.state, next)) return;
    const ack = known ?? { state: next, changed: true, exceptions: [] };
    if (ack.state.epoch !== next.epoch) dropExceptions(acks, ack, ack.exceptions.length);
    ack.state = next;
    ack.changed = true;
    for (const it of exceptions) ack.exceptions.push(it);
    acks.exceptionCount += exceptions.length;
    acks.lanes.set(name, ack);
    shed(acks, ack);
    for (const listener of acks.listeners) listener();
  }

  current(origin: RoomId): readonly AckState[] {
    return [...this.#of(origin).lanes.values()].map((ack) => ack.state);
  }

  take(origin: RoomId): readonly (AckState & { readonly exceptions: readonly ReceiptException[] })[] {
    const acks = this.#of(origin);
    const taken: (AckState & { readonly exceptions: readonly ReceiptException[] })[] = [];
    for (const ack of acks.lanes.values()) {
      if (!ack.changed) continue;
      taken.push({ ...ack.state, exceptions: ack.exceptions });
      ack.changed = false;
      ack.exceptions = [];
    }
    acks.exceptionCount = 0;
    return taken;
  }

  onChange(origin: RoomId, listener: () => void): () => void {
    const { listeners } = this.#of(origin);
    listeners.add(listener);
    return () => listeners.delete(listener);
  }

  #of(origin: RoomId): OriginAcks {
    const known = this.#origins.get(origin);
    if (known !== undefined) return known;
    const made: OriginAcks = { lanes: new Map(), listeners: new Set(), exceptionCount: 0 };
    this.#origins.set(origin, made);
    return made;
  }
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
  ack.exceptions.splice(0, count);
  acks.exceptionCount -= count;
}

function isSame(a: AckState, b: AckState): boolean {
  return a.seq === b.seq && a.parkedSeq === b.parkedSeq && a.epoch === b.epoch;
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
