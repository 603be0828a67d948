import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Effect } from '../../core/converge/effects.ts';
import { VirtualTime } from '../../core/flow/virtual-time.testing.ts';
import type { CachePlace, CachePlaces, LanePlace, TakeOver } from '../../core/inspection.ts';
import { silentLogger } from '../../core/logger.ts';
import { versionOf } from '../../core/stamp.ts';
import { MemoryCache } from '../../store/memory/cache.ts';
import { MemoryCacheInspector } from '../../store/memory/cache-inspector.ts';
import { laneOfTest, testStamp } from '../messages/receipts-kit.ts';
import type { CopySide } from '../room.ts';
import { CacheCopy } from './copy.ts';

const START_MS = 1_700_000_000_000;
const at = (ms: number) => testStamp(START_MS + ms);
const version = (ms: number) => versionOf(at(ms), 0);
const set = (key: string, value: string, ms: number): Effect => ({ op: 'set', key, value, expireAtMs: 0, version: version(ms) });
const del = (key: string, ms: number): Effect => ({ op: 'del', key, version: version(ms) });

/** A room of which a test says how its cache stands. */
class Side {
  readonly cache = new MemoryCache();
  readonly inspector = new MemoryCacheInspector(() => this.cache);
  places: CachePlaces;
  before: (what: keyof CopySide) => Promise<void> | void = () => {};
  asked = 0;

  constructor(lane: Partial<CachePlace>) {
    const whole = { cache: 90, others: 90, applied: 90, seen: at(1_000), state: 'streaming', reason: '', logFrom: -1 };
    this.places = { room: 'guangzhou', nowMs: START_MS, life: 'a', settled: '', lanes: [{ ...laneOfTest('lhasa'), ...whole, ...lane }] };
  }

  async apply(...effects: readonly Effect[]): Promise<void> {
    await this.cache.apply({ generation: 0, moves: [], writes: effects.map((effect) => [effect]), floor: '', nowMs: START_MS + 9_000 });
  }

  change(lane: Partial<CachePlace>): void {
    this.places = { ...this.places, lanes: this.places.lanes.map((known) => ({ ...known, ...lane })) };
  }

  side(room: string): CopySide {
    const told = async <T>(what: keyof CopySide, answer: () => T | Promise<T>) => {
      this.asked += 1;
      await this.before(what);
      return answer();
    };
    return {
      room,
      nodes: () => told('nodes', () => ({ digests: new Uint8Array(), keys: 0, built: 1 })),
      cachePlaces: () => told('cachePlaces', () => this.places),
      keys: (buckets) => told('keys', () => this.inspector.keys(buckets)),
      states: (keys) =>
        told('states', async () =>
          (await this.inspector.states(keys)).map((state, n) => ({ key: keys[n] ?? '', state, changedBehindMs: 0 })),
        ),
    };
  }
}

function lost(): Side {
  return new Side({ cache: -1, applied: -1, seen: '', state: 'stopped-on-gap', logFrom: 50 });
}

/** Looks as the checker does, until the marks have moved or `ms` milliseconds are over. */
async function copyInto(
  own: Side,
  peer: Side,
  ms = 60_000,
  seen = (lane: LanePlace): LanePlace => lane,
): Promise<{ readonly ends: readonly TakeOver[] }> {
  const runtime = new VirtualTime(START_MS + 9_000);
  const ends: TakeOver[] = [];
  const mender = {
    repair: (repairs: Parameters<MemoryCache['repair']>[0]) => own.cache.repair(repairs, runtime.nowMs()),
    takeOver: async (end: TakeOver) => void ends.push(end),
  };
  const copy = new CacheCopy({ own: own.side('guangzhou'), peers: [peer.side('beijing')], mender, runtime, logger: silentLogger });
  for (let passed = 0; passed < ms && ends.length === 0; passed += 100) {
    copy.look({ lanes: own.places.lanes.map((lane) => seen({ ...lane, mark: lane.applied, lagWrites: 0 })) });
    await runtime.advance(100);
  }
  await copy.stop();
  return { ends };
}

const shown = async (side: Side, key: string) => (await side.cache.get(key, START_MS + 9_000))?.value;
const LANE = { ...laneOfTest('lhasa'), expected: -1 };

test('a copy makes a lost cache remember what the peer’s does, and moves the marks to what was read first', async () => {
  const [own, peer] = [lost(), new Side({})];
  await peer.apply(set('k', 'v', 500), set('gone', 'x', 500), del('gone', 600));
  peer.before = (what) => {
    // The peer goes on.
    if (what === 'keys') peer.change({ cache: 95, applied: 95, seen: at(1_500) });
  };
  const { ends } = await copyInto(own, peer);
  assert.deepEqual(ends, [{ life: 'a', settled: '', moves: [{ ...LANE, next: 90 }] }]);
  assert.deepEqual(await own.inspector.states(['k', 'gone']), await peer.inspector.states(['k', 'gone']));
});

test('what the peer has forgotten goes, and what this room has beyond the copy stays', async () => {
  const [own, peer] = [lost(), new Side({})];
  await own.apply(set('deleted', 'replayed', 500), set('new', 'mine', 2_000), set('k', 'older', 400));
  await peer.apply(set('k', 'v', 500));
  const { ends } = await copyInto(own, peer);
  assert.equal(ends.length, 1);
  assert.equal(await shown(own, 'deleted'), undefined);
  assert.deepEqual(await shown(own, 'new'), { type: 'string', value: 'mine' });
  assert.deepEqual(await shown(own, 'k'), { type: 'string', value: 'v' });
});

test('a key that is written while it is copied is looked at again', async () => {
  const [own, peer] = [lost(), new Side({})];
  await peer.apply(set('k', 'v', 500), { op: 'hset', key: 'h', field: 'a', value: '1', version: version(500) });
  let writes = 0;
  own.before = async (what) => {
    if (what !== 'states' || writes === 3) return;
    writes += 1;
    const late = 2_000 + writes;
    // After it was read, before it is repaired.
    queueMicrotask(() =>
      queueMicrotask(() => void own.apply({ op: 'hset', key: 'h', field: 'b', value: String(late), version: version(late) })),
    );
  };
  const { ends } = await copyInto(own, peer);
  assert.equal(ends.length, 1);
  assert.deepEqual(await shown(own, 'h'), {
    type: 'hash',
    fields: [
      ['a', '1'],
      ['b', '2003'],
    ],
  });
});

test('no mark moves where the peer’s cache was lost meanwhile, nor where it has forgotten more than it had seen', async () => {
  let lives = 0;
  for (const later of [() => ({ life: `life ${++lives}` }), () => ({ settled: versionOf(at(1_200), 65_535) })]) {
    const [own, peer] = [lost(), new Side({})];
    await peer.apply(set('k', 'v', 500));
    peer.before = (what) => {
      if (what === 'keys') peer.places = { ...peer.places, ...later() };
    };
    assert.deepEqual((await copyInto(own, peer, 3_000)).ends, []);
  }
});

test('a copy ends where a person pauses a lane that is behind', async () => {
  const [own, peer] = [lost(), new Side({})];
  await peer.apply(set('k', 'v', 500));
  peer.before = (what) => {
    if (what === 'keys') own.change({ state: 'paused' });
  };
  assert.deepEqual((await copyInto(own, peer, 3_000)).ends, []);
});

test('a lane that takes older frames is waited for before anything is copied', async () => {
  const [own, peer] = [lost(), new Side({})];
  const [gap] = own.places.lanes;
  assert.ok(gap);
  const moving: CachePlace = { ...gap, ...laneOfTest('lhasa', 1), cache: 10, applied: 10, state: 'streaming', logFrom: -1 };
  own.places = { ...own.places, lanes: [gap, moving] };
  peer.places = { ...peer.places, lanes: [0, 1].map((n) => ({ ...(peer.places.lanes[0] as CachePlace), ...laneOfTest('lhasa', n) })) };
  let keysRead = false;
  peer.before = (what) => {
    keysRead ||= what === 'keys';
  };
  assert.deepEqual((await copyInto(own, peer, 2_000)).ends, []);
  assert.equal(keysRead, false);
  own.places = { ...own.places, lanes: [gap, { ...moving, cache: 92, applied: 92 }] };
  const { ends } = await copyInto(own, peer);
  assert.deepEqual(
    ends[0]?.moves.map(({ partition, next }) => [partition, next]),
    [[0, 90]],
  );
});

test('nobody is asked while no lane stands on a gap', async () => {
  const [own, peer] = [new Side({}), new Side({})];
  await copyInto(own, peer, 2_000);
  assert.deepEqual([own.asked, peer.asked], [0, 0]);
});

test('in a room that follows another one’s effects the reason says that they stand', async () => {
  const own = lost();
  const peer = new Side({});
  const effects = { log: 'effects', origin: 'beijing' } as const;
  const [gap, theirs] = [own, peer].map(({ places }) => places.lanes[0] as CachePlace);
  assert.ok(gap && theirs);
  own.places = {
    ...own.places,
    lanes: [
      { ...gap, logFrom: -1 },
      { ...gap, ...effects },
    ],
  };
  peer.places = { ...peer.places, room: 'beijing', lanes: [theirs, { ...theirs, ...effects }] };
  await peer.apply(set('k', 'v', 500));
  const { ends } = await copyInto(own, peer, 60_000, (lane) => ({ ...lane, state: '', reason: 'its effects stand' }));
  assert.deepEqual(
    ends[0]?.moves.map(({ log, next }) => [log, next]),
    [
      ['writes', 90],
      ['effects', 90],
    ],
  );
  assert.deepEqual(await shown(own, 'k'), { type: 'string', value: 'v' });
});
