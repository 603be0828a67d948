import type { Config } from '../../core/config/types.ts';
import { WmbError } from '../../core/errors.ts';
import { WHOLE } from '../../core/share.ts';
import { roomEntry } from '../../core/topology.ts';
import { type Hello, LINK_PROTOCOL } from '../../link/link.ts';

/** Everything about a hello but its proof. */
export function checkHello(hello: Hello, { topology, room }: Config): void {
  if (hello.protocol !== LINK_PROTOCOL) {
    throw new WmbError(
      'PROTOCOL_VERSION',
      `room ${hello.from} speaks link protocol ${hello.protocol}, room ${room.id} speaks ${LINK_PROTOCOL}`,
    );
  }
  if (hello.to !== room.id) throw new WmbError('ROOM_UNKNOWN', `this is room ${room.id}, not ${hello.to}: check the address book`);
  if (roomEntry(topology, hello.from) === undefined) {
    throw new WmbError('ROOM_UNKNOWN', `room ${hello.from} is not in the topology of room ${room.id} (epoch ${topology.epoch})`);
  }
  const { index, count } = hello.share ?? WHOLE;
  if (!(index < count && count <= topology.partitions))
    throw new WmbError(
      'PEER_GARBAGE',
      `room ${hello.from} has share ${index} of ${count} of its partitions, and there are ${topology.partitions}`,
    );
  if (hello.topologyEpoch !== topology.epoch) {
    const older = hello.topologyEpoch < topology.epoch ? hello.from : room.id;
    throw new WmbError(
      'TOPOLOGY_STALE',
      `room ${hello.from} holds topology epoch ${hello.topologyEpoch}, room ${room.id} holds ${topology.epoch}: ${older} is older`,
    );
  }
}
