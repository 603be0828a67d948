import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer } from 'node:net';
import { test } from 'node:test';
import { promisify } from 'node:util';
import { credentials, status } from '@grpc/grpc-js';
import { KEY_BYTES_MAX } from '../core/converge/command-args.ts';
import { WmbError } from '../core/errors.ts';
import { silentLogger } from '../core/logger.ts';
import { systemRuntime } from '../core/runtime.ts';
import { HealthClient, HealthCheckResponse_ServingStatus as Serving } from '../proto/gen/grpc/health/v1/health.ts';
import { type CollectorServer, CollectorService } from '../proto/gen/wmb/v1/admin.ts';
import { describeSymbol, listServices, misnamedMapEntries } from '../test/e2e/reflection.ts';
import { fromGrpcError, toGrpcError } from './grpc-errors.ts';
import { GrpcServer } from './grpc-server.ts';
import { parseAddress } from './listen.ts';
import { PrometheusMetrics } from './metrics.ts';
import { OpsHttp } from './ops-http.ts';
import { Readiness } from './readiness.ts';

function opsHttp(address = '127.0.0.1:0', readiness = new Readiness()): OpsHttp {
  return new OpsHttp({ address, bodyBytesMax: 64, readiness, metrics: new PrometheusMetrics({}), logger: silentLogger });
}

function grpcServer(address = '127.0.0.1:0', readiness = new Readiness()): GrpcServer {
  return new GrpcServer({ address, tls: undefined, readiness, runtime: systemRuntime, logger: silentLogger });
}

/** Takes a port of this machine for the time of `use`. */
async function withTakenPort(use: (address: string) => Promise<void>): Promise<void> {
  const taken = createServer();
  taken.listen(0, '127.0.0.1');
  await once(taken, 'listening');
  try {
    await use(`127.0.0.1:${(taken.address() as { port: number }).port}`);
  } finally {
    taken.close();
  }
}

test('a service that is not ready is named by /readyz with 503 while /healthz stays 200', async () => {
  const readiness = new Readiness();
  let reason: string | undefined = 'the log is opening';
  readiness.watch([{ name: 'log', start: async () => {}, stop: async () => {}, unready: () => reason }]);
  const http = opsHttp(undefined, readiness);
  await http.start();
  const get = async (path: string) => {
    const answer = await fetch(`http://${http.address}${path}`);
    return { status: answer.status, body: await answer.json() };
  };
  const unready = (service: string, why: string) => ({ status: 503, body: { ready: false, reasons: [{ service, reason: why }] } });
  assert.deepEqual(await get('/readyz'), unready('daemon', 'starting'));
  readiness.enter('running');
  assert.deepEqual(await get('/readyz'), unready('log', 'the log is opening'));
  assert.deepEqual(await get('/healthz'), { status: 200, body: { status: 'alive' } });
  reason = undefined;
  assert.deepEqual(await get('/readyz'), { status: 200, body: { ready: true, reasons: [] } });
  await http.stop();
});

test('the longest key fits into a path, also percent-encoded', async (t) => {
  const http = opsHttp();
  t.after(() => http.stop());
  http.app.get<{ Params: { key: string } }>('/keys/:key', ({ params }) => params.key);
  await http.start();
  for (const key of ['k'.repeat(KEY_BYTES_MAX), 'é'.repeat(KEY_BYTES_MAX / 2)])
    assert.equal(await (await fetch(`http://${http.address}/keys/${encodeURIComponent(key)}`)).text(), key);
});

test('every http error has a body with code, message and retry, the status of the table and the retry hint', async () => {
  const http = opsHttp();
  http.app.get('/busy', () => {
    throw new WmbError('OVERLOADED', 'intake is full', { retryAfterMs: 1_200 });
  });
  http.app.post('/echo', (request) => request.body);
  await http.start();
  const busy = await fetch(`http://${http.address}/busy`);
  assert.equal(busy.status, 429);
  assert.equal(busy.headers.get('retry-after'), '2');
  assert.deepEqual(await busy.json(), { error: { code: 'OVERLOADED', message: 'intake is full', retry: 'later', retryAfterMs: 1_200 } });
  const missing = await fetch(`http://${http.address}/nowhere`);
  assert.equal(missing.status, 404);
  assert.deepEqual(await missing.json(), { error: { code: 'NOT_FOUND', message: 'no such resource: GET /nowhere', retry: 'never' } });
  const wrongMethod = await fetch(`http://${http.address}/echo`);
  assert.equal(wrongMethod.status, 404);
  assert.match(await wrongMethod.text(), /no such resource: GET \/echo; it takes POST/);
  const post = async (body: string) => {
    const answer = await fetch(`http://${http.address}/echo`, { method: 'POST', headers: { 'content-type': 'application/json' }, body });
    return { status: answer.status, code: ((await answer.json()) as { error: { code: string } }).error.code };
  };
  assert.deepEqual(await post('{"half":'), { status: 400, code: 'WRITE_INVALID' });
  assert.deepEqual(await post(JSON.stringify('x'.repeat(100))), { status: 413, code: 'WRITE_TOO_LARGE' });
  await http.stop();
});

test('/metrics speaks the Prometheus text format', async () => {
  const http = opsHttp();
  await http.start();
  const answer = await fetch(`http://${http.address}/metrics`);
  assert.match(answer.headers.get('content-type') ?? '', /^text\/plain; version=0\.0\.4/);
  assert.match(await answer.text(), /process_resident_memory_bytes/);
  await http.stop();
});

test('an address that another program uses is PORT_IN_USE with the address named, over http and over grpc', async () => {
  await withTakenPort(async (address) => {
    for (const service of [opsHttp(address), grpcServer(address)]) {
      await assert.rejects(service.start(), (error: WmbError) => {
        assert.equal(error.code, 'PORT_IN_USE');
        assert.equal(error.message, `${service.name}: the address ${address} is used by another program`);
        return true;
      });
      await service.stop();
    }
  });
});

test('text that is no address is a configuration error', () => {
  for (const address of ['7101', ':7101', 'host:', 'host:seventy', 'host:70000', 'host'])
    assert.throws(() => parseAddress(address), /host:port/);
  assert.deepEqual(parseAddress('[::1]:7101'), { host: '::1', port: 7101 });
});

test('the grpc health service follows the readiness', async (t) => {
  const readiness = new Readiness();
  const grpc = grpcServer(undefined, readiness);
  await grpc.start();
  const client = new HealthClient(grpc.address, credentials.createInsecure());
  t.after(async () => {
    client.close();
    await grpc.stop();
  });
  const check = promisify(client.check.bind(client) as never) as (request: object) => Promise<{ status: number }>;
  assert.equal((await check({ service: '' })).status, Serving.NOT_SERVING);
  readiness.enter('running');
  assert.equal((await check({ service: '' })).status, Serving.SERVING);
  assert.equal((await check({ service: 'grpc.health.v1.Health' })).status, Serving.SERVING);
  await assert.rejects(check({ service: 'wmb.v1.Writes' }), { code: status.NOT_FOUND, details: /no service "wmb.v1.Writes" here/ });
});

test('reflection lists the services that the port serves and no others', async () => {
  const grpc = grpcServer();
  grpc.server.addService(CollectorService, {} as CollectorServer);
  await grpc.start();
  assert.deepEqual((await listServices(grpc.address)).sort(), ['grpc.health.v1.Health', 'wmb.v1.Collector']);
  await grpc.stop();
});

test('reflection describes services in descriptors that parse, without misnamed map entries', async () => {
  const grpc = grpcServer();
  await grpc.start();
  for (const symbol of ['wmb.v1.Writes', 'wmb.v1.Collector', 'wmb.v1.Processor', 'wmb.v1.Link']) {
    const files = await describeSymbol(grpc.address, symbol);
    assert.ok(
      files.some((file) => file.service.some((service) => `${file.package}.${service.name}` === symbol)),
      symbol,
    );
    assert.deepEqual(files.flatMap(misnamedMapEntries), [], symbol);
  }
  await grpc.stop();
});

test('a WmbError crosses grpc with its code, message and hint', () => {
  const sent = new WmbError('OVERLOADED', 'intake is full', { retryAfterMs: 50 });
  const seen = fromGrpcError(toGrpcError(sent), '127.0.0.1:1');
  assert.deepEqual([seen.code, seen.message, seen.retryAfterMs], ['OVERLOADED', 'intake is full', 50]);
});

test('an address where nobody answers is UNREACHABLE with the address named', () => {
  const error = fromGrpcError(Object.assign(new Error('x'), { code: 14, details: 'No connection established' }), '127.0.0.1:1');
  assert.equal(error.code, 'UNREACHABLE');
  assert.equal(error.message, '127.0.0.1:1: No connection established');
});
