/** What `inbox` and `peers` must fulfil beyond their schemas: brokers that differ, passwords that are there, and a Kafka for every link that is over mq. */
import { addressKey, parseAddress } from './address.ts';
import type { RoomCheck } from './check-room.ts';
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

function checkKafka({ env, has, report }: RoomCheck, path: Path, servers: Servers | undefined): void {
  const seen = new Map<string, number>();
  for (const [index, text] of (servers?.brokers ?? []).entries()) {
    const address = text === undefined ? undefined : parseAddress(text);
    if (address === undefined) continue;
    const same = seen.get(addressKey(address));
    if (same !== undefined) report([...path, 'brokers', index], `is the same broker as brokers[${same}]; allowed: each broker once`);
    seen.set(addressKey(address), index);
  }
  if (has([...path, 'sasl']) && !has([...path, 'sasl', 'password'])) {
    report([...path, 'sasl', 'password'], 'is missing; allowed: a mapping { env: NAME } that names an environment variable');
  }
  const name = servers?.sasl?.password?.env;
  if (name !== undefined && !(Object.hasOwn(env, name) && env[name] !== '')) {
    const allowed = 'a variable that holds the password';
    report([...path, 'sasl', 'password', 'env'], `names ${name}, which is not set in the environment; allowed: ${allowed}`);
  }
  const [cert, key] = [has([...path, 'tls', 'certFile']), has([...path, 'tls', 'keyFile'])];
  if (cert !== key) {
    const message = 'is set without the other one; allowed: both certFile and keyFile, or neither';
    report([...path, 'tls', cert ? 'certFile' : 'keyFile'], message, 'key');
  }
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
