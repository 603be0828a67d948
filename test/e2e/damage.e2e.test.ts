import assert from 'node:assert/strict';
import { cpSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { test } from 'node:test';
import { Wait } from '../../proto/gen/wmb/v1/writes.ts';
import { cacheWrite, Scene, until } from './scene.ts';

const scene = await Scene.open({ count: 2, mode: 'independent', partitions: 2 });
const [beijing, guangzhou] = [scene.room(0), scene.room(1)];

/** Flips one bit of the newest frame of a partition in the file of a write log that nobody has open, or flips it back. */
function flipBit(partition: number): void {
  const db = new DatabaseSync(join(beijing.directory, 'writes', 'log.db'));
  const row = db.prepare('SELECT id, frame FROM wmb_log_frames WHERE partition = ? ORDER BY id DESC LIMIT 1').get(partition);
  const frame = Buffer.from(row?.['frame'] as Uint8Array);
  const at = frame.length - 3;
  frame[at] = (frame[at] as number) ^ 0x10;
  db.prepare('UPDATE wmb_log_frames SET frame = ? WHERE id = ?').run(frame, Number(row?.['id']));
  db.close();
}

test('a flipped bit in a stored frame stops its partition loudly with the position; the others go on', async () => {
  await scene.rooms.end(guangzhou, 'collector', 'SIGTERM');
  const keys = Array.from({ length: 8 }, (_, at) => `flip:${at}`);
  const results = await scene.submit(
    0,
    keys.map((key) => cacheWrite(key, [['SET', key, 'v']])),
    // Its own collector must have them before they are damaged: what it lacked would stop it too.
    Wait.WAIT_APPLIED,
  );
  const position = results[0]?.position.split('.')[0] ?? '';
  const partition = Number(/\/(\d+)@/.exec(position)?.[1]);
  const spared = keys.filter((_, at) => !results[at]?.position.startsWith(`beijing/${partition}@`));
  assert.ok(spared.length > 0 && spared.length < keys.length);
  await scene.rooms.end(beijing, 'reship', 'SIGTERM');
  flipBit(partition);
  await Promise.all([scene.rooms.start(beijing, 'reship'), scene.rooms.start(guangzhou, 'collector')]);

  const stopped = await until('the lane stops', async () => (await scene.lanes(1, 0)).find((lane) => lane.state === 'stopped-on-gap'));
  assert.equal(stopped.partition, partition);
  assert.match(stopped.reason, /^LOG_CORRUPT: /);
  assert.ok(stopped.reason.includes(position), `${position} is not in: ${stopped.reason}`);
  for (const key of spared) await until(`${key} arrives`, async () => (await scene.value(1, key)) === 'v');
  const damaged = keys.filter((key) => !spared.includes(key));
  for (const key of damaged) assert.equal(await scene.get(1, key), undefined);
  const shown = /beijing → guangzhou +writes\/\d +stopped-on-gap .*LOG_CORRUPT/;
  await until('wmb status shows it', async () => shown.test((await scene.wmb(0, 'status', '--lanes')).stdout));

  await scene.rooms.end(beijing, 'reship', 'SIGTERM');
  flipBit(partition);
  await scene.rooms.start(beijing, 'reship');
  assert.equal((await scene.wmb(0, 'link', 'resume', 'beijing', 'guangzhou')).code, 0);
  await scene.equalRooms();
  for (const key of keys) assert.equal(await scene.value(1, key), 'v');
});

test('a room’s own lane that stopped on damage goes on when the log is put right and the room is named twice', async () => {
  await scene.rooms.end(beijing, 'collector', 'SIGTERM');
  const [result] = await scene.submit(0, [cacheWrite('own', [['SET', 'own', 'v']])]);
  const partition = Number(/\/(\d+)@/.exec(result?.position ?? '')?.[1]);
  await scene.rooms.end(beijing, 'reship', 'SIGTERM');
  flipBit(partition);
  await Promise.all([scene.rooms.start(beijing, 'reship'), scene.rooms.start(beijing, 'collector')]);
  const state = async () => (await scene.lanes(0, 0)).find((lane) => lane.partition === partition);
  const reason = await until('the lane stops', async () => {
    const lane = await state();
    return lane?.state === 'stopped-on-gap' && lane.reason;
  });
  assert.match(reason, /^LOG_CORRUPT: /);
  const skipped = await scene.wmb(0, 'link', 'skip', 'beijing', 'beijing', '--yes');
  assert.match(skipped.stdout, /refused: it has not stopped on missing frames: LOG_CORRUPT/);

  await scene.rooms.end(beijing, 'reship', 'SIGTERM');
  flipBit(partition);
  await scene.rooms.start(beijing, 'reship');
  assert.equal((await scene.wmb(0, 'link', 'resume', 'beijing', 'beijing')).code, 0);
  await scene.equalRooms();
  assert.equal(await scene.value(0, 'own'), 'v');
});

test('a collector whose cache was replaced by an older copy catches up by itself, counters exact', async () => {
  const round = async (name: string) => {
    for (const index of [0, 1]) {
      const writes = Array.from({ length: 20 }, (_, at) =>
        cacheWrite(`old:${at}`, [
          ['INCR', `old:count:${at % 3}`],
          ['SET', `old:${name}:${index}:${at}`, 'v'],
        ]),
      );
      await scene.submit(index, writes, Wait.WAIT_EVERYWHERE);
    }
  };
  const [cache, copy] = [join(guangzhou.directory, 'cache'), join(scene.directory, 'older-cache')];
  await round('before');
  await scene.rooms.end(guangzhou, 'collector', 'SIGTERM');
  cpSync(cache, copy, { recursive: true });
  await scene.rooms.start(guangzhou, 'collector');
  await round('after');
  const [, before] = await scene.dumps();
  await scene.rooms.end(guangzhou, 'collector', 'SIGTERM');
  rmSync(cache, { recursive: true });
  cpSync(copy, cache, { recursive: true });
  await scene.rooms.start(guangzhou, 'collector');
  await until('the room holds what it held', async () => (await scene.dumps())[1]?.size === before?.size);
  await scene.submit(0, [cacheWrite('old:end', [['SET', 'old:end', 'v']])], Wait.WAIT_EVERYWHERE);
  const held = await scene.equalRooms();
  held.delete('old:end');
  assert.deepEqual(held, before);
});

test('a reship whose log directory was deleted stops the lanes of all rooms loudly, naming both epochs; the peer goes on', async () => {
  const was = (await scene.at(0).reshipStatus()).logs.find((log) => log.log === 'writes')?.epoch ?? '';
  await scene.rooms.end(beijing, 'reship', 'SIGTERM');
  rmSync(join(beijing.directory, 'writes'), { recursive: true });
  await scene.rooms.start(beijing, 'reship');
  const is = (await scene.at(0).reshipStatus()).logs.find((log) => log.log === 'writes')?.epoch ?? '';
  assert.match(was, /^[0-9a-f]{16}$/);
  assert.notEqual(is, was);
  for (const index of [0, 1]) {
    const lanes = await until(`room ${index} stops`, async () => {
      const all = await scene.lanes(index, 0);
      return all.length === 2 && all.every((lane) => lane.state === 'stopped-on-gap') && all;
    });
    for (const lane of lanes) {
      assert.match(lane.reason, /^LOG_GAP: /);
      assert.ok(lane.reason.includes(was) && lane.reason.includes(is), lane.reason);
    }
  }
  const [result] = await scene.submit(1, [cacheWrite('goes-on', [['SET', 'goes-on', 'v']])], Wait.WAIT_EVERYWHERE);
  assert.equal(result?.error, undefined);
  assert.equal(await scene.value(0, 'goes-on'), 'v');
});
