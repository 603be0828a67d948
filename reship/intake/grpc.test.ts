import assert from 'node:assert/strict';
import { once } from 'node:events';
import { after, describe, test } from 'node:test';
import { credentials, Metadata, Server, ServerCredentials, type ServiceError, status } from '@grpc/grpc-js';
import { partitionOf } from '../../core/partition.ts';
import { Outcome, type SubmitRequest, type SubmitResponse, Wait, type WriteRequest, WritesClient } from '../../proto/gen/wmb/v1/writes.ts';
import { addWritesService } from './grpc.ts';
import { openRoom, PARTITIONS, type TestRoom } from './testing.ts';

const closers: (() => void)[] = [];
after(() => {
  for (const close of closers) close();
});

async function serve(room: TestRoom): Promise<WritesClient> {
  const server = new Server();
  addWritesService(server, room.intake);
  const port = await new Promise<number>((resolve, reject) => {
    server.bindAsync('127.0.0.1:0', ServerCredentials.createInsecure(), (error, bound) =>
      error === null ? resolve(bound) : reject(error),
    );
  });
  const client = new WritesClient(`127.0.0.1:${port}`, credentials.createInsecure());
  closers.push(() => {
    client.close();
    server.forceShutdown();
  });
  return client;
}

let made = 0;

function wireWrite(fields: Partial<WriteRequest> = {}): WriteRequest {
  made += 1;
  return { requestId: `g-${made}`, kind: 'message', key: 'user:7', payload: Buffer.from('hello'), traceparent: '', ...fields };
}

function batch(writes: WriteRequest[], fields: Partial<SubmitRequest> = {}): SubmitRequest {
  return { writes, wait: Wait.WAIT_UNSPECIFIED, deadlineMs: 0, batchId: 0, ...fields };
}

function submit(client: WritesClient, request: SubmitRequest, metadata = new Metadata()): Promise<SubmitResponse> {
  return new Promise((resolve, reject) => {
    client.submit(request, metadata, (error, response) => (error === null ? resolve(response) : reject(error)));
  });
}

async function failure(promise: Promise<unknown>): Promise<ServiceError> {
  return promise.then(
    () => assert.fail('it should have failed'),
    (error: ServiceError) => error,
  );
}

describe('Submit', () => {
  test('a batch gets its results in order, each with stamp and position or its own error', async () => {
    const room = openRoom();
    const client = await serve(room);
    const response = await submit(
      client,
      batch([wireWrite({ requestId: 'a' }), wireWrite({ requestId: 'b', kind: 'nonsense' }), wireWrite({ requestId: 'c' })], {
        batchId: 9,
      }),
    );
    assert.equal(response.batchId, 9);
    assert.deepEqual(
      response.results.map(({ requestId, error }) => [requestId, error?.code, error?.retry]),
      [
        ['a', undefined, undefined],
        ['b', 'KIND_UNKNOWN', 'never'],
        ['c', undefined, undefined],
      ],
    );
    assert.deepEqual(
      response.results.map(({ stamp }) => stamp),
      [room.log.writes[0]?.stamp, '', room.log.writes[1]?.stamp],
    );
    assert.match(response.results[2]?.position ?? '', /^beijing\/\d@0123456789abcdef:0\.1$/);
  });

  test('waiting for applied answers with the outcome of this room', async () => {
    const room = openRoom();
    const client = await serve(room);
    const answer = submit(client, batch([wireWrite()], { wait: Wait.WAIT_APPLIED }));
    await room.log.begun(1);
    room.ack('beijing', partitionOf('user:7', PARTITIONS), 0, [{ seq: 0, index: 0, outcome: 'superseded', reason: '' }]);
    const [result] = (await answer).results;
    assert.equal(result?.outcome, Outcome.OUTCOME_SUPERSEDED);
    assert.equal(result?.error, undefined);
  });

  test('a call of which nothing fits fails with RESOURCE_EXHAUSTED and a hint in its metadata', async () => {
    const room = openRoom({ limits: { pendingWritesMax: 1 } });
    const client = await serve(room);
    room.log.hold();
    const held = submit(client, batch([wireWrite(), wireWrite()]));
    await room.log.begun(1);
    const error = await failure(submit(client, batch([wireWrite(), wireWrite()])));
    assert.equal(error.code, status.RESOURCE_EXHAUSTED);
    assert.deepEqual(error.metadata.get('wmb-code'), ['OVERLOADED']);
    assert.match(error.details, /^intake holds 1 write requests/);
    assert.ok(Number(error.metadata.get('retry-after-ms')[0]) > 0);
    assert.deepEqual(error.metadata.get('grpc-retry-pushback-ms'), error.metadata.get('retry-after-ms'));
    room.log.release();
    assert.deepEqual(
      (await held).results.map((result) => result.error?.code),
      [undefined, 'OVERLOADED'],
    );
  });

  test('a draining intake fails calls with UNAVAILABLE', async () => {
    const room = openRoom();
    const client = await serve(room);
    await room.intake.drain();
    const error = await failure(submit(client, batch([wireWrite()])));
    assert.equal(error.code, status.UNAVAILABLE);
    assert.deepEqual(error.metadata.get('wmb-code'), ['DRAINING']);
    assert.equal(error.metadata.get('retry-after-ms')[0], '1000');
  });

  test('the call’s trace context is carried by the write requests that have none, and a malformed one is ignored', async () => {
    const room = openRoom();
    const client = await serve(room);
    const [mine, theirs] = [
      '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01',
      '00-1af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00',
    ];
    const metadata = new Metadata();
    metadata.set('traceparent', theirs);
    await submit(client, batch([wireWrite(), wireWrite({ traceparent: mine })]), metadata);
    metadata.set('traceparent', 'garbage');
    await submit(client, batch([wireWrite()]), metadata);
    assert.deepEqual(
      room.log.writes.map(({ trace }) => trace),
      [theirs, mine, ''],
    );
  });

  test('an empty batch is answered with no results', async () => {
    const client = await serve(openRoom());
    assert.deepEqual(await submit(client, batch([], { batchId: 3 })), { results: [], batchId: 3 });
  });
});

describe('SubmitStream', () => {
  test('batches are answered by their ids, errors do not end the stream, and it ends after the last answer', async () => {
    const room = openRoom();
    const client = await serve(room);
    const stream = client.submitStream();
    const answers = new Map<number, SubmitResponse>();
    stream.on('data', (response: SubmitResponse) => answers.set(response.batchId, response));
    for (let id = 1; id <= 100; id += 1)
      stream.write(batch([wireWrite({ key: id % 10 === 0 ? '' : `k${id}` }), wireWrite()], { batchId: id }));
    stream.end();
    await once(stream, 'end');
    assert.equal(answers.size, 100);
    assert.deepEqual(
      answers.get(10)?.results.map(({ error }) => error?.code),
      ['WRITE_INVALID', undefined],
    );
    assert.equal(room.log.writes.length, 190);
  });

  test('an overloaded batch is an answer, not the end of the stream', async () => {
    const room = openRoom({ limits: { pendingWritesMax: 1 } });
    const client = await serve(room);
    room.log.hold();
    const stream = client.submitStream();
    const codes: (string | undefined)[] = [];
    stream.on('data', (response: SubmitResponse) => {
      codes.push(response.results[0]?.error?.code);
      room.log.release();
    });
    stream.write(batch([wireWrite()], { batchId: 1 }));
    await room.log.begun(1);
    stream.write(batch([wireWrite()], { batchId: 2 }));
    stream.end();
    await once(stream, 'end');
    assert.deepEqual(codes, ['OVERLOADED', undefined]);
  });

  test('no more than a bounded number of batches of one stream is taken at a time', async () => {
    const room = openRoom();
    const client = await serve(room);
    room.log.hold();
    const stream = client.submitStream();
    let answers = 0;
    stream.on('data', () => (answers += 1));
    for (let id = 0; id < 200; id += 1) stream.write(batch([wireWrite()], { batchId: id }));
    stream.end();
    await room.log.begun(1);
    while (room.intake.state.pendingWrites < 32) await submit(client, batch([]));
    // Calls go round trip on the same connection: what would be taken beyond the limit would be taken by now.
    for (let i = 0; i < 50; i += 1) await submit(client, batch([]));
    assert.equal(room.intake.state.pendingWrites, 32);
    room.log.release();
    await once(stream, 'end');
    assert.equal(answers, 200);
    assert.equal(room.log.writes.length, 200);
  });

  test('a client that goes away in the middle loses nothing that was taken and harms nobody', async () => {
    const room = openRoom();
    const client = await serve(room);
    room.log.hold();
    const stream = client.submitStream();
    stream.on('error', () => {});
    stream.write(batch([wireWrite()]));
    await room.log.begun(1);
    stream.cancel();
    room.log.release();
    const response = await submit(client, batch([wireWrite()]));
    assert.equal(response.results[0]?.error, undefined);
    assert.equal(room.log.writes.length, 2);
  });

  test('bytes that are no batch end their own stream with an error and nothing else', async () => {
    const room = openRoom();
    const client = await serve(room);
    const garbage = client.makeBidiStreamRequest(
      '/wmb.v1.Writes/SubmitStream',
      (bytes: Buffer) => bytes,
      (bytes: Buffer) => bytes,
    );
    garbage.write(Buffer.from([0xff, 0xff, 0xff, 0xff]));
    garbage.resume();
    const [error] = (await once(garbage, 'error')) as [ServiceError];
    assert.equal(error.code, status.INTERNAL);
    assert.equal((await submit(client, batch([wireWrite()]))).results[0]?.error, undefined);
  });

  test('a client that half-closes and then goes away harms nobody', async () => {
    const room = openRoom();
    const client = await serve(room);
    room.log.hold();
    const stream = client.submitStream();
    for (let id = 0; id < 20; id += 1) stream.write(batch([wireWrite()], { batchId: id }));
    stream.end();
    while (room.intake.state.pendingWrites < 20) await submit(client, batch([]));
    const cancelled = new Promise((resolve) => stream.on('error', resolve));
    stream.cancel();
    await cancelled;
    room.log.release();
    assert.equal((await submit(client, batch([wireWrite()]))).results[0]?.error, undefined);
    assert.equal(room.log.writes.length, 21);
  });

  test('a client that does not read its answers is not read from for ever', async () => {
    const room = openRoom();
    const client = await serve(room);
    const stream = client.submitStream();
    let answers = 0;
    stream.on('data', () => {
      answers += 1;
      if (answers === 1) stream.pause();
    });
    // Refusals of 1,000 write requests each: the answers are large and cost intake nothing.
    const writes = Array.from({ length: 1_000 }, () => wireWrite({ key: '', payload: Buffer.alloc(0) }));
    for (let id = 0; id < 150; id += 1) stream.write(batch(writes, { batchId: id }));
    stream.end();
    await once(stream, 'pause');
    let before = -1;
    while (before !== room.intake.state.refused) {
      before = room.intake.state.refused;
      for (let i = 0; i < 20; i += 1) await submit(client, batch([]));
    }
    assert.ok(before < 100_000, `${before} of 150,000 write requests were read although nobody reads their answers`);
    stream.resume();
    await once(stream, 'end');
    assert.equal(answers, 150);
  });
});
