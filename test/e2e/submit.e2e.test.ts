import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { describe, test } from 'node:test';
import { promisify } from 'node:util';
import { Outcome, type SubmitResponse, Wait } from '../../proto/gen/wmb/v1/writes.ts';
import { getJson, ndjson, notExposition, post, statusOfAnnounced } from './http.ts';
import { describeSymbol, listServices, misnamedMapEntries } from './reflection.ts';
import { cacheWrite, QUICK_LINK, Scene, until, visible } from './scene.ts';

const PENDING_WRITES_MAX = 400;
const scene = await Scene.open({
  count: 3,
  mode: 'independent',
  cacheOnly: true,
  partitions: 4,
  // Calls over HTTP wait as long as others, also where the machine stands still.
  roomSettings: { link: QUICK_LINK, intake: { pendingWritesMax: PENDING_WRITES_MAX, frameWritesMax: 100, waitMsDefault: 60_000 } },
});
const reshipUrl = `http://${scene.room(0).reship.http}`;
const keysUrl = (index: number) => `http://${scene.room(index).collector.http}/v1/keys`;

describe('submit over gRPC in three independent rooms, one of them cache-only', () => {
  test('logged: the answer tells request id, stamp and position, and the write request reaches every room', async () => {
    const [result] = await scene.submit(0, [cacheWrite('logged', [['SET', 'logged', 'v']], 'logged-1')]);
    assert.equal(result?.requestId, 'logged-1');
    assert.match(result?.stamp ?? '', /^[0-9a-f]{24}$/);
    assert.match(result?.position ?? '', /^beijing\/\d+@[0-9a-f]{16}:\d+\.\d+$/);
    await scene.settled();
    for (const index of [0, 1, 2]) assert.equal(await scene.value(index, 'logged'), 'v');
  });

  for (const index of [0, 1, 2]) {
    test(`applied: room ${index} reads its own write when it is answered, over gRPC and HTTP`, async () => {
      for (let round = 0; round < 10; round += 1) {
        const [result] = await scene.submit(index, [cacheWrite('own', [['SET', 'own', `${index}.${round}`]])], Wait.WAIT_APPLIED);
        assert.equal(result?.outcome, Outcome.OUTCOME_APPLIED);
        assert.equal(await scene.value(index, 'own'), `${index}.${round}`);
        const { status, body } = await getJson(`${keysUrl(index)}/own`);
        assert.deepEqual([status, (body as { value: string }).value], [200, `${index}.${round}`]);
      }
    });

    test(`everywhere: what room ${index} submits is visible in all rooms when it is answered`, async () => {
      for (let round = 0; round < 5; round += 1) {
        await scene.submit(index, [cacheWrite('all', [['SET', 'all', `${index}.${round}`]])], Wait.WAIT_EVERYWHERE);
        for (const other of [0, 1, 2]) assert.equal(await scene.value(other, 'all'), `${index}.${round}`);
      }
    });
  }

  test('a retried request id has one effect in every room, and the caller is told that it is a duplicate', async () => {
    const once = cacheWrite('count', [['INCR', 'count']], 'count-1');
    await scene.submit(0, [once], Wait.WAIT_EVERYWHERE);
    const [again] = await scene.submit(0, [once], Wait.WAIT_EVERYWHERE);
    assert.equal(again?.outcome, Outcome.OUTCOME_DUPLICATE);
    for (const index of [0, 1, 2]) assert.equal(await scene.value(index, 'count'), '1');
  });

  test('SubmitStream answers every batch by its id, each with what it waited for', async () => {
    const stream = scene.at(0).writes.submitStream();
    for (const batchId of [1, 2, 3]) {
      const writes = [cacheWrite(`stream:${batchId}`, [['SET', `stream:${batchId}`, 'v']])];
      stream.write({ writes, wait: batchId === 3 ? Wait.WAIT_EVERYWHERE : Wait.WAIT_LOGGED, deadlineMs: 0, batchId });
    }
    stream.end();
    const answered: number[] = [];
    for await (const { batchId, results } of stream as AsyncIterable<SubmitResponse>) {
      assert.equal(results[0]?.error, undefined);
      answered.push(batchId);
    }
    assert.deepEqual(answered.sort(), [1, 2, 3]);
    assert.equal(await scene.value(2, 'stream:3'), 'v');
  });

  test('the trace context of a write request is accepted', async () => {
    const traced = {
      ...cacheWrite('traced', [['SET', 'traced', '1']]),
      traceparent: '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01',
    };
    await scene.submit(0, [traced], Wait.WAIT_EVERYWHERE);
  });
});

describe('cache commands', () => {
  const farMs = Date.now() + 3_600_000;
  /** Each submitted in room 0 by itself, in order; then what is seen under the keys that it names. */
  const commands: readonly (readonly (string | number)[])[] = [
    ['SET', 'c:set', 'v'],
    ['SET', 'c:ex', 'v', 'EX', 3600],
    ['SET', 'c:px', 'v', 'PX', 3_600_000],
    ['SET', 'c:exat', 'v', 'EXAT', Math.floor(farMs / 1000)],
    ['SET', 'c:pxat', 'v', 'PXAT', farMs],
    ['SET', 'c:del', 'v'],
    ['DEL', 'c:del'],
    ...['EXPIRE', 'PEXPIRE', 'EXPIREAT', 'PEXPIREAT', 'PERSIST'].map((name) => ['SET', `c:${name}`, 'v', 'EX', 100]),
    ['EXPIRE', 'c:EXPIRE', 3600],
    ['PEXPIRE', 'c:PEXPIRE', 3_600_000],
    ['EXPIREAT', 'c:EXPIREAT', Math.floor(farMs / 1000)],
    ['PEXPIREAT', 'c:PEXPIREAT', farMs],
    ['PERSIST', 'c:PERSIST'],
    ['HSET', 'c:hash', 'a', '1', 'b', '2'],
    ['HDEL', 'c:hash', 'b'],
    ['HINCRBY', 'c:hash', 'n', 7],
    ['SADD', 'c:members', 'a', 'b', 'c'],
    ['SREM', 'c:members', 'b'],
    ['ZADD', 'c:scores', 1.5, 'a', 2, 'b'],
    ['ZREM', 'c:scores', 'b'],
    ['ZINCRBY', 'c:scores', 2.25, 'a'],
    ['INCR', 'c:counter'],
    ['INCRBY', 'c:counter', 41],
    ['DECR', 'c:counter'],
    ['DECRBY', 'c:counter', 11],
    ...['m1', 'm2', 'm3'].map((member) => ['WMB.TIMELINE', 'c:timeline', 2, member]),
  ];

  test('every command in Redis’ own spelling has the same visible effect in every room', async () => {
    for (const command of commands) await scene.submit(0, [cacheWrite(String(command[1]), [command])]);
    await scene.submit(0, [cacheWrite('c:end', [['SET', 'c:end', '1']])], Wait.WAIT_EVERYWHERE);
    await scene.settled();
    const seen = await Promise.all(
      [0, 1, 2].map(async (index) => [...(await scene.at(index).dump())].filter(([key]) => key.startsWith('c:'))),
    );
    for (const other of seen) assert.deepEqual(other, seen[0]);
    const plain = Object.fromEntries((seen[0] ?? []).map(([key, entry]) => [key, visible(entry) as Record<string, unknown>]));
    assert.equal(plain['c:del'], undefined);
    assert.equal(plain['c:set']?.value, 'v');
    assert.equal(plain['c:counter']?.value, '30');
    assert.deepEqual(plain['c:hash']?.elements, [
      ['a', '1'],
      ['n', '7'],
    ]);
    assert.deepEqual(
      (plain['c:members']?.elements as string[][] | undefined)?.map(([name]) => name),
      ['a', 'c'],
    );
    assert.deepEqual(plain['c:scores']?.elements, [['a', '3.75']]);
    assert.deepEqual(
      (plain['c:timeline']?.elements as string[][] | undefined)?.map(([name]) => name),
      ['m2', 'm3'],
    );
    for (const key of ['c:pxat', 'c:PEXPIREAT']) assert.equal(plain[key]?.expireAtMs, farMs);
    for (const key of ['c:exat', 'c:EXPIREAT']) assert.equal(plain[key]?.expireAtMs, Math.floor(farMs / 1000) * 1000);
    assert.equal(plain['c:PERSIST']?.expireAtMs, 0);
    for (const key of ['c:ex', 'c:px', 'c:EXPIRE', 'c:PEXPIRE']) {
      const leftMs = Number(plain[key]?.expireAtMs) - Date.now();
      assert.ok(leftMs > 3_500_000 && leftMs <= 3_600_000, `${key} expires in ${leftMs} ms`);
    }
  });

  test('an expired key is gone in every room at its time', async () => {
    const write = cacheWrite('soon', [
      ['SET', 'soon', 'v', 'PX', 700],
      ['SET', 'later', 'v', 'PX', 60_000],
    ]);
    const [result] = await scene.submit(0, [write], Wait.WAIT_EVERYWHERE);
    const dueMs = Number.parseInt(result?.stamp.slice(0, 12) ?? '', 16) + 700;
    const seen = await Promise.all([0, 1, 2].map(async (index) => (await scene.get(index, 'soon'))?.expireAtMs));
    // A busy machine may have needed longer than that.
    if (Date.now() < dueMs) assert.deepEqual(seen, [dueMs, dueMs, dueMs]);
    await new Promise((resolve) => setTimeout(resolve, dueMs - Date.now() + 1));
    for (const index of [0, 1, 2]) {
      assert.equal(await scene.get(index, 'soon'), undefined);
      assert.equal(await scene.value(index, 'later'), 'v');
    }
  });

  const refused: readonly (readonly [command: readonly string[], instead: RegExp])[] = [
    [['APPEND', 'k', 'v'], /SET the whole value/],
    [['LPUSH', 'k', 'v'], /WMB\.TIMELINE/],
    [['RPOP', 'k'], /WMB\.TIMELINE/],
    [['SPOP', 'k'], /SREM/],
    [['SETNX', 'k', 'v'], /SET it/],
    [['SET', 'k', 'v', 'NX'], /leave it out/],
    [['EVAL', 'return 1', '0'], /processor/],
    [['INCRBYFLOAT', 'k', '1.5'], /INCRBY/],
    [['GET', 'k'], /read the cache/],
    [['FROB', 'k'], /no such cache command/],
  ];
  test('what cannot converge is refused at intake with why and what to use instead; the rest of the call is taken', async () => {
    const good = cacheWrite('beside', [['SET', 'beside', 'v']]);
    const { results } = await scene.trySubmit(0, [...refused.map(([command]) => cacheWrite('k', [command])), good], Wait.WAIT_APPLIED);
    for (const [at, [command, instead]] of refused.entries()) {
      assert.equal(results[at]?.error?.code, 'COMMAND_UNSUPPORTED', command.join(' '));
      assert.equal(results[at]?.error?.retry, 'never');
      assert.match(results[at]?.error?.message ?? '', instead);
      assert.equal(results[at]?.stamp, '');
    }
    assert.equal(results.at(-1)?.outcome, Outcome.OUTCOME_APPLIED);
    assert.equal(await scene.get(0, 'k'), undefined);
  });
});

describe('HTTP', () => {
  const line = (key: string, value: string) =>
    JSON.stringify({ requestId: `http-${key}`, kind: 'cache', key, payload: [['SET', key, value]] });

  test('NDJSON is answered with one line per write request; a bad line has its own error and harms no other', async () => {
    const wrong = [
      '{not json',
      '{"kind":"nope","key":"k","payload":1}',
      JSON.stringify({ kind: 'cache', key: 'k', payload: [['APPEND', 'k', 'v']] }),
    ];
    const { status, lines, headers } = await post(
      `${reshipUrl}/v1/writes?wait=everywhere`,
      [line('h1', 'a'), ...wrong, line('h2', 'b')].join('\n'),
    );
    assert.equal(status, 200);
    assert.match(headers.get('content-type') ?? '', /^application\/x-ndjson/);
    assert.deepEqual(
      lines.map(({ requestId, error, outcome }) => [requestId?.startsWith('http-') ? requestId : '', error?.code ?? outcome]),
      [
        ['http-h1', 'applied'],
        ['', 'WRITE_INVALID'],
        ['', 'KIND_UNKNOWN'],
        ['', 'COMMAND_UNSUPPORTED'],
        ['http-h2', 'applied'],
      ],
    );
    assert.match(lines[0]?.stamp ?? '', /^[0-9a-f]{24}$/);
    assert.match(lines[0]?.position ?? '', /^beijing\//);
    for (const index of [0, 1, 2]) assert.equal(((await getJson(`${keysUrl(index)}/h2`)).body as { value: string }).value, 'b');
  });

  test('one JSON object is taken as it is; a write request that is refused alone makes the status', async () => {
    const one = await post(`${reshipUrl}/v1/writes?wait=applied`, line('single', 'v'), 'application/json');
    assert.deepEqual([one.status, one.lines.length, one.lines[0]?.outcome], [200, 1, 'applied']);
    const bad = await post(`${reshipUrl}/v1/writes`, '{"kind":"nope","key":"k"}', 'application/json');
    assert.deepEqual([bad.status, bad.lines[0]?.error?.code], [400, 'KIND_UNKNOWN']);
  });

  test('an oversized write request is refused beside others that are taken; an oversized body is 413', async () => {
    const large = JSON.stringify({ kind: 'cache', key: 'large', payload: [['SET', 'large', 'x'.repeat(1_100_000)]] });
    const mixed = await post(`${reshipUrl}/v1/writes?wait=applied`, [large, line('beside-large', 'v')].join('\n'));
    assert.deepEqual(
      mixed.lines.map(({ error, outcome }) => error?.code ?? outcome),
      ['WRITE_TOO_LARGE', 'applied'],
    );
    const alone = await post(`${reshipUrl}/v1/writes`, large);
    assert.deepEqual([alone.status, alone.lines[0]?.error?.code], [413, 'WRITE_TOO_LARGE']);
    assert.equal(await statusOfAnnounced(`${reshipUrl}/v1/writes`, 17 * 1024 * 1024), 413);
  });

  test('a full intake answers 429 with a hint, and what it took before is applied', async () => {
    const many = Array.from({ length: PENDING_WRITES_MAX + 50 }, (_, at) => line(`flood${at}`, 'v')).join('\n');
    const { status, lines } = await post(`${reshipUrl}/v1/writes?wait=applied`, many);
    assert.equal(status, 200);
    assert.equal(lines.filter((each) => each.outcome === 'applied').length, PENDING_WRITES_MAX);
    const over = lines.at(-1)?.error;
    assert.deepEqual([over?.code, over?.retry], ['OVERLOADED', 'later']);
    assert.ok((over?.retryAfterMs ?? 0) > 0);
    // Side by side, some call finds no room at all: that one is 429 as a whole.
    const refusedWhole = await until('a call finds no room', async () => {
      const answers = await Promise.all(Array.from({ length: 12 }, () => post(`${reshipUrl}/v1/writes`, many)));
      return answers.find((answer) => answer.status === 429);
    });
    assert.ok(Number(refusedWhole.headers.get('retry-after')) >= 1);
    assert.equal(refusedWhole.lines[0]?.error?.code, 'OVERLOADED');
  });

  test('curl with its own content type works', async (t) => {
    const curl = promisify(execFile);
    const found = await curl('curl', ['--version']).catch(() => undefined);
    if (found === undefined) return t.skip('curl is not installed');
    const { stdout } = await curl('curl', ['-sS', '-d', line('curled', 'v'), `${reshipUrl}/v1/writes?wait=applied`]);
    assert.equal(ndjson(stdout)[0]?.outcome, 'applied');
    const key = await curl('curl', ['-sS', `${keysUrl(0)}/curled`]);
    assert.equal(JSON.parse(key.stdout).value, 'v');
  });

  test('a key that is not there is 404 with a code; one with odd characters is found percent-encoded', async () => {
    const { status, body } = await getJson(`${keysUrl(0)}/absent`);
    assert.deepEqual([status, (body as { error: { code: string } }).error.code], [404, 'NOT_FOUND']);
    const odd = 'a/b?c 键';
    await scene.submit(0, [cacheWrite(odd, [['SET', odd, 'v']])], Wait.WAIT_APPLIED);
    assert.equal((await getJson(`${keysUrl(0)}/${encodeURIComponent(odd)}`)).status, 200);
  });

  for (const daemon of ['reship', 'collector'] as const) {
    test(`the ${daemon} tells its health, readiness and metrics`, async () => {
      const url = `http://${scene.room(1)[daemon].http}`;
      assert.deepEqual(await getJson(`${url}/healthz`), { status: 200, body: { status: 'alive' } });
      assert.deepEqual(await getJson(`${url}/readyz`), { status: 200, body: { ready: true, reasons: [] } });
      const response = await fetch(`${url}/metrics`);
      assert.match(response.headers.get('content-type') ?? '', /^text\/plain; version=/);
      const text = await response.text();
      assert.deepEqual(notExposition(text), []);
      assert.match(text, daemon === 'reship' ? /^wmb_intake_\w+.* [1-9]/m : /^wmb_link_state\{/m);
    });
  }
});

test('every daemon lists its own services by gRPC reflection, and describes them', async () => {
  const { reship, collector } = scene.room(0);
  for (const [address, wanted] of [
    [reship.grpc, ['wmb.v1.Link', 'wmb.v1.Reship', 'wmb.v1.Writes']],
    [collector.grpc, ['wmb.v1.Collector', 'wmb.v1.Inspection']],
  ] as const) {
    assert.deepEqual((await listServices(address)).sort(), ['grpc.health.v1.Health', ...wanted]);
    for (const name of wanted) {
      const files = await describeSymbol(address, name);
      assert.ok(
        files.some((file) => file.service.some((service) => `${file.package}.${service.name}` === name)),
        name,
      );
      assert.deepEqual(files.flatMap(misnamedMapEntries), []);
    }
  }
});
