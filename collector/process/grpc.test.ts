import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Server, ServerCredentials, status } from '@grpc/grpc-js';
import { systemRuntime } from '../../core/runtime.ts';
import { formatStamp } from '../../core/stamp.ts';
import type { StampedWrite } from '../../core/words.ts';
import { type ProcessorServer, ProcessorService } from '../../proto/gen/wmb/v1/processor.ts';
import { GrpcProcessor } from './grpc.ts';

/** Of a service that answers. */
const ANSWER_MS_MAX = 30_000;

function write(key: string): StampedWrite {
  return {
    requestId: 'r',
    kind: 'message',
    key,
    payload: Buffer.from('{"a":1}'),
    trace: '',
    stamp: formatStamp({ ms: 5, counter: 0, writer: 1 }),
  };
}

async function serve(process: ProcessorServer['process']): Promise<{ address: string; stop: () => void }> {
  const server = new Server();
  server.addService(ProcessorService, { process });
  const port = await new Promise<number>((resolve, reject) => {
    server.bindAsync('127.0.0.1:0', ServerCredentials.createInsecure(), (error, bound) =>
      error === null ? resolve(bound) : reject(error),
    );
  });
  return { address: `127.0.0.1:${port}`, stop: () => server.forceShutdown() };
}

test('a service gets the whole write request and its answer becomes commands and statements', async (t) => {
  const service = await serve((call, callback) => {
    assert.deepEqual(
      { ...call.request, payload: String(call.request.payload) },
      {
        requestId: 'r',
        kind: 'message',
        key: 'k',
        payload: '{"a":1}',
        stamp: write('k').stamp,
        stampMs: 5,
        traceparent: '',
      },
    );
    callback(null, {
      commands: [{ args: ['SET', 'k', 'v'] }],
      statements: [
        {
          statement: {
            $case: 'upsert',
            value: {
              table: 't',
              key: [{ name: 'id', value: { value: { $case: 'integer', value: 7 } } }],
              values: [
                { name: 'note', value: { value: undefined } },
                { name: 'seen', value: undefined },
              ],
            },
          },
        },
        { statement: { $case: 'sql', value: { text: 'DELETE FROM t WHERE id = ?', params: [{ value: { $case: 'text', value: 'x' } }] } } },
      ],
    });
  });
  const processor = new GrpcProcessor({ address: service.address, concurrentMax: 4, runtime: systemRuntime });
  t.after(() => {
    processor.close();
    service.stop();
  });
  assert.deepEqual(await processor.run(write('k'), ANSWER_MS_MAX), {
    commands: [['SET', 'k', 'v']],
    statements: [
      { op: 'upsert', table: 't', key: { id: 7 }, values: { note: null, seen: null } },
      { op: 'sql', text: 'DELETE FROM t WHERE id = ?', params: ['x'] },
    ],
  });
});

test('a column named twice is an error, not one value too few', async (t) => {
  const column = { name: 'id', value: { value: { $case: 'integer' as const, value: 7 } } };
  const service = await serve((_call, callback) => {
    callback(null, {
      commands: [],
      statements: [{ statement: { $case: 'upsert', value: { table: 't', key: [column, column], values: [] } } }],
    });
  });
  const processor = new GrpcProcessor({ address: service.address, concurrentMax: 4, runtime: systemRuntime });
  t.after(() => {
    processor.close();
    service.stop();
  });
  await assert.rejects(processor.run(write('k'), ANSWER_MS_MAX), { code: 'PROCESSOR_FAILED', message: /column “id” twice/ });
});

test('an error of the service fails the write request, silence times it out', async (t) => {
  const service = await serve((call, callback) => {
    if (call.request.key === 'bad') callback({ code: status.INVALID_ARGUMENT, details: 'no such user' });
  });
  const processor = new GrpcProcessor({ address: service.address, concurrentMax: 4, runtime: systemRuntime });
  t.after(() => {
    processor.close();
    service.stop();
  });
  await assert.rejects(processor.run(write('bad'), ANSWER_MS_MAX), { code: 'PROCESSOR_FAILED', message: /INVALID_ARGUMENT: no such user/ });
  await assert.rejects(processor.run(write('silent'), 100), { code: 'PROCESSOR_TIMEOUT' });
});

test('a service that is down is PROCESSOR_UNAVAILABLE, and is used again when it is back', async (t) => {
  const service = await serve((_call, callback) => callback(null, { commands: [], statements: [] }));
  service.stop();
  const processor = new GrpcProcessor({ address: service.address, concurrentMax: 4, runtime: systemRuntime });
  t.after(() => processor.close());
  await assert.rejects(processor.run(write('k'), ANSWER_MS_MAX), { code: 'PROCESSOR_UNAVAILABLE' });
  const server = new Server();
  server.addService(ProcessorService, {
    process: (_call: unknown, callback: (error: null, response: object) => void) => callback(null, { commands: [], statements: [] }),
  });
  await new Promise<void>((resolve, reject) =>
    server.bindAsync(service.address, ServerCredentials.createInsecure(), (error) => (error === null ? resolve() : reject(error))),
  );
  t.after(() => server.forceShutdown());
  for (let done = false; !done; ) {
    done = await processor.run(write('k'), ANSWER_MS_MAX).then(
      () => true,
      (error: { code: string }) => {
        assert.equal(error.code, 'PROCESSOR_UNAVAILABLE');
        return new Promise<boolean>((resolve) => setImmediate(resolve, false));
      },
    );
  }
});

test('no more calls than allowed run at the same time', async (t) => {
  let running = 0;
  let most = 0;
  const waiting: (() => void)[] = [];
  const service = await serve((_call, callback) => {
    running += 1;
    most = Math.max(most, running);
    waiting.push(() => {
      running -= 1;
      callback(null, { commands: [], statements: [] });
    });
    if (waiting.length === 2) for (const answer of waiting.splice(0)) setImmediate(answer);
  });
  const processor = new GrpcProcessor({ address: service.address, concurrentMax: 2, runtime: systemRuntime });
  t.after(() => {
    processor.close();
    service.stop();
  });
  await Promise.all(Array.from({ length: 10 }, (_, at) => processor.run(write(`k${at}`), ANSWER_MS_MAX)));
  assert.equal(most, 2);
});
