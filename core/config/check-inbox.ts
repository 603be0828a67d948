/** What `inbox` and `peers` must fulfil beyond their schemas: brokers that differ, passwords that are there, and a Kafka for every link that is over mq. */
import type { RoomCheck } from './check-room.ts';
import { checkBrokers, checkSasl, checkTlsPair } from './check-server.ts';
import { checkRoomReference } from './check-topology.ts';
import type { Path } from './problem.ts';
import { INBOX_REPLICAS_DEFAULT } from './schema-inbox.ts';

export function checkInboxes(check: RoomCheck): void {
  const { room, topology, report } = check;
  if (check.has(['inbox'])) checkKafka(check, ['inbox'], room.inbox);
  checkReplicas(check);
  for (const [peer, entry] of Object.entries(room.peers ?? {})) {
    if (!checkRoomReference(topology, peer, ['peers', peer], report)) continue;
    if (peer === room.room) report(['peers', peer], 'is this room itself; allowed: other rooms', 'key');
    checkKafka(check, ['peers', peer, 'kafka'], entry?.kafka);
  }
  checkLinks(check);
}

interface Servers {
  readonly brokers?: readonly (string | undefined)[] | undefined;
  readonly sasl?: { readonly password?: { readonly env?: string | undefined } | undefined } | undefined;
}

function checkKafka(check: RoomCheck, path: Path, servers: Servers | undefined): void {
  checkBrokers(check, path, servers?.brokers);
  checkSasl(check, path, servers?.sasl);
  checkTlsPair(check, path);
}

function checkReplicas({ room, report }: RoomCheck): void {
  const { replicas = INBOX_REPLICAS_DEFAULT, minInSyncReplicas = 1 } = room.inbox ?? {};
  if (minInSyncReplicas <= replicas) return;
  const path = ['inbox', 'minInSyncReplicas'];
  report(path, `is ${minInSyncReplicas}, above inbox.replicas (${replicas}): nothing could ever be acked; allowed: at most that`);
}

/** Both ends of a link that is over mq in the topology. */
function checkLinks({ room, topology, has, report }: RoomCheck): void {
  for (const link of topology.links ?? []) {
    if (link?.transport !== 'mq' || link.origin === undefined || link.peer === undefined) continue;
    const told = `is missing, but the topology has the link from ${link.origin} to ${link.peer} over mq`;
    if (link.peer === room.room && !has(['inbox']) && room.log?.adapter === 'embedded')
      report(['inbox'], `${told}; allowed: a mapping with the brokers of this room's Kafka`);
    if (link.origin === room.room && !has(['peers', link.peer]))
      report(['peers', link.peer], `${told}; allowed: a mapping { kafka } with the brokers of that room's Kafka`);
  }
}
