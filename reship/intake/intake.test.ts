import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { WmbError } from '../../core/errors.ts';
import { partitionOf } from '../../core/partition.ts';
import { parsePosition } from '../../core/words.ts';
import type { WriteResult } from './call.ts';
import { PACE } from './pack.ts';
import { LOGGED, openRoom, PARTITIONS, submitOne, write } from './testing.ts';

/** Whether the promise has been fulfilled by the time that everything runnable has run. */
async function settledNow(promise: Promise<unknown>): Promise<boolean> {
  let settled = false;
  void promise.then(() => (settled = true));
  await new Promise((resolve) => setImmediate(resolve));
  return settled;
}

function codes(results: readonly WriteResult[]): (string | undefined)[] {
  return results.map((result) => result.error?.code);
}

describe('durability (I1)', () => {
  test('a write request is acked only after its append has resolved, with its stamp and position', async () => {
    const room = openRoom();
    room.log.hold();
    const answer = room.intake.submit([write({ requestId: 'a', key: 'k' })], LOGGED);
    await room.log.begun(1);
    assert.equal(await settledNow(answer), false);
    room.log.release();
    const [result] = await answer;
    const stored = room.log.writes[0];
    assert.equal(result?.requestId, 'a');
    assert.equal(result?.stamp, stored?.stamp);
    assert.equal(result?.error, undefined);
    assert.deepEqual(parsePosition(result?.position ?? ''), {
      log: 'writes',
      origin: 'beijing',
      partition: partitionOf('k', PARTITIONS),
      epoch: room.log.epoch,
      seq: 0,
      index: 0,
    });
  });

  test('an append that fails acks nothing of what it held, and the next one is unaffected', async () => {
    const room = openRoom();
    room.log.failure = new WmbError('LOG_FULL', 'no space left');
    const failed = await room.intake.submit([write({ requestId: 'a' }), write({ key: 'other' })], LOGGED);
    assert.deepEqual(codes(failed), ['LOG_FULL', 'LOG_FULL']);
    assert.deepEqual(
      failed.map((result) => result.stamp + result.position),
      ['', ''],
    );
    assert.equal(failed[0]?.requestId, 'a');
    room.log.failure = undefined;
    assert.equal((await submitOne(room)).error, undefined);
    assert.equal(room.intake.state.pendingWrites, 0);
  });

  test('an append whose outcome nobody knows acks nothing', async () => {
    const room = openRoom();
    room.log.failure = new Error('connection lost');
    const result = await submitOne(room);
    assert.equal(result.error?.code, 'LOG_UNAVAILABLE');
    assert.equal(result.stamp, '');
  });

  test('a call that waits for applied is answered too when its append fails', async () => {
    const room = openRoom();
    room.log.failure = new WmbError('LOG_READONLY', 'read-only');
    const results = await room.intake.submit([write()], { wait: 'applied', deadlineMs: 0 });
    assert.deepEqual(codes(results), ['LOG_READONLY']);
    assert.equal(room.intake.state.waiting, 0);
  });
});

describe('packing', () => {
  test('while one append is in flight the next frames fill, and all of them go in one append', async () => {
    const room = openRoom();
    room.log.hold();
    const first = room.intake.submit([write({ key: 'a' })], LOGGED);
    await room.log.begun(1);
    const later = Array.from({ length: 50 }, (_, i) => room.intake.submit([write({ key: `k${i % 7}` })], LOGGED));
    assert.equal(await settledNow(Promise.race(later)), false);
    assert.equal(room.log.appends.length, 1);
    room.log.release();
    await Promise.all([first, ...later]);
    assert.equal(room.log.appends.length, 2);
    const [, second] = room.log.appends;
    assert.ok((second?.length ?? 0) <= PARTITIONS);
    assert.equal(
      second?.reduce((count, draft) => count + draft.count, 0),
      50,
    );
  });

  test('a quiet room has frames of one write request', async () => {
    const room = openRoom();
    await submitOne(room);
    await submitOne(room);
    assert.deepEqual(room.log.writes.length, 2);
    assert.deepEqual(
      room.log.appends.map((drafts) => drafts.map((draft) => draft.count)),
      [[1], [1]],
    );
  });

  test('appends begin at a pace: what comes within it shares the next one, and the first after a pause waits for nothing', async () => {
    const room = openRoom();
    room.log.appendMs = 0;
    await submitOne(room, { key: 'k' });
    const answers = ['k', 'k', 'k'].map((key) => submitOne(room, { key }));
    assert.equal(await settledNow(Promise.all(answers)), false);
    room.runtime.advance(PACE.msMin);
    assert.equal(await settledNow(Promise.all(answers)), false);
    assert.equal(room.log.appends.length, 1);
    room.runtime.advance(PACE.msPerWrite);
    await Promise.all(answers);
    assert.deepEqual(
      room.log.appends.map((drafts) => drafts.map(({ count }) => count)),
      [[1], [3]],
    );
    room.runtime.advance(PACE.msMax);
    await settledNow(Promise.resolve());
    assert.equal(await settledNow(submitOne(room)), true);
  });

  test('the more an append holds the longer the next one waits, up to a limit', async () => {
    const room = openRoom();
    room.log.appendMs = 0;
    await room.intake.submit(
      Array.from({ length: 1_000 }, () => write()),
      LOGGED,
    );
    const next = submitOne(room);
    room.runtime.advance(PACE.msMax - 0.1);
    assert.equal(await settledNow(next), false);
    room.runtime.advance(0.1);
    await next;
  });

  test('a frame has at most so many write requests and so many bytes, and several frames of a partition go in one append', async () => {
    const room = openRoom({ limits: { frameWritesMax: 10, frameBytesMax: 4_000 } });
    const writes = Array.from({ length: 25 }, () => write());
    const large = Array.from({ length: 6 }, () => write({ payload: Buffer.alloc(1_500, 'x') }));
    await room.intake.submit([...writes, ...large, write({ payload: Buffer.alloc(4_096) })], LOGGED);
    assert.equal(room.log.appends.length, 1);
    const lane = room.log.frames[partitionOf('user:7', PARTITIONS)] ?? [];
    assert.deepEqual(
      lane.slice(0, 2).map((frame) => frame.length),
      [10, 10],
    );
    for (const frame of lane) {
      assert.ok(frame.length <= 10);
      assert.ok(frame.length === 1 || frame.reduce((bytes, { payload }) => bytes + payload.length, 0) <= 4_000);
    }
  });

  test('the order of a key is the order of its submits, with ascending stamps within and between frames, under any load', async () => {
    const calls = fc.array(
      fc.record({ keys: fc.array(fc.integer({ min: 0, max: 5 }), { minLength: 1, maxLength: 20 }), steps: fc.integer({ min: 0, max: 1 }) }),
      { maxLength: 30 },
    );
    await fc.assert(
      fc.asyncProperty(calls, async (plan) => {
        const room = openRoom({ limits: { frameWritesMax: 7 } });
        room.log.hold();
        const sent = new Map<string, string[]>();
        const answers: Promise<readonly WriteResult[]>[] = [];
        for (const { keys, steps } of plan) {
          const writes = keys.map((key) => write({ key: `k${key}` }));
          for (const { key, requestId } of writes) sent.set(key, [...(sent.get(key) ?? []), requestId]);
          answers.push(room.intake.submit(writes, LOGGED));
          if (steps > 0) room.log.step();
          await new Promise((resolve) => setImmediate(resolve));
        }
        room.log.release();
        const results = (await Promise.all(answers)).flat();
        const stored = new Map<string, string[]>();
        for (const lane of room.log.frames) {
          const stamps = lane.flat().map(({ stamp }) => stamp);
          assert.deepEqual(stamps, [...new Set(stamps)].sort());
          for (const { key, requestId } of lane.flat()) stored.set(key, [...(stored.get(key) ?? []), requestId]);
        }
        assert.deepEqual(stored, new Map([...sent].sort(([a], [b]) => [...stored.keys()].indexOf(a) - [...stored.keys()].indexOf(b))));
        for (const { requestId, position, stamp } of results) {
          const at = parsePosition(position);
          const found = room.log.frames[at?.partition ?? 0]?.[at?.seq ?? 0]?.[at?.index ?? 0];
          assert.deepEqual({ requestId: found?.requestId, stamp: found?.stamp }, { requestId, stamp });
        }
      }),
      { numRuns: 60 },
    );
  });
});

describe('validation', () => {
  const bad: readonly (readonly [string, Parameters<typeof write>[0], string, RegExp])[] = [
    ['an empty key', { key: '' }, 'WRITE_INVALID', /key is empty/],
    ['a key over its limit', { key: '机'.repeat(171) }, 'WRITE_TOO_LARGE', /key has 513 bytes; 512/],
    ['a key that is no Unicode', { key: 'a\ud800' }, 'WRITE_INVALID', /key is not valid Unicode/],
    ['a request id over its limit', { requestId: 'x'.repeat(129) }, 'WRITE_TOO_LARGE', /requestId has 129 bytes; 128/],
    ['no kind', { kind: '' }, 'WRITE_INVALID', /kind is empty/],
    ['an unknown kind', { kind: 'massage' }, 'KIND_UNKNOWN', /"massage" is not in the topology; it has: cache, message, /],
    ['a reserved kind', { kind: 'wmb.effects', payload: Buffer.alloc(0) }, 'KIND_UNKNOWN', /reserved/],
    [
      'a canary with a payload',
      { kind: 'wmb.canary', key: 'wmb.canary/1' },
      'WRITE_INVALID',
      /payload is empty; this one has the key "wmb.canary\/1" and 5 bytes/,
    ],
    ['a canary with another key', { kind: 'wmb.canary', payload: Buffer.alloc(0) }, 'WRITE_INVALID', /key begins with wmb\.canary\//],
    ['a payload over its limit', { payload: Buffer.alloc(4_097) }, 'WRITE_TOO_LARGE', /payload has 4097 bytes; 4096/],
    ['a malformed trace context', { trace: 'hello' }, 'WRITE_INVALID', /traceparent/],
    ['a cache payload that is no JSON', { kind: 'cache', payload: Buffer.from('SET a 1') }, 'WRITE_INVALID', /./],
    [
      'a cache command that cannot converge',
      { kind: 'cache', payload: Buffer.from('[["LPUSH","a","1"]]') },
      'COMMAND_UNSUPPORTED',
      /LPUSH/,
    ],
  ];
  for (const [what, fields, code, message] of bad) {
    test(`${what} is refused by name and does not affect the others of the call`, async () => {
      const room = openRoom();
      const results = await room.intake.submit([write(), write(fields), write()], LOGGED);
      assert.deepEqual(codes(results), [undefined, code, undefined]);
      assert.match(results[1]?.error?.message ?? '', message);
      assert.equal(results[1]?.stamp, '');
      assert.equal(room.log.writes.length, 2);
    });
  }

  test('a canary of the checker is taken, though no topology lists its kind', async () => {
    const room = openRoom();
    const results = await room.intake.submit([write({ kind: 'wmb.canary', key: 'wmb.canary/12', payload: Buffer.alloc(0) })], LOGGED);
    assert.deepEqual(codes(results), [undefined]);
    assert.deepEqual(
      room.log.writes.map(({ kind, key }) => [kind, key]),
      [['wmb.canary', 'wmb.canary/12']],
    );
  });

  test('cache commands that converge are taken, and the longest texts fit', async () => {
    const room = openRoom();
    const results = await room.intake.submit(
      [
        write({ kind: 'cache', payload: Buffer.from('[["SET","a","1"],["INCRBY","n","2"]]') }),
        write({
          key: 'k'.repeat(512),
          requestId: 'é'.repeat(64),
          trace: '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01',
          payload: Buffer.alloc(4_096),
        }),
      ],
      LOGGED,
    );
    assert.deepEqual(codes(results), [undefined, undefined]);
    assert.ok(room.log.writes.some(({ trace }) => trace.startsWith('00-0af7')));
  });

  test('a request id is made where none was given, of time and entropy', async () => {
    const room = openRoom();
    const [one, two] = await room.intake.submit([write({ requestId: '' }), write({ requestId: '' })], LOGGED);
    assert.match(one?.requestId ?? '', /^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
    assert.notEqual(one?.requestId, two?.requestId);
    assert.equal(Number.parseInt((one?.requestId ?? '').replaceAll('-', '').slice(0, 12), 16), room.runtime.nowMs());
    assert.deepEqual(
      room.log.writes.map(({ requestId }) => requestId),
      [one?.requestId, two?.requestId],
    );
  });

  test('a call of nothing is answered with nothing', async () => {
    assert.deepEqual(await openRoom().intake.submit([], LOGGED), []);
  });
});

describe('limits (I11)', () => {
  test('intake that is full of write requests refuses with a hint, and takes again when they are durable', async () => {
    const room = openRoom({ limits: { pendingWritesMax: 10 } });
    room.log.hold();
    const first = room.intake.submit(
      Array.from({ length: 8 }, () => write()),
      LOGGED,
    );
    const second = room.intake.submit(
      Array.from({ length: 4 }, () => write()),
      LOGGED,
    );
    assert.equal(room.intake.state.pendingWrites, 10);
    const third = await room.intake.submit([write()], LOGGED);
    assert.deepEqual(codes(third), ['OVERLOADED']);
    assert.ok((third[0]?.error?.retryAfterMs ?? 0) >= 10);
    room.log.release();
    assert.deepEqual(codes(await first), Array(8).fill(undefined));
    assert.deepEqual(codes(await second), [undefined, undefined, 'OVERLOADED', 'OVERLOADED']);
    assert.equal((await submitOne(room)).error, undefined);
    assert.deepEqual(room.intake.state, { pendingWrites: 0, pendingBytes: 0, waiting: 0, taken: 11, refused: 3, draining: false });
  });

  test('intake that is full of bytes refuses, and a small write request does not overtake a large one of its call', async () => {
    const room = openRoom({ limits: { pendingBytesMax: 5_000 } });
    room.log.hold();
    const answer = room.intake.submit([write({ payload: Buffer.alloc(4_000) }), write({ payload: Buffer.alloc(4_000) }), write()], LOGGED);
    room.log.release();
    assert.deepEqual(codes(await answer), [undefined, 'OVERLOADED', 'OVERLOADED']);
  });

  test('a write request larger than the whole of the byte limit is taken by an empty intake', async () => {
    const room = openRoom({ limits: { pendingBytesMax: 100 } });
    assert.equal((await submitOne(room, { payload: Buffer.alloc(4_000) })).error, undefined);
  });
});

describe('draining', () => {
  test('a draining intake refuses new calls and finishes what it has', async () => {
    const room = openRoom();
    room.log.hold();
    const first = room.intake.submit([write()], LOGGED);
    const second = room.intake.submit([write()], { wait: 'applied', deadlineMs: 0 });
    const drained = room.intake.drain();
    const refusal = await room.intake.submit([write()], LOGGED);
    assert.deepEqual(codes(refusal), ['DRAINING']);
    assert.ok((refusal[0]?.error?.retryAfterMs ?? 0) > 0);
    room.log.release();
    assert.deepEqual(codes(await first), [undefined]);
    assert.equal(await settledNow(drained), false);
    room.ack('beijing', partitionOf('user:7', PARTITIONS), 1);
    assert.deepEqual(codes(await second), [undefined]);
    await drained;
    assert.equal(room.log.writes.length, 2);
  });

  test('draining is not over before the last append is', async () => {
    const room = openRoom();
    room.log.hold();
    const answer = room.intake.submit([write()], LOGGED);
    const drained = room.intake.drain();
    assert.equal(await settledNow(drained), false);
    room.log.release();
    await drained;
    assert.deepEqual(codes(await answer), [undefined]);
  });

  test('a drained intake with nothing pending is done at once', async () => {
    await openRoom().intake.drain();
  });
});
