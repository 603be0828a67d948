import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setImmediate } from 'node:timers/promises';
import type { CachePlace, CachePlaces } from '../../core/inspection.ts';
import type { CacheBatch } from '../../store/cache.ts';
import { EPOCH, set, TestLog, TestRoom } from './testing.ts';

const WRITES = { log: 'writes', origin: 'guangzhou', partition: 0, epoch: EPOCH } as const;

async function masterAndSlave() {
  const master = await new TestRoom({ mode: 'master-slave' }).open();
  const slave = await new TestRoom({ mode: 'master-slave', id: 'guangzhou' }).open();
  for (const room of [master, slave]) await room.applier.start();
  const effects = new TestLog({ log: 'effects', origin: 'beijing' }, master.effectLog.epoch);
  const ship = async () => {
    for (const frame of master.effectLog.frames.slice(effects.frames.length)) effects.raw(frame);
    await slave.run(effects);
  };
  const stop = () => Promise.all([master, slave].map((room) => room.applier.stop()));
  return { master, slave, effects, ship, stop, sees };
}

/** Nothing was ever written in beijing: its pulses say that nothing is missing. */
function sees(room: TestRoom, stamp: string): void {
  room.applier
    .consumers({ ...WRITES, origin: 'beijing' })
    .pulse({ log: 'writes', partition: 0, epoch: EPOCH, seq: -1, writes: 0, stamp }, 0);
}

function effectsIn({ lanes }: CachePlaces): CachePlace | undefined {
  return lanes.find(({ log }) => log === 'effects');
}

const NEVER = 'f'.repeat(24);

test('a master says of its effect log what its own cache has, and a slave what its mark says', async () => {
  const { master, slave, ship, stop } = await masterAndSlave();
  for (const room of [master, slave]) sees(room, NEVER);
  await master.run(new TestLog().add(set('a', '1')).add(set('b', '1')));
  await ship();
  for (const room of [master, slave]) {
    const { lanes } = await room.applier.copying.places();
    const found = effectsIn({ lanes } as CachePlaces);
    assert.deepEqual([found?.origin, found?.epoch, found?.cache, found?.applied], ['beijing', master.effectLog.epoch, 1, 1]);
    assert.equal(found?.seen, lanes.find(({ log, origin }) => log === 'writes' && origin === 'guangzhou')?.seen);
    assert.notEqual(found?.seen, '');
  }
  await stop();
});

test('what the master has told its slaves, and is about to apply, is waited for', async () => {
  const { master, stop } = await masterAndSlave();
  const apply = master.cache.apply.bind(master.cache);
  let go = () => {};
  const gate = new Promise<void>((resolve) => {
    go = resolve;
  });
  master.cache.apply = async (batch: CacheBatch) => {
    await gate;
    return apply(batch);
  };
  const running = master.run(new TestLog().add(set('a', '1')));
  while (master.effectLog.frames.length === 0) await setImmediate();
  let answered = false;
  const asking = master.applier.copying.places().finally(() => {
    answered = true;
  });
  for (let turn = 0; turn < 20; turn += 1) await setImmediate();
  assert.equal(answered, false);
  go();
  await running;
  assert.equal(effectsIn(await asking)?.applied, 0);
  assert.equal(master.cache.value('a'), '1');
  await stop();
});

test('what is retried behind the end that was read of the effect log has not been seen: a slave gets it later', async () => {
  const { master, stop } = await masterAndSlave();
  let healed = false;
  master.processors.kinds['message'] = (write) => {
    if (!healed) throw new Error('boom');
    return { cache: [['SET', write.key, '1']] };
  };
  sees(master, NEVER);
  await master.run(new TestLog().add(set('a', '1')).add({ kind: 'message', key: 'p', payload: {} }).add(set('b', '1')));
  healed = true;
  const extent = master.effectLog.extent.bind(master.effectLog);
  const marks = master.bookFile.marks.bind(master.bookFile);
  let retrying: Promise<unknown> | undefined;
  master.effectLog.extent = (partition) => {
    const found = extent(partition);
    retrying ??= master.applier.parking.retry({ writes: [], all: true });
    return found;
  };
  master.bookFile.marks = async () => {
    await retrying;
    return marks();
  };
  const before = effectsIn(await master.applier.copying.places());
  const after = effectsIn(await master.applier.copying.places());
  assert.deepEqual([before?.applied, after?.applied], [2, 3]);
  const retried = (await master.book.retried({ ...WRITES }, -1, 0, 9))[0]?.stamp ?? '';
  assert.ok(before !== undefined && before.seen !== '' && before.seen < retried);
  assert.ok(after !== undefined && after.seen > retried);
  await stop();
});

test('a master whose cache lacks what its receipts have says nothing of its effects', async () => {
  const { master, stop } = await masterAndSlave();
  sees(master, NEVER);
  const restore = master.cache.copy();
  const log = new TestLog().add(set('a', '1'));
  await master.run(log.add(set('b', '1')));
  assert.notEqual(effectsIn(await master.applier.copying.places())?.seen, '');
  restore();
  await master.applier.copying.places().catch(() => {});
  for (let turn = 0; turn < 20; turn += 1) await setImmediate();
  await master.run(new TestLog().add(set('a', '1')));
  const { lanes } = await master.applier.copying.places();
  assert.deepEqual(
    lanes.filter(({ origin, log }) => origin === 'guangzhou' || log === 'effects').map(({ applied, seen }) => [applied, seen !== '']),
    [
      [0, true],
      [1, false],
    ],
  );
  await master.run(log);
  assert.notEqual(effectsIn(await master.applier.copying.places())?.seen, '');
  await stop();
});

test('a slave with effects that were late for its own cache says nothing of them until they are retried', async () => {
  const { master, slave, ship, stop } = await masterAndSlave();
  sees(slave, NEVER);
  await master.run(new TestLog().add(set('a', '1')));
  slave.cache.late.add('a');
  await ship();
  assert.equal(effectsIn(await slave.applier.copying.places())?.seen, '');
  slave.cache.late.clear();
  await slave.applier.parking.retry({ writes: [], all: true });
  assert.notEqual(effectsIn(await slave.applier.copying.places())?.seen, '');
  await stop();
});

test('at the end of a copy the marks of the effects and those derived from them move, the origins are told, and the lane goes on', async () => {
  const { master, slave, effects, ship, stop } = await masterAndSlave();
  const empty = slave.cache.copy();
  const log = new TestLog().add(set('a', '1')).add(set('b', '1'));
  await master.run(log);
  await ship();
  empty();
  await slave.applier.copying.places().catch(() => {});
  for (let turn = 0; turn < 20; turn += 1) await setImmediate();
  const { life } = await slave.applier.copying.places();
  const acked = () => slave.applier.acks.current('guangzhou')[0]?.seq;
  assert.equal(acked(), -1);
  const moves = [
    { ...WRITES, expected: -1, next: 1 },
    { ...effects.lane, epoch: effects.epoch, expected: -1, next: 1 },
  ];
  await slave.applier.copying.takeOver({ life, settled: '', moves });
  assert.equal(acked(), 1, 'before anything more comes');
  await master.run(log.add(set('c', '1')));
  await ship();
  assert.equal(slave.cache.value('c'), '1');
  assert.equal(slave.cache.value('a'), undefined, 'its frame did not come again');
  assert.equal(acked(), 2);
  await stop();
});
