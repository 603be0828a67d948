/** What the write logs hold, read back from their disks: the truth that everything else is held against. */
import { CANARY_KIND } from '../core/canary.ts';
import { compileCommands, parseCachePayload } from '../core/converge/commands.ts';
import type { Effect } from '../core/converge/effects.ts';
import { laneKey, type Seq, type StampedWrite } from '../core/words.ts';
import { decodeFrame } from '../link/frame.ts';
import type { EpochLane } from './checks/failure.ts';
import type { Room } from './room.ts';

export interface LoggedWrite extends StampedWrite {
  readonly seq: Seq;
  readonly index: number;
}

export class Ledger {
  readonly #rooms: readonly Room[];
  readonly #decoded = new Map<string, LoggedWrite[][]>();

  constructor(rooms: readonly Room[]) {
    this.#rooms = rooms;
  }

  lanes(): EpochLane[] {
    return this.#rooms.flatMap(({ id, disks }) =>
      disks.writes.partitions.map((_, partition) => ({ log: 'writes' as const, origin: id, partition, epoch: disks.writes.epoch })),
    );
  }

  /** Of the effect log, where a room keeps one. */
  effectLanes(): EpochLane[] {
    return this.#rooms.flatMap(({ id, disks }) =>
      disks.effects.partitions.map((_, partition) => ({ log: 'effects' as const, origin: id, partition, epoch: disks.effects.epoch })),
    );
  }

  /** The seq of the newest frame; -1 for none. */
  end(lane: EpochLane): Seq {
    const { first = 0, frames = [] } = this.#disk(lane) ?? {};
    return first + frames.length - 1;
  }

  /** To be called before anything is removed from a log: what it held stays known here. */
  learnAll(): void {
    for (const lane of [...this.lanes(), ...this.effectLanes()]) this.frames(lane);
  }

  /** The write requests of each frame, in order. */
  frames(lane: EpochLane): readonly (readonly LoggedWrite[])[] {
    const name = laneKey(lane);
    const known = this.#decoded.get(name) ?? [];
    this.#decoded.set(name, known);
    const { first = 0, frames = [] } = this.#disk(lane) ?? {};
    for (let seq = known.length; seq < first + frames.length; seq += 1) {
      const { writes } = decodeFrame(frames[seq - first]?.bytes ?? new Uint8Array());
      known.push(writes.map((write, index) => ({ ...write, seq, index })));
    }
    return known;
  }

  writes(lane: EpochLane): LoggedWrite[] {
    return this.frames(lane).flat();
  }

  /** Those whose request id is one of the `window` write requests before them in the lane. */
  duplicates(lane: EpochLane, window: number): Set<LoggedWrite> {
    const writes = this.writes(lane);
    const newest = new Map<string, number>();
    const found = new Set<LoggedWrite>();
    for (const [place, write] of writes.entries()) {
      const before = newest.get(write.requestId);
      if (before !== undefined && place - before <= window) found.add(write);
      newest.set(write.requestId, place);
    }
    return found;
  }

  #disk({ log, origin, partition, epoch }: EpochLane) {
    const disks = this.#rooms.find(({ id }) => id === origin)?.disks;
    const disk = log === 'writes' ? disks?.writes : disks?.effects;
    return disk?.epoch === epoch ? disk.partitions[partition] : undefined;
  }
}

export function effectsOf(write: StampedWrite): Effect[] {
  if (write.kind === CANARY_KIND) return [];
  return compileCommands(parseCachePayload(write.payload), write.stamp);
}
