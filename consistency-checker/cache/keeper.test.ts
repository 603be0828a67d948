import assert from 'node:assert/strict';
import { test } from 'node:test';
import { BUCKETS, bucketOf } from '../../core/converge/bucket.ts';
import type { Effect } from '../../core/converge/effects.ts';
import { WmbError } from '../../core/errors.ts';
import { VirtualTime } from '../../core/flow/virtual-time.testing.ts';
import { silentLogger } from '../../core/logger.ts';
import { formatStamp, versionAt, versionOf } from '../../core/stamp.ts';
import type { BucketDigest, CacheInspector } from '../../store/inspection.ts';
import { MemoryCache } from '../../store/memory/cache.ts';
import { MemoryCacheInspector } from '../../store/memory/cache-inspector.ts';
import { LeafKeeper } from './keeper.ts';
import { Chance, RoomTime } from './random-kit.ts';
import { DigestTree, LEAF_LEVEL, nodeAbove } from './tree.ts';

const SWEEP_MS = 20_000;

/** A cache with its keeper. Reading and taking last, and what happens while they do is up to the test. */
class Bench {
  readonly time = new VirtualTime();
  readonly clock = new RoomTime(this.time);
  readonly cache = new MemoryCache();
  readonly inspector: CacheInspector = new MemoryCacheInspector(() => this.cache);
  readonly keeper: LeafKeeper;
  /** By bucket: when something was changed without a mark. */
  readonly tampered = new Map<number, number>();
  read: (buckets: readonly number[]) => void = () => {};
  beforeReading = async () => {};
  afterReading = async () => {};
  beforeTaking = async () => {};
  afterTaking = async () => {};
  #counter = 0;

  constructor(sweepMs = SWEEP_MS) {
    const digests = async (buckets: readonly number[], nowMs: number): Promise<readonly BucketDigest[]> => {
      this.read(buckets);
      await this.beforeReading();
      const found = await this.inspector.digests(buckets, nowMs);
      await this.afterReading();
      return found;
    };
    const { inspector } = this;
    this.keeper = new LeafKeeper({
      inspector: {
        ...{ digests, open: () => inspector.open(), close: () => inspector.close() },
        ...{ entries: (bucket, nowMs) => inspector.entries(bucket, nowMs), states: (keys) => inspector.states(keys) },
      },
      takeDirty: async (max) => {
        await this.beforeTaking();
        const taken = await this.cache.takeDirty(max);
        await this.afterTaking();
        return taken;
      },
      ...{ runtime: this.clock, sweepMs, logger: silentLogger },
    });
  }

  async write(key: string, value: string, expireAtMs = 0): Promise<void> {
    this.#counter += 1;
    const stamp = formatStamp({ ms: this.clock.nowMs(), counter: this.#counter % 65_536, writer: 0x1000001 });
    const effect: Effect = { op: 'set', key, value, expireAtMs, version: versionOf(stamp, 0) };
    const { generation } = await this.cache.marks();
    await this.cache.apply({ moves: [], writes: [[effect]], floor: '', nowMs: this.clock.nowMs(), generation });
  }

  /** Behind the collector's back. */
  tamper(key: string, value: string): boolean {
    const register = this.cache.cell(key)?.register('');
    if (register === undefined) return false;
    this.cache.cell(key)?.setRegister('', { version: register.version, value });
    this.tampered.set(bucketOf(key), this.clock.nowMs());
    return true;
  }

  leaf(bucket: number): Promise<string> {
    return this.clock.until(this.asked(bucket));
  }

  asked(bucket: number): Promise<string> {
    const parent = nodeAbove(bucket, LEAF_LEVEL - 1);
    return this.keeper.nodes({ level: LEAF_LEVEL, parents: [parent] }).then(({ digests }) => {
      const at = (bucket % 16) * 8;
      return Buffer.from(digests.subarray(at, at + 8)).toString('hex');
    });
  }

  async stored(bucket: number): Promise<string> {
    const [digest] = await this.inspector.digests([bucket], this.clock.nowMs());
    assert.ok(digest !== undefined);
    return [digest.high, digest.low].map((half) => half.toString(16).padStart(8, '0')).join('');
  }

  async built(): Promise<void> {
    this.keeper.start();
    for (let second = 0; second < 100 && this.keeper.built < 1; second += 1) await this.time.advance(1_000);
    assert.equal(this.keeper.built, 1);
  }

  async stop(): Promise<void> {
    const stopped = this.keeper.stop();
    await this.time.advance(5_000);
    await stopped;
  }
}

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
  await bench.stop();
});

test('a leaf that was written is read again ten seconds, a minute and five minutes later', async () => {
  const bench = new Bench(24 * 3_600_000);
  await bench.built();
  await bench.time.advance(5_000);
  const readings: number[] = [];
  const startMs = bench.time.monotonicMs();
  bench.read = (buckets) => {
    if (buckets.includes(bucketOf('a'))) readings.push(Math.round((bench.time.monotonicMs() - startMs) / 1_000));
  };
  await bench.write('a', '1');
  await bench.time.advance(400_000);
  assert.equal(readings.length, 4);
  [1, 11, 62, 302].forEach((seconds, index) => void assert.ok(Math.abs((readings[index] ?? 0) - seconds) <= 3, `${readings}`));
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
  for (let second = 0; second < 60; second += 1) {
    for (let key = 0; key < 3_000; key += 1) await bench.write(`k${key}`, String(second));
    await bench.time.advance(1_000);
  }
  assert.ok(workedMs <= 60_000 * 0.05 + 100, `${workedMs} ms`);
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

// ── evidence ──

const KEYS = ['a', 'b', 'c', 'd', 'e', 'f', 'g', 'h', 'i', 'j'];

/** One of everything that may come in between, at any moment. */
async function disturb(bench: Bench, chance: Chance, jumps: boolean): Promise<void> {
  const key = chance.of(KEYS);
  const pick = chance.below(jumps ? 21 : 20);
  if (pick < 8) await bench.write(key, String(chance.below(5)), chance.is(0.4) ? bench.clock.nowMs() + 1 + chance.below(6_000) : 0);
  else if (pick < 10) bench.tamper(key, `t${chance.below(5)}`);
  else if (pick < 11) {
    const floor = versionAt(bench.clock.nowMs() - chance.below(2_000)).slice(0, 24);
    const { generation } = await bench.cache.marks();
    await bench.cache.sweep({ floor, nowMs: bench.clock.nowMs(), generation });
  } else if (pick < 14) void bench.asked(bucketOf(key)).catch(() => {});
  else if (pick === 20) bench.clock.skewMs += chance.below(8_000) - 4_000;
}

async function runDisturbed(seed: number): Promise<{ readonly proved: number; readonly false: readonly string[] }> {
  const chance = new Chance(seed);
  const bench = new Bench(8_000);
  const shaky = chance.is(0.5);
  const wait = async () => {
    if (chance.is(0.1)) await bench.clock.wait(chance.below(chance.is(0.02) ? 500 : 4));
  };
  const fail = async () => {
    await wait();
    if (shaky && chance.is(0.01)) throw new WmbError('UNREACHABLE', 'no answer');
  };
  Object.assign(bench, { beforeReading: wait, afterReading: wait, beforeTaking: fail, afterTaking: fail });
  bench.keeper.start();
  let proved = 0;
  const wrong: string[] = [];
  const seen = new Map<string, number>();
  for (let turn = 0; turn < 200; turn += 1) {
    await bench.time.advance(chance.below(chance.is(0.15) ? 9_000 : 30));
    for (const key of KEYS) {
      const atMs = bench.keeper.changedBehindMs(key);
      if (atMs === 0 || seen.get(key) === atMs) continue;
      seen.set(key, atMs);
      if (bench.tampered.has(bucketOf(key))) proved += 1;
      else wrong.push(`seed ${seed} turn ${turn}: ${key} at ${atMs}`);
      bench.tampered.delete(bucketOf(key));
    }
    await disturb(bench, chance, shaky);
  }
  Object.assign(bench, {
    beforeReading: async () => {},
    afterReading: async () => {},
    beforeTaking: async () => {},
    afterTaking: async () => {},
  });
  await bench.time.advance(20_000);
  for (const key of KEYS) assert.equal(await bench.leaf(bucketOf(key)), await bench.stored(bucketOf(key)), `seed ${seed}`);
  await bench.stop();
  return { proved, false: wrong };
}

test('whatever comes in between, a bucket is said to have changed behind the collector’s back only if it was', async () => {
  let proved = 0;
  for (let seed = 1; seed <= 15; seed += 1) {
    const run = await runDisturbed(seed);
    assert.deepEqual(run.false, []);
    proved += run.proved;
  }
  assert.ok(proved > 40, `only ${proved} of the changes were proved`);
});

test('a taking that fails proves nothing afterwards, until every leaf was read anew', async () => {
  const bench = new Bench(5_000);
  await bench.write('a', '1');
  await bench.built();
  let lost = true;
  bench.afterTaking = async () => {
    if (lost) throw new WmbError('UNREACHABLE', 'the answer was lost');
  };
  await bench.write('a', '2');
  await bench.time.advance(1_500);
  lost = false;
  await bench.time.advance(20_000);
  assert.equal(bench.keeper.changedBehindMs('a'), 0);
  assert.equal(await bench.leaf(bucketOf('a')), await bench.stored(bucketOf('a')));
  assert.ok(bench.tamper('a', '3'));
  await bench.time.advance(12_000);
  assert.ok(bench.keeper.changedBehindMs('a') > 0);
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
