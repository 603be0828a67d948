/** A cache that is lost after the logs were trimmed: the room heals by itself, from its peer's cache, while traffic goes on and daemons are killed. */
import assert from 'node:assert/strict';
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { credentials } from '@grpc/grpc-js';
import {
  CheckerClient,
  type CheckerStatus,
  type CompareProgress,
  type DriftReport,
  type ListDriftsResponse,
} from '../../proto/gen/wmb/v1/checker.ts';
import { Wait } from '../../proto/gen/wmb/v1/writes.ts';
import { unary } from '../harness/clients.ts';
import type { Daemon } from '../harness/rooms.ts';
import { cacheWrite, QUICK_LINK, Scene, until as untilWithin } from './scene.ts';

const WAIT_MS_MAX = 120_000;
const KEYS = 400;

function until<T>(what: string, probe: () => Promise<T | undefined | false>): Promise<T> {
  return untilWithin(what, probe, WAIT_MS_MAX);
}

const scene = await Scene.open({
  count: 2,
  mode: 'independent',
  partitions: 2,
  daemons: ['reship', 'collector', 'checker'],
  topologySettings: { limits: { duplicateWindowWrites: 8 } },
  roomSettings: {
    link: QUICK_LINK,
    checker: { roundMs: 200, graceMs: 500, sweepMs: 3_000, canaryMs: 200, silenceMsMax: 2_000 },
    log: { retention: { ageMsMin: 0 } },
  },
});
const checkers = scene.rooms.rooms.map((room) => new CheckerClient(room.checker.grpc, credentials.createInsecure()));
after(() => {
  for (const checker of checkers) checker.close();
});

function at(index: number): CheckerClient {
  const checker = checkers[index];
  assert.ok(checker);
  return checker;
}

function status(index: number): Promise<CheckerStatus> {
  return unary((answer) => at(index).getStatus({}, answer));
}

async function drifts(index: number): Promise<readonly DriftReport[]> {
  const found = await unary<ListDriftsResponse>((answer) => at(index).listDrifts({ status: 'all', limit: 100, id: '' }, answer));
  return found.drifts.filter(({ kind }) => kind !== 'stuck');
}

async function compared(): Promise<CompareProgress> {
  const all: CompareProgress[] = [];
  for await (const step of at(0).compare({ peer: scene.room(1).id, prefix: '' })) all.push(step as CompareProgress);
  const last = all.at(-1);
  assert.ok(last?.done);
  return last;
}

async function trimmed(index: number): Promise<boolean> {
  const text = await (await fetch(`http://${scene.room(index).reship.http}/metrics`)).text();
  return Number(/^wmb_log_trimmed_bytes_total\{[^}]*\} (\d+)/m.exec(text)?.[1] ?? 0) > 0;
}

async function restart(daemon: Daemon): Promise<void> {
  await scene.rooms.end(scene.room(1), daemon, 'SIGKILL');
  await scene.rooms.start(scene.room(1), daemon);
}

async function copying(): Promise<CheckerStatus | false> {
  const found = await status(1);
  return /^copying/.test(found.copy) && found;
}

let written = 0;
async function write(index: number, count: number, wait: Wait = Wait.WAIT_LOGGED): Promise<void> {
  const writes = Array.from({ length: count }, () => {
    written += 1;
    const n = written;
    const key = `k${n % KEYS}`;
    const kinds = [
      [['SET', key, `v${n}`]],
      [['DEL', key]],
      [['HSET', `h${key}`, `f${n % 5}`, `v${n}`]],
      [['INCRBY', `n${key}`, n]],
      [['ZADD', `z${key}`, n, `m${n % 3}`]],
      [['SADD', `s${key}`, `m${n % 4}`]],
      [['SREM', `s${key}`, `m${(n + 1) % 4}`]],
    ];
    return cacheWrite(key, kinds[n % kinds.length] ?? []);
  });
  await scene.submit(index, writes, wait);
}

test('a cache that was lost after the logs were trimmed is copied from the peer’s, under traffic and kills, and nothing is reported', async () => {
  for (let round = 0; round < 3; round += 1) for (const index of [0, 1]) await write(index, 300, Wait.WAIT_EVERYWHERE);
  for (const index of [0, 1]) await until(`the log of room ${index} is trimmed`, () => trimmed(index));
  await scene.rooms.end(scene.room(1), 'collector', 'SIGKILL');
  rmSync(join(scene.room(1).directory, 'cache'), { recursive: true });
  await scene.rooms.start(scene.room(1), 'collector');
  for (const daemon of ['collector', 'checker', 'reship'] as const) {
    await until('a copy is under way', copying);
    for (const index of [0, 1]) await write(index, 20);
    await restart(daemon);
  }
  let busy = true;
  const traffic = (async () => {
    while (busy) for (const index of [0, 1]) await write(index, 10);
  })();
  const shown = await until('a copy is under way again', copying);
  assert.match(shown.copy, /^copying the cache of beijing: \d+ of 65536 buckets/);
  await until('the copy is done', async () => (await status(1)).copy === '');
  busy = false;
  await traffic;
  for (const index of [0, 1]) await write(index, 1, Wait.WAIT_EVERYWHERE);
  const { compared: keys, different } = await until('both rooms show the same', async () => {
    const found = await compared();
    return found.different === 0 && found;
  });
  assert.ok(keys > KEYS, String(keys));
  assert.equal(different, 0);
  for (const index of [0, 1])
    await until(`room ${index} is verified`, async () => {
      const [peer] = (await status(index)).peers;
      return peer?.reason === '' && peer.open === 0;
    });
  for (const index of [0, 1]) assert.deepEqual(await drifts(index), []);
});
