/** Redis that speaks TLS: whom the cache trusts, and what it says of a server that it does not. */
import assert from 'node:assert/strict';
import { after, afterEach, test } from 'node:test';
import { WmbError } from '../../core/errors.ts';
import { systemRuntime } from '../../core/runtime.ts';
import { Authority } from '../../test/containers/certificates.ts';
import { containersAvailable, NO_ENGINE } from '../../test/containers/engine.ts';
import { type RedisServer as Container, type RedisTls, startRedis } from '../../test/containers/redis.ts';
import { apply, value, write } from '../cache-kit.ts';
import { RedisCache } from './cache.ts';
import type { RedisServer } from './connection.ts';
import { SHIFT_MS, serverAt } from './redis-kit.ts';

const skip = !(await containersAvailable()) && NO_ENGINE;
const [ours, another] = [new Authority(), new Authority('another authority')];
after(() => {
  ours.remove();
  another.remove();
});
const here = ours.sign('here', ['IP:127.0.0.1', 'DNS:localhost']);

let container: Container | undefined;
afterEach(() => container?.remove());

async function start(tls: Partial<RedisTls> = {}): Promise<string> {
  container = await startRedis({ tls: { ca: ours.ca, ...here, ...tls } });
  return container.address;
}

async function use(address: string, tls: Partial<NonNullable<RedisServer['tls']>> | 'none' = {}): Promise<void> {
  const files = tls === 'none' ? undefined : { caFile: ours.caFile, certFile: undefined, keyFile: undefined, ...tls };
  const nodes = [serverAt(address, { tls: files })];
  const store = new RedisCache({ nodes, room: 'beijing', runtime: systemRuntime, shiftMs: SHIFT_MS });
  await store.open();
  await apply(store, [write(1_000, ['SET', 'k', 'v'])]);
  assert.deepEqual(await value(store, 'k'), { type: 'string', value: 'v' });
  await store.close();
}

const unfit = (message: RegExp) => (error: unknown) => {
  assert.ok(error instanceof WmbError, String(error));
  assert.equal(error.code, 'STORE_UNFIT', error.message);
  assert.match(error.message, message);
  return true;
};

test('a server whose certificate is signed for its address is used, by address and by name', { skip }, async () => {
  const address = await start();
  await use(address);
  await use(address.replace('127.0.0.1', 'localhost'));
});

test('a certificate of another authority, for another name, or that has expired is refused, each with what to do', { skip }, async () => {
  await assert.rejects(
    use(await start(), { caFile: another.caFile }),
    unfit(/not signed by an authority of tls\.caFile.*put the authority/s),
  );
  await container?.remove();
  await assert.rejects(
    use(await start(ours.sign('there', ['DNS:there.example']))),
    unfit(/is for other names.*connect by a name.*127\.0\.0\.1/s),
  );
  await container?.remove();
  await assert.rejects(use(await start(ours.sign('old', ['IP:127.0.0.1'], '-1'))), unfit(/has expired.*renew it/s));
});

test('a server that wants a certificate of its clients says so where there is none, and takes ours', { skip }, async () => {
  const address = await start({ asksClients: true });
  await assert.rejects(use(address), unfit(/wants a certificate of its clients: set tls\.certFile and tls\.keyFile/));
  await use(address, ours.sign('wmb', ['DNS:wmb']));
});

test('TLS where the server has none, and none where it has, are told as that', { skip }, async () => {
  const address = await start();
  await assert.rejects(use(address, 'none'), { code: 'STORE_UNAVAILABLE', message: /without an answer; if it speaks TLS, set `tls`/ });
  await container?.remove();
  container = await startRedis({});
  await assert.rejects(use(container.address), {
    code: 'STORE_UNAVAILABLE',
    message: /no answer to TLS; if it speaks none here, leave out `tls`/,
  });
});
