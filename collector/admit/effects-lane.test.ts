import assert from 'node:assert/strict';
import { test } from 'node:test';
import { formatStamp } from '../../core/stamp.ts';
import { EPOCH, incr, set, TestLog, TestRoom } from './testing.ts';

const source = { log: 'writes', origin: 'guangzhou', partition: 0, epoch: EPOCH } as const;
const effects = { log: 'effects', origin: 'beijing', partition: 0 } as const;

async function masterAndSlave() {
  const master = await new TestRoom({ mode: 'master-slave' }).open();
  const slave = await new TestRoom({ mode: 'master-slave', id: 'guangzhou' }).open();
  const log = new TestLog(effects, master.effectLog.epoch);
  /** The slave gets what the master has logged since. */
  const ship = async () => {
    for (const frame of master.effectLog.frames.slice(log.frames.length)) log.raw(frame);
    await slave.run(log);
  };
  master.processors.kinds['message'] = (write) => {
    const { fails } = write.json() as { fails?: boolean };
    if (fails === true && !healthy.has(master)) throw new Error('boom');
    return { cache: [['SET', write.key, write.requestId]] };
  };
  return { master, slave, log, ship };
}

const healthy = new Set<TestRoom>();

function message(key: string, payload: object) {
  return { kind: 'message', key, payload };
}

async function receipts(room: TestRoom): Promise<string[]> {
  return (await room.book.exceptions(source, 0, 100)).map((it) => `${it.seq}.${it.index} ${it.outcome} ${it.code}`.trim());
}

test('the slave applies what the master made, moves the derived mark and tells the origin', async () => {
  const { master, slave, ship } = await masterAndSlave();
  await master.run(new TestLog().add(set('a', '1'), incr('n', { id: 'x' })).add(incr('n', { id: 'x' }), message('b', {})));
  assert.equal(master.effectLog.frames.length, 2, 'one frame for each frame of the source');
  await ship();
  for (const room of [master, slave])
    assert.deepEqual(
      ['a', 'n', 'b'].map((key) => room.cache.value(key)),
      ['1', '1', 'guangzhou-4'],
    );
  assert.deepEqual(slave.cache.values.get('a')?.version, master.cache.values.get('a')?.version, 'the original stamp');
  assert.deepEqual(await receipts(slave), ['1.0 duplicate']);
  assert.deepEqual(slave.applier.acks.current('guangzhou'), [{ log: 'writes', partition: 0, epoch: EPOCH, seq: 1, parkedSeq: -1 }]);
  assert.equal(slave.applier.acks.current('beijing')[0]?.seq, 1);
  assert.deepEqual(
    (await slave.cache.marks()).marks.map((mark) => `${mark.log} ${mark.seq}`),
    ['effects 1', 'writes 1'],
  );
  assert.equal(slave.applier.consumers(source).progress().mark, 1);
});

test('what the master parked is parked in the slave until the master retries it', async () => {
  const { master, slave, ship } = await masterAndSlave();
  await master.run(new TestLog().add(message('a', { fails: true }), message('b', {})).add(message('a', {})));
  await ship();
  assert.deepEqual(await receipts(slave), ['0.0 parked PROCESSOR_FAILED', '1.0 parked BEHIND_PARKED']);
  assert.deepEqual(slave.applier.acks.current('guangzhou')[0], { log: 'writes', partition: 0, epoch: EPOCH, seq: 1, parkedSeq: 0 });
  assert.equal(slave.book.parkedTotal(), 0, 'it is the master’s to retry');
  healthy.add(master);
  await master.applier.parking.retry({ writes: [], all: true });
  await ship();
  assert.equal(slave.cache.value('a'), 'guangzhou-3');
  assert.deepEqual(await receipts(slave), []);
  assert.equal(slave.applier.acks.current('guangzhou')[0]?.parkedSeq, -1);
});

test('what the master discarded becomes rejected in the slave', async () => {
  const { master, slave, ship } = await masterAndSlave();
  await master.run(new TestLog().add(message('a', { fails: true })));
  await master.applier.parking.discard({ writes: [], all: true });
  await ship();
  assert.deepEqual(await receipts(slave), ['0.0 rejected PROCESSOR_FAILED']);
});

for (const step of ['before effect log', 'after effect log', 'before cache', 'before book']) {
  test(`a master that crashes ${step} gives the slave the same`, async () => {
    const { master, slave, ship } = await masterAndSlave();
    const log = new TestLog().add(incr('n'), message('p', { fails: true })).add(incr('n'));
    master.crash.next(step);
    await assert.rejects(master.run(log));
    master.restart();
    healthy.add(master);
    await master.run(log);
    await ship();
    for (const room of [master, slave]) {
      assert.deepEqual([room.cache.value('n'), room.cache.value('p')], ['2', undefined]);
      assert.deepEqual(await receipts(room), ['0.1 parked PROCESSOR_FAILED']);
    }
    assert.deepEqual(
      (await slave.book.marks()).filter((mark) => mark.log === 'writes').map((mark) => mark.seq),
      [1],
    );
  });
}

for (const step of ['before cache', 'after cache', 'before book', 'after book']) {
  test(`a slave that crashes ${step} loses nothing and doubles nothing`, async () => {
    const { master, slave, ship } = await masterAndSlave();
    await master.run(new TestLog().add(incr('n'), incr('n', { id: 'x' })).add(incr('n', { id: 'x' }), set('a', '1')));
    slave.crash.next(step);
    await assert.rejects(ship());
    slave.restart();
    await ship();
    assert.deepEqual([slave.cache.value('n'), slave.cache.value('a')], ['2', '1']);
    assert.deepEqual(await receipts(slave), ['1.0 duplicate']);
    assert.equal((await slave.book.summary(source)).writes, 4);
  });
}

test('effects that skip a frame of their source stop the lane with the missing range', async () => {
  const { master, slave, log } = await masterAndSlave();
  await master.run(new TestLog().add(set('a', '1')).add(set('a', '2')).add(set('a', '3')));
  const [first, , third] = master.effectLog.frames;
  for (const frame of [first, third]) if (frame !== undefined) log.raw(frame);
  await assert.rejects(slave.run(log), { code: 'LOG_GAP', message: /1 to 1 are missing/ });
});

test('a late effect is parked in the slave and can be retried there', async () => {
  const { master, slave, ship } = await masterAndSlave();
  await master.run(new TestLog().add(set('a', '1')));
  slave.cache.late.add('a');
  await ship();
  assert.deepEqual(await receipts(slave), ['0.0 parked WRITE_LATE']);
  slave.cache.late.clear();
  await slave.applier.parking.retry({ writes: [], all: true });
  assert.deepEqual([slave.cache.value('a'), await receipts(slave)], ['1', []]);
});

test('row changes go into the slave database in order, each once', async () => {
  const slave = await new TestRoom({ id: 'guangzhou' }).open();
  const log = new TestLog({ log: 'changes', origin: 'beijing' }).add({ payload: 'one' }).add({ payload: 'two' }, { payload: 'three' });
  await slave.run(log);
  slave.restart();
  await slave.run(log.add({ payload: 'four' }));
  assert.deepEqual(slave.database.changes, ['one', 'two', 'three', 'four']);
  assert.equal(slave.applier.acks.current('beijing')[0]?.seq, 2);
});

test('a slave database that comes back behind lacks what lies after its mark, not all row changes that there ever were', async () => {
  const slave = await new TestRoom({ id: 'guangzhou' }).open();
  const log = new TestLog({ log: 'changes', origin: 'beijing' }).add({ payload: 'one' }).add({ payload: 'two' });
  await slave.run(log);
  slave.restart();
  const changes = slave.applier.consumers(log.lane);
  await changes.resume({ epoch: log.epoch });
  const stamp = formatStamp({ ms: 1, counter: 0, writer: 1 });
  changes.pulse({ log: 'changes', partition: 0, epoch: log.epoch, seq: 2, writes: 3, stamp }, 1);
  const { mark, lagWrites } = changes.progress();
  assert.deepEqual({ mark, lagWrites }, { mark: 1, lagWrites: 1 });
});
