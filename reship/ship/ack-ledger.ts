/**
 * What every room has said about its marks in this room's logs. It is not persisted: every collector tells its marks anew when it connects,
 * so after a restart a room is unknown until it has spoken, and unknown means: keep everything for it.
 *
 * An ack may go down: a cache that was restored from an older copy comes back with an older mark.
 */
import type { LogEpoch, LogName, RoomId, Seq } from '../../core/words.ts';

export interface Ack {
  readonly epoch: LogEpoch;
  /** -1: the room has applied nothing of the partition yet. */
  readonly seq: Seq;
  /** Seq of the oldest write request in the room's parking lot; -1: none. */
  readonly parkedSeq: Seq;
}

export class AckLedger {
  readonly #acks = new Map<string, Ack>();

  set(lane: AckLane, ack: Ack): void {
    this.#acks.set(keyOf(lane), ack);
  }

  forget(lane: AckLane): void {
    this.#acks.delete(keyOf(lane));
  }

  /** Undefined: unknown. */
  get(lane: AckLane): Ack | undefined {
    return this.#acks.get(keyOf(lane));
  }

  /**
   * The greatest seq up to which all of `rooms` have applied the partition; undefined where one is unknown. `parked`: hold it back
   * before the oldest write request that a room has parked, because that one is still to be applied.
   */
  appliedBy(
    rooms: readonly RoomId[],
    part: { readonly log: LogName; readonly partition: number },
    parked: 'hold' | 'pass',
  ): Seq | undefined {
    let applied = Number.POSITIVE_INFINITY;
    for (const room of rooms) {
      const ack = this.get({ room, ...part });
      if (ack === undefined) return undefined;
      const held = parked === 'hold' && ack.parkedSeq >= 0 ? Math.min(ack.seq, ack.parkedSeq - 1) : ack.seq;
      applied = Math.min(applied, held);
    }
    return applied;
  }
}

export interface AckLane {
  readonly room: RoomId;
  readonly log: LogName;
  readonly partition: number;
}

function keyOf(lane: AckLane): string {
  return `${lane.room}/${lane.log}/${lane.partition}`;
}
