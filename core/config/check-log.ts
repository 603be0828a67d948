/** What `log` must fulfil beyond its schema: which keys go with which adapter, brokers that differ, replicas that can be, and a password that is there. */
import { addressKey, parseAddress } from './address.ts';
import type { RoomCheck } from './check-room.ts';
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
  checkBrokers(check);
  checkReplicas(check);
  checkSasl(check);
  checkTlsPair(check);
}

function checkBrokers({ room, report }: RoomCheck): void {
  const seen = new Map<string, number>();
  for (const [index, text] of (room.log?.brokers ?? []).entries()) {
    const address = text === undefined ? undefined : parseAddress(text);
    if (address === undefined) continue;
    const same = seen.get(addressKey(address));
    if (same !== undefined) report(['log', 'brokers', index], `is the same broker as brokers[${same}]; allowed: each broker once`);
    seen.set(addressKey(address), index);
  }
}

function checkReplicas({ room, has, report }: RoomCheck): void {
  const { replicas = REPLICAS_DEFAULT, minInSyncReplicas = 1 } = room.log ?? {};
  if (minInSyncReplicas <= replicas) return;
  const which = has(['log', 'replicas']) ? `log.replicas (${replicas})` : `the default of log.replicas (${replicas})`;
  report(['log', 'minInSyncReplicas'], `is ${minInSyncReplicas}, above ${which}: nothing could ever be acked; allowed: at most that`);
}

/** The value of the password is never shown. */
function checkSasl({ room, env, has, report }: RoomCheck): void {
  const path = ['log', 'sasl'];
  if (has(path) && !has([...path, 'password']))
    report([...path, 'password'], 'is missing; allowed: a mapping { env: NAME } that names an environment variable');
  const name = room.log?.sasl?.password?.env;
  if (name === undefined || (Object.hasOwn(env, name) && env[name] !== '')) return;
  report([...path, 'password', 'env'], `names ${name}, which is not set in the environment; allowed: a variable that holds the password`);
}

function checkTlsPair({ has, report }: RoomCheck): void {
  const [cert, key] = [has(['log', 'tls', 'certFile']), has(['log', 'tls', 'keyFile'])];
  if (cert === key) return;
  const message = 'is set without the other one; allowed: both certFile and keyFile, or neither';
  report(['log', 'tls', cert ? 'certFile' : 'keyFile'], message, 'key');
}
