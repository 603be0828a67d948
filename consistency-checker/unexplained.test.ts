/** Keys that were confirmed to differ, thousands of them after a large loss: what is asked of logs and rooms for one is asked for many. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { WmbError } from '../core/errors.ts';
import { VirtualTime } from '../core/flow/virtual-time.testing.ts';
import { sleep } from '../core/runtime.ts';
import type { ConfirmedKey } from './cache/comparison.ts';
import type { Drift } from './drift.ts';
import { DRIFT } from './report/drift.fixture.ts';
import type { Findings } from './report/sources.ts';
import { Unexplained } from './unexplained.ts';

function confirmed(key: string, elements = 1): ConfirmedKey {
  const side = { key, state: undefined, changedBehindMs: 0 };
  const horizon = { nowMs: 1, lanes: [] };
  const each = DRIFT.elements[0] ?? assert.fail();
  return { key, mine: side, theirs: side, horizons: [horizon, horizon], firstSeenMs: 1, elements: Array(elements).fill(each) };
}

class Rig {
  readonly time = new VirtualTime();
  readonly lookedUp: number[] = [];
  readonly read: number[] = [];
  readonly recorded: string[] = [];
  explainMs = 0;
  gone = new Set<string>();
  lookUp: () => Promise<Findings> = async () => new Map();
  readonly unexplained = new Unexplained({
    peer: 'guangzhou',
    keys: {
      differAll: async (keys) => {
        this.read.push(keys.length);
        return keys.map((key) => (this.gone.has(key) ? undefined : confirmed(key)));
      },
    },
    explainer: {
      lookUp: (all) => {
        this.lookedUp.push(all.length);
        return this.lookUp();
      },
      key: ({ key }) => this.#explain(key),
    },
    record: async ({ name }, reasons, explain) => {
      try {
        const drift = await explain();
        if (drift !== undefined && drift !== 'later') this.recorded.push(name);
        return drift !== 'later';
      } catch (cause) {
        reasons.push(String(cause));
        return false;
      }
    },
    runtime: this.time,
  });

  async #explain(name: string): Promise<Drift> {
    if (this.explainMs > 0) await sleep(this.time, this.explainMs);
    return { ...DRIFT, subject: { type: 'key', name } };
  }

  explaining(ms = 2_000) {
    return { reasons: [] as string[], untilMs: this.time.monotonicMs() + ms };
  }
}

const keys = (count: number) => Array.from({ length: count }, (_, n) => confirmed(`k${n}`));

test('of many keys the write requests are looked up together, and the rooms are asked together whether they still differ', async () => {
  const rig = new Rig();
  rig.gone.add('k7');
  await rig.unexplained.explain(keys(100), rig.explaining());
  assert.deepEqual([rig.lookedUp, rig.read, rig.recorded.length], [[32, 32, 32, 4], [32, 32, 32, 4], 99]);
});

test('no more elements are looked up together than payloads may be held', async () => {
  const rig = new Rig();
  await rig.unexplained.explain([confirmed('a', 100), confirmed('b', 20), confirmed('c', 200), confirmed('d', 1)], rig.explaining());
  assert.deepEqual(rig.lookedUp, [2, 1, 1]);
});

test('keys that a round does not come to are read anew by the next, together, and those that differ no more are let go', async () => {
  const rig = new Rig();
  rig.explainMs = 500;
  const working = rig.unexplained.explain(keys(70), rig.explaining());
  await rig.time.advance(10_000);
  await working;
  assert.equal(rig.recorded.length + rig.unexplained.count, 70);
  assert.ok(rig.recorded.length >= 4 && rig.recorded.length <= 6, `${rig.recorded.length}`);
  rig.explainMs = 0;
  rig.read.length = 0;
  rig.gone = new Set(keys(40).map(({ key }) => key));
  await rig.unexplained.explainKept(rig.explaining());
  assert.deepEqual([rig.unexplained.count, rig.recorded.length < 40], [0, true]);
  assert.ok(rig.read.length <= 6, `${rig.read}`);
});

test('a key that cannot be explained is kept, whoever failed', async () => {
  const rig = new Rig();
  rig.lookUp = async () => {
    throw new WmbError('PEER_UNREACHABLE', 'silent');
  };
  const explaining = rig.explaining();
  await rig.unexplained.explain(keys(3), explaining);
  assert.deepEqual([rig.unexplained.count, explaining.reasons.length], [3, 3]);
  rig.lookUp = async () => new Map();
  await rig.unexplained.explainKept(rig.explaining());
  assert.deepEqual([rig.unexplained.count, rig.recorded], [0, ['k0', 'k1', 'k2']]);
});
