import assert from 'node:assert/strict';
import { test } from 'node:test';
import { bucketOf } from '../core/converge/bucket.ts';
import { entryHash, type KeyState, visibleOf } from '../core/converge/state.ts';
import { systemRuntime } from '../core/runtime.ts';
import { formatStamp, versionOf } from '../core/stamp.ts';
import type { ConfirmedKey } from './cache/comparison.ts';
import { type CompareStep, compareRooms } from './compare.ts';
import type { RoomView } from './room.ts';

const version = (ms: number) => versionOf(formatStamp({ ms, counter: 0, writer: 1 << 24 }), 0);

/** A room that holds strings, by key: value and moment of writing. */
class Strings {
  readonly values = new Map<string, readonly [value: string, ms: number]>();
  readonly view: RoomView;

  constructor(room: string, keys: number) {
    for (let n = 0; n < keys; n += 1) this.values.set(`k${n}`, [`v${n}`, n + 1]);
    const view: Partial<RoomView> = {
      room,
      entries: async (buckets, urgent) => {
        assert.equal(urgent, true);
        const wanted = new Set(buckets);
        const found = new Map(
          buckets.map((bucket) => [bucket, [] as { key: string; version: string; hash: string; expireAtMs: number }[]]),
        );
        for (const key of [...this.values.keys()].sort()) {
          const entry = wanted.has(bucketOf(key)) ? visibleOf(this.#state(key), 1) : undefined;
          if (entry !== undefined) found.get(bucketOf(key))?.push({ key, version: entry.version, hash: entryHash(entry), expireAtMs: 0 });
        }
        return buckets.map((bucket) => found.get(bucket) ?? []);
      },
      states: async (keys) => keys.map((key) => ({ key, state: this.#state(key), changedBehindMs: 0 })),
    };
    this.view = view as RoomView;
  }

  #state(key: string): KeyState | undefined {
    const held = this.values.get(key);
    if (held === undefined) return undefined;
    const registers = [{ name: '', version: version(held[1]), value: held[0] }];
    return { key, type: 'string', kill: '', expireAtMs: 0, caps: [], registers, increments: [], expiries: [] };
  }
}

interface Comparing {
  readonly mine: Strings;
  readonly theirs: Strings;
  readonly prefix?: string;
  readonly onGrace?: () => void;
  readonly onWay?: readonly string[];
  readonly signal?: AbortSignal;
}

async function compare({
  mine,
  theirs,
  prefix = '',
  onGrace = () => {},
  onWay = [],
  signal = new AbortController().signal,
}: Comparing): Promise<CompareStep[]> {
  const runtime = {
    ...systemRuntime,
    after: (_: number, task: () => void) => {
      onGrace();
      return systemRuntime.after(0, task);
    },
  };
  const differs = async (key: string) => (onWay.includes(key) ? undefined : ({} as ConfirmedKey));
  const steps: CompareStep[] = [];
  for await (const step of compareRooms({ own: mine.view, peer: theirs.view, differs, prefix, graceMs: 5_000, runtime, signal }))
    steps.push(step);
  return steps;
}

const rooms = (keys = 300) => ({ mine: new Strings('beijing', keys), theirs: new Strings('guangzhou', keys) });

test('two equal rooms: every key is compared, step by step, and nothing differs', async () => {
  const steps = await compare(rooms());
  assert.deepEqual(steps.at(-1), { compared: 300, different: 0, keys: [], done: true });
  assert.ok(steps.length > 100);
  assert.ok(steps.every((step, at) => at === 0 || step.compared >= (steps[at - 1]?.compared ?? 0)));
});

test('another value, another version, and a key on one side only are differences, in either direction', async () => {
  const { mine, theirs } = rooms();
  theirs.values.set('k1', ['other', 2]);
  theirs.values.set('k2', ['v2', 99]);
  theirs.values.delete('k3');
  mine.values.delete('k4');
  const steps = await compare({ mine, theirs });
  assert.equal(steps.at(-1)?.different, 4);
  const shown = new Map(
    steps.flatMap(({ keys }) => keys).map(({ key, verdict, sides }) => [key, [verdict, ...sides.map(({ shows }) => shows)]]),
  );
  assert.deepEqual(shown.get('k1'), ['difference', '"v1"', '"other"']);
  assert.deepEqual(shown.get('k2'), ['difference', '"v2"', '"v2"']);
  assert.deepEqual(shown.get('k3'), ['difference', '"v3"', 'nothing']);
  assert.deepEqual(shown.get('k4'), ['difference', 'nothing', '"v4"']);
});

test('only keys with the prefix are compared and counted', async () => {
  const { mine, theirs } = rooms();
  theirs.values.delete('k3');
  theirs.values.delete('k17');
  const steps = await compare({ mine, theirs, prefix: 'k17' });
  assert.deepEqual([steps.at(-1)?.compared, steps.at(-1)?.different], [11, 1]);
});

test('what agrees after the grace period is no difference, what changed again by then or is on its way is lag', async () => {
  const { mine, theirs } = rooms();
  for (const key of ['k1', 'k2', 'k3']) theirs.values.delete(key);
  const steps = await compare({
    mine,
    theirs,
    onGrace: () => {
      theirs.values.set('k1', ['v1', 2]);
      mine.values.set('k2', ['newer', 500]);
    },
    onWay: ['k3'],
  });
  const verdicts = steps.flatMap(({ keys }) => keys).map(({ key, verdict }) => `${key} ${verdict}`);
  assert.deepEqual(verdicts.sort(), ['k2 lag', 'k3 lag']);
  assert.equal(steps.at(-1)?.different, 2);
});

test('a comparison that is given up ends without a result', async () => {
  const giving = new AbortController();
  const { mine, theirs } = rooms();
  theirs.values.delete('k3');
  const steps = await compare({ mine, theirs, signal: giving.signal, onGrace: () => giving.abort() });
  assert.equal(steps.at(-1)?.done, false);
});
