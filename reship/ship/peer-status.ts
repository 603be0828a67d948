/** How far every room is behind, as this room's reship knows it from their acks. */
import type { Topology } from '../../core/config/types.ts';
import { stampMs } from '../../core/stamp.ts';
import { logsTaken } from '../../core/topology.ts';
import type { RoomId } from '../../core/words.ts';
import type { LogReader } from '../../log/log.ts';
import type { PeerLaneStatus, PeerStatus } from '../../proto/gen/wmb/v1/admin.ts';
import type { AckLedger } from './ack-ledger.ts';

export interface PeerView {
  readonly topology: Topology;
  readonly room: RoomId;
  readonly readers: readonly LogReader[];
  readonly acks: AckLedger;
  readonly connected: ReadonlySet<RoomId>;
  readonly nowMs: number;
}

/** One entry per room of the topology, this room included: its own collector is a peer too. */
export async function peerStatuses(view: PeerView): Promise<PeerStatus[]> {
  const statuses: PeerStatus[] = [];
  for (const { id } of view.topology.rooms) {
    const taken = logsTaken(view.topology, view.room, id);
    const lanes: PeerLaneStatus[] = [];
    // Every room acks the write log, also where its frames come to it by way of the effect log.
    for (const reader of view.readers.filter(({ log }) => log === 'writes' || taken.includes(log))) {
      for (let partition = 0; partition < reader.partitions; partition += 1) lanes.push(await laneStatus(view, id, reader, partition));
    }
    statuses.push({ room: id, connected: view.connected.has(id), lanes });
  }
  return statuses;
}

async function laneStatus(view: PeerView, room: RoomId, reader: LogReader, partition: number): Promise<PeerLaneStatus> {
  const ack = view.acks.get({ room, log: reader.log, partition });
  const ackedSeq = ack?.seq ?? -1;
  const { next, writes } = reader.extent(partition);
  const behind = ackedSeq < next - 1;
  const ackedWrites = behind && ackedSeq >= 0 ? await reader.writesUpTo(partition, ackedSeq) : 0;
  const oldest = behind ? (await reader.stampsAt(partition, ackedSeq + 1))?.greatest : undefined;
  return {
    log: reader.log,
    partition,
    ackedSeq,
    parkedSeq: ack?.parkedSeq ?? -1,
    lagWrites: behind ? writes - ackedWrites : 0,
    lagMs: oldest === undefined ? 0 : Math.max(0, Math.round(view.nowMs - stampMs(oldest))),
  };
}
