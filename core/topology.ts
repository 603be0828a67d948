/** What follows from the topology: who ships what to whom. */
import type { RoomEntry, Topology, Transport } from './config/types.ts';
import type { Lane, LogName, RoomId } from './words.ts';

/**
 * What a room takes over its link from an origin.
 * - `writes`: the origin's write log, through the processor.
 * - `effects`: the master's effect log, straight into the cache.
 * - `changes`: the embedded master's row changes, into the slave database.
 * A link without logs still exists: over it the room tells the origin how far it is (acks).
 */
export function logsTaken(topology: Topology, origin: RoomId, peer: RoomId): readonly LogName[] {
  const from = roomEntry(topology, origin);
  const to = roomEntry(topology, peer);
  if (from === undefined || to === undefined) return [];
  const logs: LogName[] = [];
  if (topology.mode === 'independent' || to.database === 'master') logs.push('writes');
  else if (from.database === 'master') logs.push('effects');
  if (hasChangesLog(topology) && from.database === 'master' && to.database === 'slave') logs.push('changes');
  return logs;
}

/** Over what a link runs where nobody has chosen otherwise. */
export function transportOf(topology: Topology, origin: RoomId, peer: RoomId): Transport {
  return topology.links.find((link) => link.origin === origin && link.peer === peer)?.transport ?? 'rpc';
}

/** The logs that a room keeps. */
export function logsKept(topology: Topology, room: RoomId): readonly LogName[] {
  if (masterRoom(topology)?.id !== room) return ['writes'];
  const logs: LogName[] = topology.mode === 'master-slave' ? ['writes', 'effects'] : ['writes'];
  return hasChangesLog(topology) ? [...logs, 'changes'] : logs;
}

/** The lanes that end in every room's cache: whose frames, or what is made of them, come there. */
export function cacheLanes(topology: Topology): readonly Lane[] {
  const { rooms, mode, partitions } = topology;
  const effects = mode === 'master-slave' ? masterRoom(topology)?.id : undefined;
  return Array.from({ length: partitions }, (_, partition) => [
    ...rooms.map(({ id }): Lane => ({ log: 'writes', origin: id, partition })),
    ...(effects === undefined ? [] : [{ log: 'effects', origin: effects, partition } as const]),
  ]).flat();
}

/** Servers replicate by themselves. */
function hasChangesLog(topology: Topology): boolean {
  return topology.databases !== 'mysql';
}

/** Whether the room's processors handle write requests (in a master–slave topology only the master's do). */
export function processesWrites(topology: Topology, room: RoomId): boolean {
  return topology.mode === 'independent' || masterRoom(topology)?.id === room;
}

export function roomEntry(topology: Topology, id: RoomId): RoomEntry | undefined {
  return topology.rooms.find((room) => room.id === id);
}

/** The room with the writable database; undefined in a topology without databases. */
export function masterRoom(topology: Topology): RoomEntry | undefined {
  return topology.rooms.find((room) => room.database === 'master');
}
