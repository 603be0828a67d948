/** Write requests that were retried, or parked, when a store comes back older than it was. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { EmbeddedBook } from '../receipts/embedded.ts';
import { EPOCH, incr, set, TestLog, TestRoom } from './testing.ts';

const lane = { log: 'writes', origin: 'guangzhou', partition: 0, epoch: EPOCH } as const;
const ALL = { writes: [], all: true } as const;

function message(key: string, payload: object = {}) {
  return { kind: 'message', key, payload };
}

/** A room whose processor fails until it is healed. */
async function ailingRoom(options: ConstructorParameters<typeof TestRoom>[0] = {}) {
  const room = await new TestRoom(options).open();
  const state = { healed: false };
  room.processors.kinds['message'] = (write) => {
    if (!state.healed) throw new Error('boom');
    const { sql } = write.json() as { sql?: string };
    return { cache: [['INCR', write.key]], ...(sql === undefined ? {} : { database: [{ op: 'sql' as const, text: sql, params: [] }] }) };
  };
  return { room, heal: () => void Object.assign(state, { healed: true }) };
}

test('a cache from a copy taken between parking and retry gets the retried write request again, whether or not the lane went on', async () => {
  for (const goesOn of [false, true]) {
    const { room, heal } = await ailingRoom();
    const log = new TestLog().add(message('p'), set('a', '1'));
    await room.run(log);
    const restore = room.cache.copy();
    heal();
    await room.applier.parking.retry(ALL);
    if (goesOn) await room.run(log.add(set('a', '2')));
    restore();
    assert.equal(room.cache.value('p'), undefined);
    room.restart();
    await room.applier.start();
    assert.equal(room.cache.value('p'), '1', 'before any origin is reached');
    await room.run(log);
    assert.deepEqual([room.cache.value('p'), room.cache.value('a')], ['1', goesOn ? '2' : '1']);
    await room.applier.stop();
  }
});

test('a cache that goes back while the collector runs gets the retried write request again when the lane resumes', async () => {
  const { room, heal } = await ailingRoom();
  const log = new TestLog().add(message('p'));
  await room.run(log);
  const restore = room.cache.copy();
  heal();
  await room.applier.parking.retry(ALL);
  await room.run(log.add(set('a', '1')));
  restore();
  await room.run(log.add(set('a', '2')));
  assert.deepEqual([room.cache.value('p'), room.cache.value('a')], ['1', '2']);
});

test('a cache whose mark has moved on since the retry is left alone', async () => {
  const { room, heal } = await ailingRoom({ id: 'guangzhou' });
  const log = new TestLog().add(message('p'));
  await room.run(log);
  heal();
  await room.applier.parking.retry(ALL);
  await room.run(log.add(set('a', '1')));
  const batches = room.cache.batches.length;
  room.restart();
  await room.run(log);
  assert.equal(room.cache.batches.length, batches);
});

test('a collector that dies between the cache and the book retries again, and the effects are there once', async () => {
  const { room, heal } = await ailingRoom();
  const log = new TestLog().add(message('p', { sql: 'one' }));
  await room.run(log);
  heal();
  room.crash.next('after cache');
  await assert.rejects(room.applier.parking.retry(ALL), /crash after cache/);
  room.restart();
  await room.run(log);
  assert.equal(room.book.parkedTotal(), 1, 'it is not lost');
  await room.applier.parking.retry(ALL);
  assert.deepEqual([room.cache.value('p'), room.database.executed, room.book.parkedTotal()], ['1', ['one'], 0]);
});

test('one that an older cache holds for late is parked again, one that a cache of the same mark has forgotten is not', async () => {
  const { room, heal } = await ailingRoom();
  const log = new TestLog().add(set('a', '1'));
  await room.run(log);
  const restore = room.cache.copy();
  await room.run(log.add(message('p')));
  heal();
  await room.applier.parking.retry(ALL);
  room.cache.late.add('p');
  room.restart();
  await room.applier.start();
  assert.equal(room.book.parkedTotal(), 0);
  await room.applier.stop();
  restore();
  room.restart();
  await room.applier.start();
  assert.deepEqual(
    (await room.applier.parking.list('', 9)).map((it) => [it.write.requestId, it.code]),
    [['guangzhou-2', 'WRITE_LATE']],
  );
  await room.applier.stop();
});

test('a slave keeps what it retried itself, too', async () => {
  const slave = await new TestRoom({ mode: 'master-slave', id: 'guangzhou' }).open();
  const master = await new TestRoom({ mode: 'master-slave' }).open();
  await master.run(new TestLog().add(set('a', '1')));
  const effects = new TestLog({ log: 'effects', origin: 'beijing' }, master.effectLog.epoch);
  for (const frame of master.effectLog.frames) effects.raw(frame);
  slave.cache.late.add('a');
  await slave.run(effects);
  slave.cache.late.clear();
  const restore = slave.cache.copy();
  await slave.applier.parking.retry(ALL);
  restore();
  await slave.run(effects);
  assert.equal(slave.cache.value('a'), '1', 'when the lane resumes');
  restore();
  slave.restart();
  await slave.applier.start();
  assert.equal(slave.cache.value('a'), '1', 'when the collector starts');
  await slave.applier.stop();
});

/** The same room with the other stores as they are and a book that knows nothing. */
async function withoutBook(room: TestRoom): Promise<void> {
  await room.bookFile.close();
  await room.bookFile.open();
  assert.equal(room.bookFile.parkedTotal(), 0);
  room.restart();
}

test('a book that lost its rows is written again from the log: what was parked is parked again, or applied where it can be', async () => {
  for (const healed of [false, true]) {
    const { room, heal } = await ailingRoom();
    const log = new TestLog().add(message('p'), set('a', '1'));
    await room.run(log);
    await withoutBook(room);
    if (healed) heal();
    await room.run(log);
    assert.equal(room.book.parkedTotal(), healed ? 0 : 1);
    assert.equal(room.cache.value('p'), healed ? '1' : undefined);
  }
});

test('a book that lost its rows does not take for committed what the database never saw', async () => {
  const { room, heal } = await ailingRoom();
  const log = new TestLog().add(message('p', { sql: 'one' }), message('p', { sql: 'two' }), incr('n'));
  await room.run(log);
  await withoutBook(room);
  heal();
  await room.run(log);
  assert.deepEqual(
    (await room.book.exceptions(lane, 0, 9)).map((it) => `${it.index} ${it.outcome}`),
    ['0 parked', '1 parked'],
  );
  assert.match((await room.applier.parking.list('', 1))[0]?.message ?? '', /statements have not run, because it was parked before/);
  await room.applier.parking.retry(ALL);
  assert.deepEqual([room.database.executed, room.cache.value('p'), room.cache.value('n')], [['one', 'two'], '2', '1']);
});

test('a master whose book lost its rows tells the slaves what it makes of them now', async () => {
  const { room: master, heal } = await ailingRoom({ mode: 'master-slave' });
  const slave = await new TestRoom({ mode: 'master-slave', id: 'guangzhou' }).open();
  const log = new TestLog().add(message('p'));
  await master.run(log);
  await withoutBook(master);
  heal();
  await master.run(log);
  const effects = new TestLog({ log: 'effects', origin: 'beijing' }, master.effectLog.epoch);
  for (const frame of master.effectLog.frames) effects.raw(frame);
  await slave.run(effects);
  assert.deepEqual([master.cache.value('p'), slave.cache.value('p')], ['1', '1']);
  assert.deepEqual(await slave.book.exceptions(lane, 0, 9), []);
});

test('a full parking lot holds up the lane that would park one more, and nothing is lost', async () => {
  const { room, heal } = await ailingRoom();
  const other = { ...lane, origin: 'beijing' };
  const small = new EmbeddedBook({ file: ':memory:', room: 'beijing', parking: { writesMax: 2, bytesMax: 1_000 } });
  await small.open();
  room.useBook(small);
  const log = new TestLog().add(message('a'), message('b'));
  await room.run(log);
  log.add(message('c'), set('d', '1'));
  await assert.rejects(room.run(log), { code: 'PARKING_FULL', retry: 'later', message: /holds 2 write requests.*guangzhou\/0.*:1\.0/ });
  assert.equal((await room.book.summary(lane)).seq, 0, 'the mark has not moved');
  await room.run(new TestLog(other).add(set('x', '1')));
  assert.equal(room.cache.value('x'), '1', 'other lanes go on');
  heal();
  await room.applier.parking.discard({ writes: ['guangzhou-1'], all: false });
  await room.run(log);
  assert.deepEqual([room.cache.value('c'), room.cache.value('d'), (await room.book.summary(lane)).seq], ['1', '1', 1]);
});
