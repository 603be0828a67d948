import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { Wait } from '../../proto/gen/wmb/v1/writes.ts';
import { cacheWrite, Scene, until } from './scene.ts';

const scene = await Scene.open({ count: 5, mode: 'independent', partitions: 1 });
const ALL = [0, 1, 2, 3, 4];
const PATIENT = ['--deadline-ms', '60000'];

test('what each of five rooms submits is in all five when the wait for everywhere is over', async () => {
  await Promise.all(
    ALL.map((index) =>
      scene.submit(
        index,
        [
          cacheWrite('five', [
            ['INCR', 'five'],
            ['SADD', 'who', `room ${index}`],
          ]),
        ],
        Wait.WAIT_EVERYWHERE,
      ),
    ),
  );
  for (const index of ALL) {
    assert.equal(await scene.value(index, 'five'), '5');
    assert.equal((await scene.get(index, 'who'))?.elements.length, 5);
  }
});

test('the commands of the tour work on running rooms', async () => {
  const submitted = await scene.wmbJson<{ outcome: string }>(
    0,
    'submit',
    '--key',
    'user:7',
    '--payload',
    '[["HSET","user:7","name","Li"]]',
    '--wait',
    'everywhere',
    ...PATIENT,
  );
  assert.equal(submitted.outcome, 'applied');
  const got = await scene.wmb(4, 'get', 'user:7', '--rooms', 'all');
  assert.equal(got.code, 0, got.stderr);
  assert.match(got.stdout, /^user:7 +beijing +guangzhou +shanghai +chengdu +xian\n/);
  assert.match(got.stdout, /\[name\](?: +Li){5}\n/);

  const file = join(scene.directory, 'writes.ndjson');
  const lines = Array.from({ length: 100 }, (_, at) =>
    JSON.stringify({ requestId: `replay-${at}`, kind: 'cache', key: `k${at}`, payload: [['INCR', 'replayed']] }),
  );
  writeFileSync(file, `${lines.join('\n')}\n`);
  for (const time of ['first', 'again']) {
    const replayed = await scene.wmb(1, 'replay', file, '--wait', 'everywhere', ...PATIENT);
    assert.equal(replayed.code, 0, `${time}: ${replayed.stderr}`);
  }
  for (const index of ALL) assert.equal(await scene.value(index, 'replayed'), '100');

  for (const args of [
    ['config', 'check'],
    ['topology', 'show'],
  ]) {
    const ended = await scene.wmb(2, ...args);
    assert.equal(ended.code, 0, ended.stderr);
  }
  await until('status reaches all', async () => {
    const { code, stdout } = await scene.wmb(2, 'status');
    return code === 0 && !/(?:reship|collector) +UNREACHABLE/.test(stdout);
  });
});

test('a room that is gone delays nobody: the four others agree, and status and get say which one is silent', async () => {
  const gone = scene.room(4);
  await Promise.all([scene.rooms.end(gone, 'collector', 'SIGKILL'), scene.rooms.end(gone, 'reship', 'SIGKILL')]);
  await scene.submit(0, [cacheWrite('four', [['SET', 'four', 'v']])], Wait.WAIT_APPLIED);
  for (const index of [1, 2, 3]) await until(`room ${index} has it`, async () => (await scene.value(index, 'four')) === 'v');
  await until('status says so', async () => /\nxian +collector +UNREACHABLE /.test((await scene.wmb(0, 'status')).stdout));
  const got = await scene.wmb(0, 'get', 'four');
  assert.equal(got.code, 4);
  assert.match(got.stderr, /collector of xian .* does not answer/);
  await Promise.all([scene.rooms.start(gone, 'reship'), scene.rooms.start(gone, 'collector')]);
  await scene.equalRooms();
  assert.equal(await scene.value(4, 'four'), 'v');
});
