/** Stores that lost their last commits, on caches that have really forgotten what the floor allowed. */
import assert from 'node:assert/strict';
import { cpSync, mkdtempSync, renameSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { type TestContext, test } from 'node:test';
import { systemRuntime } from '../../core/runtime.ts';
import { formatStamp } from '../../core/stamp.ts';
import { CACHE_FILE, EmbeddedCache } from '../../store/embedded/cache.ts';
import { EmbeddedBook } from '../receipts/embedded.ts';
import { EPOCH, type RoomOptions, START_MS, set, TestLog, TestRoom } from './testing.ts';

const source = { log: 'writes', origin: 'guangzhou', partition: 0, epoch: EPOCH } as const;
const effects = { log: 'effects', origin: 'beijing', partition: 0 } as const;
/** Greater than every stamp of the tests' logs. */
const SEEN_BY_ALL = formatStamp({ ms: START_MS - 10, counter: 0, writer: 9 });

const del = (key: string) => ({ key, payload: [['DEL', key]] });

/** A room whose cache is a file, with the way to take it back to how it was. */
async function roomOnFile(t: TestContext, options: RoomOptions) {
  const directory = mkdtempSync(join(tmpdir(), 'wmb-tails-'));
  const copy = `${directory}-copy`;
  const room = await new TestRoom(options).open();
  const cache = new EmbeddedCache({ directory, room: options.id ?? 'beijing', runtime: systemRuntime });
  await cache.open();
  Object.assign(room, { cache });
  room.restart();
  t.after(async () => {
    await cache.close();
    for (const path of [directory, copy]) rmSync(path, { recursive: true, force: true });
  });
  const save = async () => {
    await cache.close();
    cpSync(directory, copy, { recursive: true });
    await cache.open();
  };
  const restore = async () => {
    await cache.close();
    rmSync(directory, { recursive: true });
    cpSync(copy, directory, { recursive: true });
    await cache.open();
    room.restart();
  };
  return { room, cache, save, restore, file: join(directory, CACHE_FILE) };
}

/** Both origins say that all is quiet behind `seq`, and that every room has applied everything. */
function quiet(room: TestRoom, seq: number): void {
  for (const [origin, end] of [
    ['guangzhou', seq],
    ['beijing', -1],
  ] as const)
    room.applier
      .consumers({ log: 'writes', origin, partition: 0 })
      .pulse({ log: 'writes', partition: 0, epoch: EPOCH, seq: end, writes: end + 1, stamp: SEEN_BY_ALL }, 0);
  room.setFloor(SEEN_BY_ALL);
}

async function receipts(room: TestRoom, lane: TestLog['lane'] = source): Promise<string[]> {
  return (await room.book.exceptions({ ...lane, epoch: EPOCH }, 0, 9)).map((it) => `${it.seq}.${it.index} ${it.outcome} ${it.code}`.trim());
}

test('a slave room whose cache is older than its book acks what the cache has, keeps the floor back, and is brought the rest', async (t) => {
  const { room: slave, cache, save, restore } = await roomOnFile(t, { mode: 'master-slave', id: 'guangzhou' });
  const master = await new TestRoom({ mode: 'master-slave' }).open();
  await master.run(new TestLog().add(set('a', '1')).add(set('b', '1')).add(set('c', '1')));
  const [first, ...others] = master.effectLog.frames;
  const shipped = new TestLog(effects, master.effectLog.epoch).raw(first ?? new Uint8Array());
  await slave.run(shipped);
  await save();
  for (const frame of others) shipped.raw(frame);
  await slave.run(shipped);
  await restore();
  await slave.applier.start();
  t.after(() => slave.applier.stop());
  assert.equal(slave.applier.acks.current('guangzhou')[0]?.seq, 0);
  quiet(slave, 2);
  assert.equal(slave.applier.floor(), '');
  await slave.run(shipped);
  assert.deepEqual(await receipts(slave), []);
  for (const key of ['a', 'b', 'c']) assert.deepEqual((await cache.get(key, START_MS))?.value, { type: 'string', value: '1' });
  assert.equal(slave.applier.acks.current('guangzhou')[0]?.seq, 2);
  assert.equal(slave.applier.floor(), SEEN_BY_ALL);
});

test('a book that lost its last commits takes what the cache has applied and forgotten for applied, not for late', async (t) => {
  const { room, cache } = await roomOnFile(t, { id: 'guangzhou' });
  const log = new TestLog({ origin: 'beijing' }).add(set('a', '1')).add(set('d', '1')).add(del('d'));
  await room.run(log);
  await cache.sweep({ generation: 0, floor: SEEN_BY_ALL, nowMs: START_MS });
  const older = new EmbeddedBook({ file: ':memory:', room: 'guangzhou' });
  await older.open();
  room.useBook(older);
  await room.run(log);
  assert.deepEqual(await receipts(room, log.lane), []);
  assert.equal(room.book.parkedTotal(), 0);
});

test('after a kill, what lies above the database’s mark and was swept is not late', async (t) => {
  const { room, cache } = await roomOnFile(t, {});
  const log = new TestLog().add(set('a', '1'));
  await room.run(log);
  log.add(set('d', '1')).add(del('d'));
  await room.applier.consumers(source).take(log.after(0));
  assert.equal((await room.database.marks())[0]?.seq, 0, 'the mark of a database with nothing to execute lags');
  await cache.sweep({ generation: 0, floor: SEEN_BY_ALL, nowMs: START_MS });
  room.restart();
  await room.run(log);
  assert.deepEqual(await receipts(room), []);
});

test('after a kill, what was late and is parked stays parked', async () => {
  const room = await new TestRoom().open();
  const log = new TestLog().add(set('a', '1'));
  await room.run(log);
  log.add(set('d', '1'));
  room.cache.late.add('d');
  await room.applier.consumers(source).take(log.after(0));
  room.restart();
  await room.run(log);
  assert.deepEqual(await receipts(room), ['1.0 parked WRITE_LATE']);
  assert.equal(room.book.parkedTotal(), 1);
});

test('effects that the master logged twice are not late in a slave that has applied and forgotten them', async (t) => {
  const { room: slave, cache } = await roomOnFile(t, { mode: 'master-slave', id: 'guangzhou' });
  const master = await new TestRoom({ mode: 'master-slave' }).open();
  const log = new TestLog().add(set('d', '1')).add(del('d'));
  master.crash.next('after effect log');
  await assert.rejects(master.run(log));
  master.restart();
  const shipped = new TestLog(effects, master.effectLog.epoch);
  for (const frame of master.effectLog.frames) shipped.raw(frame);
  await slave.run(shipped);
  await master.run(log);
  quiet(slave, 1);
  await cache.sweep({ generation: 0, floor: slave.applier.floor(), nowMs: START_MS });
  const copies = master.effectLog.frames.slice(shipped.frames.length);
  assert.equal(copies.length, 2);
  for (const frame of copies) shipped.raw(frame);
  await slave.run(shipped);
  assert.deepEqual(await receipts(slave), []);
  assert.equal(slave.book.parkedTotal(), 0);
});

test('what the master parked and retried is late in a slave that has it for the first time', async () => {
  const slave = await new TestRoom({ mode: 'master-slave', id: 'guangzhou' }).open();
  const master = await new TestRoom({ mode: 'master-slave' }).open();
  let healthy = false;
  master.processors.kinds['message'] = (write) => {
    if (!healthy) throw new Error('boom');
    return { cache: [['SET', write.key, '1']] };
  };
  await master.run(new TestLog().add({ kind: 'message', key: 'p', payload: {} }));
  healthy = true;
  await master.applier.parking.retry({ writes: [], all: true });
  const shipped = new TestLog(effects, master.effectLog.epoch).raw(master.effectLog.frames[0] ?? new Uint8Array());
  await slave.run(shipped);
  slave.cache.late.add('p');
  await slave.run(shipped.raw(master.effectLog.frames[1] ?? new Uint8Array()));
  assert.deepEqual(await receipts(slave), ['0.0 parked WRITE_LATE']);
  assert.equal(slave.book.parkedTotal(), 1);
});

test('a cache file that is replaced by rename under a running collector is noticed within a second, and an idle lane goes on from its mark', async (t) => {
  const { room, cache, file } = await roomOnFile(t, { id: 'guangzhou' });
  const log = new TestLog().add(set('a', '1'));
  await room.applier.start();
  t.after(() => room.applier.stop());
  await room.run(log);
  const reader = new DatabaseSync(file, { readOnly: true });
  reader.exec(`VACUUM INTO '${file}.copy'`);
  reader.close();
  await room.run(log.add(set('b', '1')));
  const lane = room.applier.consumers(log.lane);
  renameSync(`${file}.copy`, file);
  room.runtime.advance(1_000);
  for (let turns = 0; turns < 1_000 && !lane.isStale; turns += 1) await systemRuntime.turn();
  assert.equal(lane.isStale, true);
  await room.run(log);
  assert.deepEqual([lane.isStale, (await cache.get('b', START_MS))?.value], [false, { type: 'string', value: '1' }]);
});
