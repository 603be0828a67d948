/** The floor of a room in which several collectors work (docs/adr/0013). */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { systemRuntime } from '../../core/runtime.ts';
import { formatStamp, type Stamp } from '../../core/stamp.ts';
import type { CacheBatch, CacheSweep } from '../../store/cache.ts';
import { START_MS, set, TestLog, TestRoom } from './testing.ts';

const at = (ms: number): Stamp => formatStamp({ ms: START_MS + ms, counter: 0, writer: 9 });
const SWEEP_MS = 5_000;

/** The collector of one of two shares, with what the other one is said to have seen. */
async function collector(index: number) {
  const state: { others: { seen: Stamp; restsOn: string[] } | undefined } = { others: undefined };
  // Of one partition the share 0 of one is the whole; that there are others makes it one of several.
  const share = { share: { index: 0, count: 1 }, others: () => state.others };
  const room = await new TestRoom({ id: 'guangzhou', share: { ...share, share: { index, count: index + 1 } } }).open();
  const sweeps: CacheSweep[] = [];
  const batches: CacheBatch[] = [];
  const apply = room.cache.apply.bind(room.cache);
  Object.assign(room.cache, {
    sweep: async (sweep: CacheSweep) => void sweeps.push(sweep),
    apply: (batch: CacheBatch) => {
      batches.push(batch);
      return apply(batch);
    },
  });
  await room.applier.start();
  room.setFloor(at(-10));
  const swept = async () => {
    room.runtime.advance(SWEEP_MS);
    for (let turns = 0; turns < 50; turns += 1) await systemRuntime.turn();
    return sweeps.at(-1);
  };
  return { room, state, batches, swept };
}

/** Nothing is missing in its lanes up to `seen`. */
function pulse(room: TestRoom, log: TestLog, seen: Stamp): void {
  const other = new TestLog({ origin: log.lane.origin === 'beijing' ? 'guangzhou' : 'beijing' });
  for (const { lane, epoch, frames } of [log, other]) {
    const seq = frames.length - 1;
    room.applier.consumers(lane).pulse({ log: 'writes', partition: 0, epoch, seq, writes: seq + 1, stamp: seen }, 0);
  }
}

test('a sweep names the least of what all collectors have seen and what it rests on; batches name no floor', async (t) => {
  const { room, state, batches, swept } = await collector(0);
  t.after(() => room.applier.stop());
  const log = new TestLog({ origin: 'beijing' }).add(set('a', '1'));
  await room.run(log);
  pulse(room, log, at(-10));
  assert.equal((await swept())?.floor, '', 'the other one has not said anything');
  state.others = { seen: at(-20), restsOn: ['left of 1'] };
  const { floor, restsOn } = (await swept()) as CacheSweep;
  assert.deepEqual([floor, restsOn], [at(-20), ['left of 1']]);
  state.others = { seen: at(-5), restsOn: ['left of 1'] };
  assert.equal((await swept())?.floor, at(-10), 'what it has seen itself counts too');
  assert.ok(batches.length > 0 && batches.every((batch) => batch.floor === ''));
});

test('only the collector of the first share moves the floor', async (t) => {
  const { room, state, swept } = await collector(1);
  t.after(() => room.applier.stop());
  state.others = { seen: at(-20), restsOn: ['left of 0'] };
  assert.equal((await swept())?.floor, '');
});
