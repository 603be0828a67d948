/** A cache that comes back from an older copy while the collector goes on running. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { WmbError } from '../../core/errors.ts';
import { silentLogger } from '../../core/logger.ts';
import { systemRuntime } from '../../core/runtime.ts';
import { formatStamp } from '../../core/stamp.ts';
import type { CacheStore } from '../../store/cache.ts';
import { CacheView } from './cache-view.ts';
import { incr, START_MS, set, TestLog, TestRoom, TestRuntime } from './testing.ts';

const LOOK_MS = 1_000;
const SEEN_BY_ALL = formatStamp({ ms: START_MS - 10, counter: 0, writer: 9 });
const isMarkMoved = (error: unknown) => error instanceof WmbError && error.code === 'MARK_MOVED';

async function until(what: () => boolean): Promise<void> {
  for (let turns = 0; turns < 1_000 && !what(); turns += 1) await systemRuntime.turn();
  assert.ok(what(), String(what));
}

/** Lets a second pass, and everything that begins with it. */
async function second(room: TestRoom): Promise<void> {
  room.runtime.advance(LOOK_MS);
  for (let turns = 0; turns < 50; turns += 1) await systemRuntime.turn();
}

/** All is quiet in the lanes of both origins, and every room has applied everything. */
function quiet(room: TestRoom, ends: Readonly<Record<string, TestLog>>): void {
  for (const origin of ['beijing', 'guangzhou']) {
    const log = ends[origin] ?? new TestLog({ origin });
    const seq = log.frames.length - 1;
    const end = { log: 'writes' as const, partition: 0, epoch: log.epoch, seq, writes: seq + 1, stamp: SEEN_BY_ALL };
    room.applier.consumers(log.lane).pulse(end, 0);
  }
  room.setFloor(SEEN_BY_ALL);
}

/** A cache-only room in all but name: no database holds its lanes back. */
const openRoom = (mode: 'independent' | 'master-slave' = 'independent') => new TestRoom({ mode, id: 'guangzhou' }).open();

test('an idle lane whose mark went back says so within a second, acks what the cache has, and goes on from there', async (t) => {
  const room = await openRoom();
  const log = new TestLog({ origin: 'beijing' }).add(set('a', '1'));
  await room.applier.start();
  t.after(() => room.applier.stop());
  await room.run(log);
  const putBack = room.cache.copy();
  await room.run(log.add(set('b', '1')));
  const lane = room.applier.consumers(log.lane);
  quiet(room, { beijing: log });
  assert.equal(room.applier.floor(), SEEN_BY_ALL);
  await second(room);
  assert.equal(lane.isStale, false);

  putBack();
  await second(room);
  assert.equal(lane.isStale, true);
  assert.equal(room.applier.acks.current('beijing')[0]?.seq, 0);
  assert.equal(room.applier.floor(), '', 'what the lane has not seen again holds the floor');
  await second(room);
  assert.equal(lane.isStale, true, 'until it is resumed');

  await room.run(log);
  assert.deepEqual([lane.isStale, room.cache.value('b'), room.applier.floor()], [false, '1', SEEN_BY_ALL]);
});

test('a cache that lost no mark, but a retry, gets it again before any floor, and no lane is resumed', async (t) => {
  const room = await openRoom();
  let healed = false;
  room.processors.kinds['message'] = (write) => {
    if (!healed) throw new Error('boom');
    return { cache: [['INCR', write.key]] };
  };
  const log = new TestLog({ origin: 'beijing' }).add({ kind: 'message', key: 'p' });
  await room.applier.start();
  t.after(() => room.applier.stop());
  await room.run(log);
  const putBack = room.cache.copy();
  healed = true;
  await room.applier.parking.retry({ writes: [], all: true });
  quiet(room, { beijing: log });
  putBack();
  await second(room);
  assert.equal(room.cache.value('p'), '1');
  assert.equal(room.cache.batches.at(-1)?.floor, '');
  const lane = room.applier.consumers(log.lane);
  assert.equal(lane.isStale, false);
  await lane.take(log.add(incr('p')).after(0));
  assert.equal(room.cache.value('p'), '2');
});

test('whatever was made for the cache before it went back is refused, in every lane, with or without a mark of its own', async (t) => {
  const room = await openRoom();
  let healed = false;
  room.processors.kinds['message'] = () => {
    if (!healed) throw new Error('boom');
    return { cache: [['SET', 'p', '1']] };
  };
  const log = new TestLog({ origin: 'beijing' }).add({ kind: 'message', key: 'p' }, set('a', '1'));
  await room.applier.start();
  t.after(() => room.applier.stop());
  await room.run(log);
  room.cache.copy()();
  healed = true;
  await assert.rejects(room.applier.parking.retry({ writes: [], all: true }), isMarkMoved);
  await assert.rejects(room.applier.consumers(log.lane).take(log.add(set('a', '2')).after(0)), isMarkMoved);
  assert.deepEqual([room.cache.value('p'), room.cache.value('a')], [undefined, '1']);
  await room.run(log);
  await room.applier.parking.retry({ writes: [], all: true });
  assert.deepEqual([room.cache.value('p'), room.cache.value('a')], ['1', '2']);
});

test('there is no floor, nor does a sweep name one or the horizon say what was seen, until the last lane has looked', async (t) => {
  const room = await openRoom();
  const log = new TestLog({ origin: 'beijing' }).add(set('a', '1'));
  const slow = new TestLog({ origin: 'guangzhou' }).add(set('b', '1'));
  const sweeps: unknown[] = [];
  Object.assign(room.cache, { sweep: async (sweep: unknown) => sweeps.push(sweep) });
  await room.applier.start();
  t.after(() => room.applier.stop());
  await room.run(log);
  await room.run(slow);
  let answer = () => {};
  room.processors.run = () =>
    new Promise((resolve) => {
      answer = () => resolve({ commands: [], effects: [], statements: [] });
    });
  const taking = room.applier.consumers(slow.lane).take(slow.add({ kind: 'message', key: 'c' }).after(0));
  quiet(room, { beijing: log });
  room.applier.consumers(slow.lane).pulse({ log: 'writes', partition: 0, epoch: slow.epoch, seq: 0, writes: 1, stamp: SEEN_BY_ALL }, 0);
  assert.equal(room.applier.floor(), SEEN_BY_ALL);
  const seen = async () => (await room.applier.horizon()).map((place) => place.seen);
  assert.deepEqual(await seen(), [SEEN_BY_ALL, SEEN_BY_ALL]);
  room.cache.copy()();
  for (let count = 0; count < 5; count += 1) await second(room);
  assert.equal(room.applier.floor(), '');
  assert.deepEqual(await seen(), ['', ''], 'a checker would take for lost, or for deleted, what the cache gets again');
  assert.deepEqual(sweeps, [{ generation: 1, floor: '', nowMs: room.runtime.now }]);
  answer();
  await assert.rejects(taking, isMarkMoved);
  await until(() => room.applier.floor() === SEEN_BY_ALL);
  assert.deepEqual(await seen(), [SEEN_BY_ALL, SEEN_BY_ALL]);
});

test('a horizon that is asked for before the second is over says nothing of what was seen, nor does one of a cache that is away', async (t) => {
  const room = await openRoom();
  const log = new TestLog({ origin: 'beijing' }).add(set('a', '1'));
  await room.applier.start();
  t.after(() => room.applier.stop());
  await room.run(log);
  const putBack = room.cache.copy();
  await room.run(log.add(set('b', '1')));
  quiet(room, { beijing: log });
  const seen = async () => (await room.applier.horizon()).map((place) => place.seen);
  assert.deepEqual(await seen(), [SEEN_BY_ALL, SEEN_BY_ALL]);
  putBack();
  assert.deepEqual(await seen(), ['', ''], 'a checker would take for deleted what comes again');
  await room.run(log);
  await until(() => room.applier.floor() === SEEN_BY_ALL);
  assert.deepEqual(await seen(), [SEEN_BY_ALL, SEEN_BY_ALL]);
  room.cache.marks = () => Promise.reject(new WmbError('STORE_UNAVAILABLE', 'away'));
  assert.deepEqual(await seen(), ['', '']);
});

test('marks that cannot be read are read again', async (t) => {
  const room = await openRoom();
  const log = new TestLog({ origin: 'beijing' }).add(set('a', '1'));
  await room.applier.start();
  t.after(() => room.applier.stop());
  const putBack = room.cache.copy();
  await room.run(log);
  const { marks } = room.cache;
  room.cache.marks = () => Promise.reject(new WmbError('STORE_UNAVAILABLE', 'away'));
  putBack();
  await second(room);
  assert.equal(room.applier.consumers(log.lane).isStale, false);
  assert.equal(room.applier.unready(), 'STORE_UNAVAILABLE: away');
  room.cache.marks = marks;
  await second(room);
  assert.equal(room.applier.consumers(log.lane).isStale, true);
  assert.equal(room.applier.unready(), undefined);
});

test('in a slave room the marks that are derived from the effects go back with them', async (t) => {
  const master = await new TestRoom({ mode: 'master-slave' }).open();
  const slave = await openRoom('master-slave');
  await master.run(new TestLog().add(set('a', '1')).add(set('b', '1')));
  const [first, last] = master.effectLog.frames;
  const shipped = new TestLog({ log: 'effects', origin: 'beijing' }, master.effectLog.epoch).raw(first ?? new Uint8Array());
  await slave.applier.start();
  t.after(() => slave.applier.stop());
  await slave.run(shipped);
  const putBack = slave.cache.copy();
  await slave.run(shipped.raw(last ?? new Uint8Array()));
  const lane = slave.applier.consumers(shipped.lane);
  putBack();
  await second(slave);
  assert.equal(lane.isStale, true);
  assert.equal(slave.applier.acks.current('guangzhou')[0]?.seq, 0);
  assert.equal(slave.applier.acks.current('beijing')[0]?.seq, 0);
  await slave.run(shipped);
  assert.equal(lane.isStale, false);
  assert.equal(slave.cache.value('b'), '1');
  assert.equal(slave.applier.acks.current('guangzhou')[0]?.seq, 1);
});

test('a lane stays stale however often the cache goes back before it is resumed', async (t) => {
  const room = await openRoom();
  const log = new TestLog({ origin: 'beijing' }).add(set('a', '1'));
  await room.applier.start();
  t.after(() => room.applier.stop());
  const putBack = room.cache.copy();
  await room.run(log);
  for (let count = 0; count < 2; count += 1) {
    putBack();
    await second(room);
    assert.equal(room.applier.consumers(log.lane).isStale, true);
  }
});

test('a lane that looked while the cache went back once more looks again', async (t) => {
  const runtime = new TestRuntime();
  const state = { generation: 0, looks: 0, answer: () => {} };
  const cache = { marks: async () => ({ generation: state.generation, marks: [], settled: '' }) } as unknown as CacheStore;
  const lookAgain = () => {
    state.looks += 1;
    return new Promise<void>((resolve) => {
      state.answer = resolve;
    });
  };
  const looker = { lookAgain };
  const view = new CacheView({ cache, lookers: () => [looker], runtime, logger: silentLogger });
  await view.start();
  t.after(() => view.stop());
  state.generation = 1;
  await view.marks();
  state.generation = 2;
  await view.marks();
  state.answer();
  await systemRuntime.turn();
  assert.deepEqual([state.looks, view.isWhole], [1, false]);
  runtime.advance(LOOK_MS);
  await until(() => state.looks === 2);
  state.answer();
  await until(() => view.isWhole);
});
