/** What `log` must fulfil beyond its schema: which keys go with which adapter, brokers that differ, replicas that can be, and a password that is there. */
import type { RoomCheck } from './check-room.ts';
import { checkBrokers, checkSasl, checkTlsPair } from './check-server.ts';
import { REPLICAS_DEFAULT } from './schema-log.ts';

const SERVER_ONLY = ['brokers', 'replicas', 'minInSyncReplicas', 'sasl', 'tls'] as const;

export function checkLogAdapter(check: RoomCheck): void {
  const { room, has, report } = check;
  const adapter = room.log?.adapter;
  if (adapter === undefined) return;
  if (adapter === 'embedded') {
    for (const key of SERVER_ONLY) {
      const path = ['log', key];
      if (has(path)) report(path, 'is set for an embedded log; allowed: only with adapter: kafka', 'key');
    }
    return;
  }
  if (!has(['log', 'brokers']))
    report(['log', 'brokers'], 'is missing, and adapter: kafka needs it; allowed: a list of addresses, for example [127.0.0.1:9092]');
  checkBrokers(check, ['log'], room.log?.brokers);
  checkReplicas(check);
  checkSasl(check, ['log'], room.log?.sasl);
  checkTlsPair(check, ['log']);
}

function checkReplicas({ room, has, report }: RoomCheck): void {
  const { replicas = REPLICAS_DEFAULT, minInSyncReplicas = 1 } = room.log ?? {};
  if (minInSyncReplicas <= replicas) return;
  const which = has(['log', 'replicas']) ? `log.replicas (${replicas})` : `the default of log.replicas (${replicas})`;
  report(['log', 'minInSyncReplicas'], `is ${minInSyncReplicas}, above ${which}: nothing could ever be acked; allowed: at most that`);
}
