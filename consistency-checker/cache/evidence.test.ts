import assert from 'node:assert/strict';
import { test } from 'node:test';
import { bucketOf } from '../../core/converge/bucket.ts';
import { WmbError } from '../../core/errors.ts';
import { versionAt } from '../../core/stamp.ts';
import { Bench } from './keeper-kit.ts';
import { Chance } from './random-kit.ts';

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

/** Runs `work` in the middle of the next reading of the key's leaf, before the store is looked at. */
function whileReading(bench: Bench, key: string, work: () => Promise<void>): void {
  let here = false;
  bench.read = (buckets) => {
    here = buckets.includes(bucketOf(key));
  };
  bench.beforeReading = async () => {
    if (!here) return;
    bench.beforeReading = async () => {};
    await work();
  };
}

test('a write between a taking and a reading is no evidence, although the answer that comes last does not name it', async () => {
  const bench = new Bench(4_000);
  await bench.write('a', '1');
  await bench.built();
  await bench.time.advance(10_000);
  let release = () => {};
  const held = new Promise<void>((resolve) => {
    release = resolve;
  });
  whileReading(bench, 'a', async () => {
    await bench.clock.wait(300);
    bench.afterTaking = () => held;
    void bench.asked(bucketOf('other'));
    await bench.clock.wait(1);
    await bench.write('a', '2');
  });
  await bench.time.advance(6_000);
  bench.afterTaking = async () => {};
  release();
  await bench.time.advance(20_000);
  assert.equal(bench.keeper.changedBehindMs('a'), 0);
  await bench.stop();
});

test('an answer that leaves marks behind proves nothing of what it does not name', async () => {
  const bench = new Bench(3_600_000);
  const keys = Array.from({ length: 3_000 }, (_, key) => `k${key}`);
  for (const key of [...keys, 'a']) await bench.write(key, '1');
  await bench.built();
  await bench.time.advance(10_000);
  let leaves = 0;
  bench.read = (buckets) => {
    leaves = buckets.length;
  };
  bench.beforeReading = () => bench.clock.wait(leaves);
  for (let second = 0; second < 10; second += 1) {
    // The last to be marked is the last to be taken.
    for (const key of keys) await bench.write(key, String(second));
    if (second === 3) await bench.write('a', '2');
    await bench.time.advance(1_000);
    await bench.leaf(bucketOf('a'));
  }
  assert.equal(bench.keeper.changedBehindMs('a'), 0);
  await bench.stop();
});

test('what is there again because the clock went back is no evidence', async () => {
  const bench = new Bench(4_000);
  await bench.built();
  await bench.write('a', '1', bench.clock.nowMs() + 3_000);
  await bench.time.advance(20_000);
  assert.equal(bench.keeper.keys, 0);
  bench.clock.skewMs = -60_000;
  await bench.time.advance(10_000);
  assert.equal(bench.keeper.changedBehindMs('a'), 0);
  await bench.stop();
});

test('two readings of a leaf never overlap, so that the older one cannot come last', async () => {
  const bench = new Bench(3_600_000);
  await bench.write('a', '1');
  await bench.built();
  await bench.time.advance(500);
  await bench.write('a', '2');
  let slow = true;
  bench.afterReading = async () => {
    if (!slow) return;
    slow = false;
    await bench.clock.wait(700);
  };
  const first = bench.asked(bucketOf('a'));
  await bench.time.advance(300);
  await bench.write('a', '3');
  const second = bench.asked(bucketOf('a'));
  await bench.time.advance(3_000);
  await Promise.all([first, second]);
  assert.equal(await bench.leaf(bucketOf('a')), await bench.stored(bucketOf('a')));
  await bench.stop();
});
