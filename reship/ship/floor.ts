/** What a pulse says: the end of every lane, and up to which stamp every room has applied this room's write requests. */
import { NO_STAMP, type Stamp } from '../../core/stamp.ts';
import type { LogName, RoomId } from '../../core/words.ts';
import type { LaneEnd } from '../../link/link.ts';
import type { LogReader } from '../../log/log.ts';
import type { AckLedger } from './ack-ledger.ts';

/**
 * The floor: every room of `rooms` has applied everything of the write log stamped up to it. `settled` is a stamp that every write request
 * not yet seen in the log will exceed; it must have been taken before the call. Empty where a room is unknown or has applied nothing.
 */
export async function floorOf(reader: LogReader, acks: AckLedger, rooms: readonly RoomId[], settled: Stamp): Promise<Stamp> {
  let floor = settled;
  for (let partition = 0; partition < reader.partitions; partition += 1) {
    const stamp = await partitionFloor(reader, { acks, rooms, settled, partition });
    if (stamp === NO_STAMP) return NO_STAMP;
    if (stamp < floor) floor = stamp;
  }
  return floor;
}

interface PartitionView {
  readonly acks: AckLedger;
  readonly rooms: readonly RoomId[];
  readonly settled: Stamp;
  readonly partition: number;
}

async function partitionFloor(reader: LogReader, { acks, rooms, settled, partition }: PartitionView): Promise<Stamp> {
  const end = reader.extent(partition).next - 1;
  // Nothing was ever written: there is nothing that a room could lack, even one that has not spoken.
  if (end < 0) return settled;
  const applied = acks.appliedBy(rooms, { log: reader.log, partition }, 'hold');
  if (applied === undefined) return NO_STAMP;
  if (applied >= end) return settled;
  return (await reader.stampsAt(partition, applied))?.through ?? NO_STAMP;
}

/** The ends of a log's lanes. Only the write log is in the order of its stamps, so only its lanes are settled, also beyond their last frame. */
export function endsOf(reader: LogReader, settled: Stamp): LaneEnd[] {
  return Array.from({ length: reader.partitions }, (_, partition) => {
    const { next, writes, stampLast, through } = reader.extent(partition);
    const known = settled > through ? settled : through;
    const stamp = reader.log === ('writes' satisfies LogName) ? known : stampLast;
    return { log: reader.log, partition, epoch: reader.epoch, seq: next - 1, writes, stamp };
  });
}
