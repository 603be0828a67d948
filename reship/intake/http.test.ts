import assert from 'node:assert/strict';
import { request as httpRequest } from 'node:http';
import type { AddressInfo } from 'node:net';
import { after, describe, test } from 'node:test';
import { gzipSync } from 'node:zlib';
import fastify, { type FastifyInstance } from 'fastify';
import { WmbError } from '../../core/errors.ts';
import { partitionOf } from '../../core/partition.ts';
import { writesRoute } from './http.ts';
import { openRoom, PARTITIONS, type TestRoom } from './testing.ts';

const BODY_BYTES_MAX = 100_000;

const apps: FastifyInstance[] = [];
after(() => Promise.all(apps.map((app) => app.close())));

async function serve(room: TestRoom): Promise<FastifyInstance> {
  const app = fastify();
  apps.push(app);
  await app.register(writesRoute, { intake: room.intake, bodyBytesMax: BODY_BYTES_MAX, bodiesBytesMax: 2 * BODY_BYTES_MAX });
  return app;
}

interface Line {
  readonly requestId?: string;
  readonly stamp?: string;
  readonly position?: string;
  readonly outcome?: string;
  readonly error?: { readonly code: string; readonly message: string; readonly retry: string; readonly retryAfterMs?: number };
}

interface Answer {
  readonly status: number;
  readonly headers: Readonly<Record<string, unknown>>;
  readonly lines: readonly Line[];
}

async function post(
  app: FastifyInstance,
  body: string | Buffer,
  options: { type?: string | undefined; query?: string; headers?: Record<string, string> } = {},
): Promise<Answer> {
  const type = 'type' in options ? options.type : 'application/json';
  const headers = { ...(type === undefined ? {} : { 'content-type': type }), ...options.headers };
  const response = await app.inject({ method: 'POST', url: `/v1/writes${options.query ?? ''}`, headers, payload: body });
  const lines = response.body
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line) as Line);
  return { status: response.statusCode, headers: response.headers, lines };
}

const line = (fields: object) => JSON.stringify({ kind: 'message', key: 'user:7', payload: { text: 'hello' }, ...fields });

describe('the body', () => {
  test('one JSON object, pretty-printed or not, is one write request whose payload is the encoding of its JSON value', async () => {
    const room = openRoom();
    const app = await serve(room);
    const flat = await post(app, line({ requestId: 'a' }));
    const pretty = await post(app, JSON.stringify({ kind: 'cache', key: 'k', payload: [['SET', 'k', 'v']] }, null, 2));
    assert.deepEqual([flat.status, pretty.status], [200, 200]);
    assert.match(String(flat.headers['content-type']), /^application\/x-ndjson/);
    assert.equal(flat.lines[0]?.requestId, 'a');
    assert.match(flat.lines[0]?.stamp ?? '', /^[0-9a-f]{24}$/);
    assert.match(flat.lines[0]?.position ?? '', /^beijing\/\d@0123456789abcdef:0\.0$/);
    assert.deepEqual(room.log.writes.map(({ payload }) => Buffer.from(payload).toString()).sort(), [
      '[["SET","k","v"]]',
      '{"text":"hello"}',
    ]);
  });

  for (const type of [
    'application/x-ndjson',
    'application/json',
    'application/x-www-form-urlencoded',
    'text/plain; charset=utf-8',
    undefined,
  ]) {
    test(`one object a line is read with content type ${type ?? 'none'}`, async () => {
      const room = openRoom();
      const app = await serve(room);
      const { status, lines } = await post(
        app,
        `${line({ requestId: 'a' })}\r\n\n${line({ requestId: 'b' })}\n${line({ requestId: 'c' })}`,
        { type },
      );
      assert.equal(status, 200);
      assert.deepEqual(
        lines.map(({ requestId }) => requestId),
        ['a', 'b', 'c'],
      );
      assert.equal(room.log.writes.length, 3);
    });
  }

  test('a JSON array is one write request an item', async () => {
    const room = openRoom();
    const app = await serve(room);
    const { lines } = await post(app, `[\n  ${line({ requestId: 'a' })},\n  7,\n  ${line({ requestId: 'b' })}\n]`);
    assert.deepEqual(
      lines.map(({ requestId, error }) => requestId || error?.message),
      ['a', 'item 2: must be a JSON object', 'b'],
    );
  });

  test('a malformed line is an error of that line, with its number, and the others go on', async () => {
    const room = openRoom();
    const app = await serve(room);
    for (const type of ['application/x-ndjson', undefined]) {
      const body = [
        '{"kind": "message", "key"',
        line({ requestId: 'b' }),
        '',
        '[1]',
        line({ requestId: 'c', key: 7 }),
        line({ requestId: 'd' }),
      ].join('\n');
      const { status, lines } = await post(app, body, { type });
      assert.equal(status, 200);
      assert.deepEqual(
        lines.map(({ requestId, error }) => [requestId, error?.code]),
        [
          ['', 'WRITE_INVALID'],
          ['b', undefined],
          ['', 'WRITE_INVALID'],
          ['c', 'WRITE_INVALID'],
          ['d', undefined],
        ],
      );
      assert.match(lines[0]?.error?.message ?? '', /^line 1: is not JSON: /);
      assert.equal(lines[2]?.error?.message, 'line 4: must be a JSON object');
      assert.equal(lines[3]?.error?.message, 'line 5: key must be a string');
    }
  });

  test('bytes that are no UTF-8 spoil their own line only', async () => {
    const app = await serve(openRoom());
    const body = Buffer.concat([
      Buffer.from('{"requestId":"a","kind":"message","key":"'),
      Buffer.from([0xff, 0xfe]),
      Buffer.from(`"}\n${line({ requestId: 'b' })}`),
    ]);
    const { lines } = await post(app, body);
    assert.equal(lines[0]?.error?.message, 'line 1: is not valid UTF-8');
    assert.equal(lines[1]?.requestId, 'b');
    assert.equal(lines[1]?.error, undefined);
  });

  test('a body that is compressed is refused as that', async () => {
    const app = await serve(openRoom());
    const { status, lines } = await post(app, gzipSync(line({ requestId: 'a' })), { headers: { 'content-encoding': 'gzip' } });
    assert.equal(status, 400);
    assert.equal(lines[0]?.error?.message, 'the body is sent with content-encoding gzip; send it as it is');
  });

  test('payloadBase64 is bytes, and no payload is an empty one', async () => {
    const room = openRoom();
    const app = await serve(room);
    const body = [
      line({ requestId: 'a', payload: undefined, payloadBase64: Buffer.from([0, 255, 1]).toString('base64') }),
      line({ requestId: 'b', payload: undefined }),
      line({ requestId: 'c', payloadBase64: 'AA==' }),
      line({ requestId: 'd', payload: undefined, payloadBase64: 'a!' }),
      line({ requestId: 'e', payload: undefined, payloadBase64: '____' }),
      line({ requestId: 'f', payload: null }),
    ].join('\n');
    const { lines } = await post(app, body);
    assert.match(lines[2]?.error?.message ?? '', /^line 3: has both payload and payloadBase64/);
    assert.match(lines[3]?.error?.message ?? '', /^line 4: payloadBase64 is not base64/);
    assert.deepEqual(
      room.log.writes.map(({ requestId, payload }) => [requestId, ...payload]),
      [['a', 0, 255, 1], ['b'], ['e', 255, 255, 255], ['f', ...Buffer.from('null')]],
    );
  });

  test('numbers that a double cannot hold reach the payload as they were written', async () => {
    const room = openRoom();
    const app = await serve(room);
    await post(
      app,
      '{"kind":"message","key":"k","payload":{"id":12345678901234567890,"ratio":0.10000000000000000555,"huge":1e400,"plain":1.5}}',
    );
    assert.equal(
      Buffer.from(room.log.writes[0]?.payload ?? []).toString(),
      '{"id":12345678901234567890,"ratio":0.10000000000000000555,"huge":1e400,"plain":1.5}',
    );
  });

  test('an unknown field is an error that names the nearest one', async () => {
    const app = await serve(openRoom());
    const { status, lines } = await post(app, line({ requestId: 'a', paylod: 1 }));
    assert.equal(status, 400);
    assert.equal(lines[0]?.requestId, 'a');
    assert.match(lines[0]?.error?.message ?? '', /^body: has the unknown field "paylod": did you mean payload\?/);
  });

  test('a payload nested too deep to be encoded is an error of its own', async () => {
    const app = await serve(openRoom());
    const depth = 40_000;
    const { lines } = await post(
      app,
      `{"kind":"message","key":"k","payload":${'['.repeat(depth)}${']'.repeat(depth)}}\n${line({ requestId: 'b' })}`,
    );
    assert.equal(lines.length, 2);
    assert.match(lines[0]?.error?.code ?? '', /^WRITE_(INVALID|TOO_LARGE)$/);
    assert.equal(lines[1]?.error, undefined);
  });

  for (const [what, body] of [
    ['nothing', ''],
    ['no JSON', 'hello'],
    ['a broken pretty-printed object', '{\n  "kind": "message",\n  "key": \n}'],
    ['blank lines', '\n\n'],
  ] as const) {
    test(`a body of ${what} is one clear error`, async () => {
      const app = await serve(openRoom());
      const { status, lines } = await post(app, body);
      assert.equal(status, 400);
      assert.equal(lines.length, 1);
      assert.equal(lines[0]?.error?.code, 'WRITE_INVALID');
      assert.match(lines[0]?.error?.message ?? '', /^the body is /);
    });
  }

  test('a body over its limit is refused with 413 and the limit', async () => {
    const app = await serve(openRoom());
    const { status, lines } = await post(app, 'x'.repeat(BODY_BYTES_MAX + 1));
    assert.equal(status, 413);
    assert.equal(lines[0]?.error?.code, 'WRITE_TOO_LARGE');
    assert.match(lines[0]?.error?.message ?? '', /100000 bytes/);
  });
});

describe('the status', () => {
  test('it is 200 where at least one write request was taken, and otherwise that of the first error', async () => {
    const app = await serve(openRoom());
    const bad = line({ kind: 'nonsense' });
    const large = line({ payload: 'x'.repeat(5_000) });
    assert.equal((await post(app, `${bad}\n${line({})}`)).status, 200);
    assert.equal((await post(app, `${bad}\n${large}`)).status, 400);
    assert.equal((await post(app, `${large}\n${bad}`)).status, 413);
  });

  test('overload is 429 with Retry-After, draining is 503, a full disk is 507', async () => {
    const room = openRoom({ limits: { pendingWritesMax: 1 } });
    const app = await serve(room);
    room.log.hold();
    const held = post(app, line({}));
    await room.log.begun(1);
    const overloaded = await post(app, line({ requestId: 'late' }));
    assert.equal(overloaded.status, 429);
    assert.equal(overloaded.headers['retry-after'], '1');
    assert.equal(overloaded.lines[0]?.requestId, 'late');
    assert.equal(overloaded.lines[0]?.error?.retry, 'later');
    assert.ok((overloaded.lines[0]?.error?.retryAfterMs ?? 0) > 0);
    room.log.failure = new WmbError('LOG_FULL', 'no space left on the device');
    room.log.release();
    assert.equal((await held).status, 507);
    await room.intake.drain();
    assert.equal((await post(app, line({}))).status, 503);
  });
});

describe('the query', () => {
  test('wait and deadlineMs are what the caller waits for, and a wait that runs out keeps stamp and position', async () => {
    const room = openRoom();
    const app = await serve(room);
    const applied = post(app, line({}), { query: '?wait=applied&deadlineMs=2000' });
    await room.log.begun(1);
    room.ack('beijing', partitionOf('user:7', PARTITIONS), 0);
    assert.equal((await applied).lines[0]?.outcome, 'applied');
    const late = post(app, line({}), { query: '?wait=everywhere&deadlineMs=2000' });
    await room.log.begun(2);
    while (room.runtime.timers === 0) await new Promise((resolve) => setImmediate(resolve));
    room.runtime.advance(2_000);
    const { status, lines } = await late;
    assert.equal(status, 200);
    assert.equal(lines[0]?.error?.code, 'WAIT_TIMEOUT');
    assert.match(lines[0]?.position ?? '', /:1\.0$/);
  });

  for (const query of ['?wait=sometimes', '?deadlineMs=soon', '?deadlineMs=-1', '?waits=applied', '?wait=applied&wait=logged']) {
    test(`${query} is refused before anything is taken`, async () => {
      const room = openRoom();
      const app = await serve(room);
      const { status, lines } = await post(app, line({}), { query });
      assert.equal(status, 400);
      assert.equal(lines[0]?.error?.code, 'WRITE_INVALID');
      assert.equal(room.log.writes.length, 0);
    });
  }
});

test('the trace context of the call is carried by the write requests that have none', async () => {
  const room = openRoom();
  const app = await serve(room);
  const traceparent = '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01';
  await post(app, line({}), { headers: { traceparent } });
  await post(app, line({}), { headers: { traceparent: 'garbage' } });
  assert.deepEqual(
    room.log.writes.map(({ trace }) => trace),
    [traceparent, ''],
  );
});

test('bodies that together are over the limit are refused before they are read, and taken again when others are answered', async () => {
  const room = openRoom();
  const app = await serve(room);
  await app.listen({ host: '127.0.0.1', port: 0 });
  const { port } = app.server.address() as AddressInfo;
  const begin = () =>
    httpRequest({ host: '127.0.0.1', port, path: '/v1/writes', method: 'POST', headers: { 'content-length': BODY_BYTES_MAX } });
  const unfinished = [begin(), begin()];
  for (const call of unfinished) {
    call.on('error', () => {});
    call.write('{');
  }
  const status = async () => (await fetch(`http://127.0.0.1:${port}/v1/writes`, { method: 'POST', body: line({}) })).status;
  while ((await status()) !== 429) await new Promise((resolve) => setImmediate(resolve));
  for (const call of unfinished) call.destroy();
  while ((await status()) !== 200) await new Promise((resolve) => setImmediate(resolve));
  assert.ok(room.log.writes.length > 0);
});
