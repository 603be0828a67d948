import assert from 'node:assert/strict';
import { test } from 'node:test';
import { BUCKETS, bucketOf } from '../../core/converge/bucket.ts';
import { WmbError } from '../../core/errors.ts';
import { sleep } from '../../core/runtime.ts';
import { Bench, SWEEP_MS } from './keeper-kit.ts';
import { DigestTree, nodeAbove } from './tree.ts';

async function root(bench: Bench): Promise<string> {
  const { digests } = await bench.keeper.nodes({ level: 0, parents: [0] });
  return Buffer.from(digests).toString('hex');
}

test('the tree is built from what is stored, says how far it is, and counts the keys', async () => {
  const bench = new Bench();
  await bench.write('a', '1');
  await bench.write('b', '2');
  await assert.rejects(bench.keeper.nodes({ level: 0, parents: [0] }), { code: 'STORE_UNAVAILABLE' });
  assert.equal(bench.keeper.built, 0);
  await bench.built();
  assert.equal(bench.keeper.keys, 2);
  assert.equal(await bench.leaf(bucketOf('a')), await bench.stored(bucketOf('a')));
  assert.match(await root(bench), /[1-9a-f]/);
  await bench.stop();
});

test('waiting for a cache that is far away is no work: the tree is built as soon as from a near one', async () => {
  const bench = new Bench();
  const startedMs = bench.time.monotonicMs();
  let workedMs = 0;
  Object.assign(bench.clock, { workedMs: () => workedMs });
  bench.read = (buckets) => {
    workedMs += buckets.length * 0.01;
  };
  bench.beforeReading = () => sleep(bench.clock, 20);
  await bench.write('a', '1');
  await bench.built();
  await bench.time.advance(1_000);
  assert.equal(bench.keeper.keys, 1);
  assert.ok(2 * workedMs < (50 * (bench.time.monotonicMs() - startedMs)) / 1_000 + 100, 'and no more than its share was worked');
  await bench.stop();
});

test('two rooms with the same keys have the same sixteen digests, and another value changes one of them', async () => {
  const [one, other] = [new Bench(), new Bench()];
  for (const bench of [one, other]) {
    for (let key = 0; key < 200; key += 1) await bench.write(`k${key}`, String(key));
    await bench.built();
  }
  assert.equal(await root(one), await root(other));
  await other.write('k7', 'x');
  await other.time.advance(2_000);
  const digests = await Promise.all([one, other].map((bench) => bench.keeper.nodes({ level: 0, parents: [0] })));
  const [mine, theirs] = digests.map((answer) => Buffer.from(answer.digests)) as [Buffer, Buffer];
  const differing = Array.from({ length: 16 }, (_, node) => node).filter(
    (node) => mine.compare(theirs, node * 8, node * 8 + 8, node * 8, node * 8 + 8) !== 0,
  );
  assert.deepEqual(differing, [nodeAbove(bucketOf('k7'), 0)]);
  await Promise.all([one.stop(), other.stop()]);
});

test('what was written is in the tree a second later, what expired as well, and what is asked for at once', async () => {
  const bench = new Bench(3_600_000);
  await bench.built();
  await bench.write('a', '1');
  await bench.time.advance(500);
  assert.equal(await bench.leaf(bucketOf('a')), await bench.stored(bucketOf('a')));
  await bench.write('b', '1', bench.clock.nowMs() + 5_000);
  await bench.time.advance(2_000);
  assert.equal(bench.keeper.keys, 2);
  await bench.time.advance(6_000);
  assert.equal(bench.keeper.keys, 1);
  await bench.stop();
});

test('the sweep finds a change behind the collector’s back, and says that it was one', async () => {
  const bench = new Bench();
  await bench.write('a', '1');
  await bench.built();
  await bench.time.advance(30_000);
  assert.equal(bench.keeper.changedBehindMs('a'), 0);
  assert.ok(bench.tamper('a', '2'));
  await bench.time.advance(SWEEP_MS + 3_000);
  assert.ok(bench.keeper.changedBehindMs('a') >= (bench.tampered.get(bucketOf('a')) ?? 0));
  assert.equal(bench.keeper.changedBehindMs('other'), 0);
  bench.clock.skewMs += 25 * 3_600_000;
  assert.equal(bench.keeper.changedBehindMs('a'), 0, 'a day later it explains nothing any more');
  await bench.stop();
});

test('a leaf that was written is read again ten seconds, a minute and five minutes later', async () => {
  const bench = new Bench(24 * 3_600_000);
  let leaves = 0;
  const readings: number[] = [];
  // Where reading takes long the sweep takes its time.
  bench.beforeReading = () => bench.clock.wait(leaves / 2);
  let startMs = 0;
  bench.read = (buckets) => {
    leaves = buckets.length;
    if (startMs > 0 && buckets.includes(bucketOf('a'))) readings.push(Math.round((bench.time.monotonicMs() - startMs) / 1_000));
  };
  bench.keeper.start();
  while (bench.keeper.built < 1) await bench.time.advance(5_000);
  startMs = bench.time.monotonicMs();
  await bench.write('a', '1');
  await bench.time.advance(400_000);
  assert.equal(readings.length, 4);
  [1, 11, 62, 302].forEach((seconds, index) => void assert.ok(Math.abs((readings[index] ?? 0) - seconds) <= 3, `${readings}`));
  await bench.stop();
});

test('a small cache is swept within seconds, however long the sweep may take', async () => {
  const bench = new Bench(24 * 3_600_000);
  await bench.write('a', '1');
  await bench.built();
  await bench.time.advance(5_000);
  assert.ok(bench.tamper('a', '2'));
  await bench.time.advance(13_000);
  assert.ok(bench.keeper.changedBehindMs('a') > 0);
  await bench.stop();
});

test('all leaves are read again within the time of the sweep', async () => {
  const bench = new Bench();
  await bench.built();
  const read = new Set<number>();
  bench.read = (buckets) => {
    for (const bucket of buckets) read.add(bucket);
  };
  await bench.time.advance(SWEEP_MS + 2_000);
  assert.equal(read.size, BUCKETS);
  await bench.stop();
});

test('reading takes at most a twentieth of the time, and marks stay where they are until there is time for them', async () => {
  const bench = new Bench(3_600_000);
  await bench.built();
  let workedMs = 0;
  let leaves = 0;
  bench.read = (buckets) => {
    leaves = buckets.length;
    workedMs += leaves;
  };
  bench.beforeReading = () => bench.clock.wait(leaves);
  const startMs = bench.time.monotonicMs();
  for (let second = 0; second < 60; second += 1) {
    for (let key = 0; key < 3_000; key += 1) await bench.write(`k${key}`, String(second));
    await bench.time.advance(1_000);
    for (let key = 0; key < 3; key += 1) await bench.leaf(bucketOf(`k${second * 3 + key}`));
  }
  assert.ok(workedMs <= (bench.time.monotonicMs() - startMs) * 0.05 + 100, `${workedMs} ms`);
  assert.ok(workedMs > 2_000, `${workedMs} ms`);
  bench.beforeTaking = () => Promise.reject(new WmbError('UNREACHABLE', 'no answer'));
  const marked = await bench.cache.takeDirty(BUCKETS);
  assert.ok(marked.length > 1_500, `${marked.length} are marked still`);
  await bench.stop();
});

test('whoever asks waits a second at most when there is too much to read, and gets what was stored a quarter of a second before', async () => {
  const bench = new Bench(3_600_000);
  for (let key = 0; key < 500; key += 1) await bench.write(`k${key}`, String(key));
  await bench.built();
  bench.beforeReading = () => bench.clock.wait(200);
  for (let round = 0; round < 3; round += 1) {
    await bench.write('k1', String(round));
    await bench.time.advance(260);
    const askedMs = bench.time.monotonicMs();
    const leaf = bench.asked(bucketOf('k1')).then((digest) => ({ digest, atMs: bench.time.monotonicMs() }));
    await bench.time.advance(3_000);
    const { digest, atMs } = await leaf;
    assert.equal(digest, await bench.stored(bucketOf('k1')));
    assert.ok(atMs - askedMs <= 1_900, `${atMs - askedMs} ms`);
  }
  await bench.stop();
});

test('questions that cannot be are refused', async () => {
  const bench = new Bench();
  await bench.built();
  const bad = [
    { level: 4, parents: [0] },
    { level: 1.5, parents: [0] },
    { level: 0, parents: [1] },
    { level: 3, parents: [4_096] },
    { level: 2, parents: [-1] },
    { level: 3, parents: Array.from({ length: 257 }, () => 0) },
  ];
  for (const query of bad) await assert.rejects(bench.keeper.nodes(query), { code: 'PEER_GARBAGE' });
  await assert.rejects(bench.keeper.entries([BUCKETS]), { code: 'PEER_GARBAGE' });
  await bench.stop();
});

test('a node is the XOR of its leaves, and a leaf that is put back restores it', () => {
  const tree = new DigestTree();
  const before = Buffer.from(tree.children(0, [0])).toString('hex');
  assert.ok(tree.set(65_535, { high: 0xffffffff, low: 1, keys: 3, expiresMs: 0 }));
  assert.ok(tree.set(0, { high: 2, low: 0x80000000, keys: 1, expiresMs: 9 }));
  assert.ok(!tree.set(0, { high: 2, low: 0x80000000, keys: 1, expiresMs: 9 }));
  assert.equal(tree.keys, 4);
  assert.equal(
    Buffer.from(tree.children(1, [15]))
      .toString('hex')
      .slice(-16),
    'ffffffff00000001',
  );
  assert.equal(
    Buffer.from(tree.children(0, [0]))
      .toString('hex')
      .slice(0, 16),
    '0000000280000000',
  );
  tree.set(65_535, { high: 0, low: 0, keys: 0, expiresMs: 0 });
  tree.set(0, { high: 0, low: 0, keys: 0, expiresMs: 0 });
  assert.equal(Buffer.from(tree.children(0, [0])).toString('hex'), before);
});
