/** As copy.e2e.test.ts and copy-slave.e2e.test.ts, with caches on Redis: one of them is flushed under its running collector, and filled under traffic. */
import assert from 'node:assert/strict';
import { after, before, beforeEach, test } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import { credentials } from '@grpc/grpc-js';
import { CheckerClient, type CheckerStatus, type CompareProgress, type ListDriftsResponse } from '../../proto/gen/wmb/v1/checker.ts';
import { Wait } from '../../proto/gen/wmb/v1/writes.ts';
import { type RedisServer, startRedis } from '../containers/redis.ts';
import { unary } from '../harness/clients.ts';
import { cacheWrite, QUICK_LINK, Scene, until as untilWithin } from './scene.ts';

const WAIT_MS_MAX = 120_000;
const KEYS = 200;
const TRAFFIC_MS = 50;
const servers: RedisServer[] = [];

before(async () => {
  servers.push(...(await Promise.all([startRedis(), startRedis()])));
});

beforeEach(async () => {
  for (const server of servers) await server.cli('FLUSHALL');
});

after(async () => {
  for (const { container } of servers) await container.stop();
});

function until<T>(what: string, probe: () => Promise<T | undefined | false>): Promise<T> {
  return untilWithin(what, probe, WAIT_MS_MAX);
}

for (const mode of ['independent', 'master-slave'] as const) {
  test(`a Redis that was flushed after the logs were trimmed is filled from the peer’s, and nothing is reported (${mode})`, async () => {
    const addresses = new Map(['beijing', 'guangzhou'].map((room, index) => [room, servers[index]?.address]));
    const scene = await Scene.open({
      count: 2,
      mode,
      partitions: 2,
      daemons: ['reship', 'collector', 'checker'],
      topologySettings: { limits: { duplicateWindowWrites: 8 } },
      roomSettings: (room) => ({
        link: QUICK_LINK,
        checker: { roundMs: 200, graceMs: 500, sweepMs: 3_000, canaryMs: 200, silenceMsMax: 2_000 },
        log: { retention: { ageMsMin: 0 } },
        cache: { adapter: 'redis', nodes: [{ address: addresses.get(room) }] },
      }),
    });
    const checkers = scene.rooms.rooms.map((room) => new CheckerClient(room.checker.grpc, credentials.createInsecure()));
    const [mine, theirs] = checkers as [CheckerClient, CheckerClient];
    const status = () => unary<CheckerStatus>((answer) => theirs.getStatus({}, answer));
    const write = (index: number, from: number) =>
      scene.submit(
        index,
        Array.from({ length: KEYS }, (_, n) =>
          cacheWrite(`k${from + n}`, n % 5 === 4 ? [['DEL', `k${from + n - 1}`]] : [['SET', `k${from + n}`, `v${n}`]]),
        ),
        Wait.WAIT_EVERYWHERE,
      );
    for (const index of [0, 1]) await write(index, index * KEYS);
    // What the second room lacks then.
    await until('the first room’s log is trimmed', async () => {
      const text = await (await fetch(`http://${scene.room(0).reship.http}/metrics`)).text();
      const log = mode === 'independent' ? 'writes' : 'effects';
      return Number(new RegExp(`^wmb_log_trimmed_bytes_total\\{[^}]*log="${log}"[^}]*\\} (\\d+)`, 'm').exec(text)?.[1] ?? 0) > 0;
    });
    await servers[1]?.cli('FLUSHALL');
    await until('a copy is under way', async () => /^copying/.test((await status()).copy));
    const counted = await countWhile(scene, () => until('the copy is done', async () => (await status()).copy === ''));
    for (const index of [0, 1]) await write(index, index * KEYS);
    await until('both rooms show the same', async () => {
      let last: CompareProgress | undefined;
      for await (const step of mine.compare({ peer: 'guangzhou', prefix: '' })) last = step as CompareProgress;
      return last?.done && last.different === 0 && last.compared > KEYS;
    });
    assert.ok(counted > 0);
    for (const index of [0, 1]) assert.equal(await scene.value(index, 'n'), String(counted));
    for (const checker of checkers) {
      const { drifts } = await unary<ListDriftsResponse>((answer) => checker.listDrifts({ status: 'all', limit: 100, id: '' }, answer));
      assert.deepEqual(
        drifts.filter(({ kind }) => kind !== 'stuck'),
        [],
      );
      checker.close();
    }
  });
}

/** Counts in both rooms while `work` is done; returns how far. */
async function countWhile(scene: Scene, work: () => Promise<unknown>): Promise<number> {
  let [isOver, counted] = [false, 0];
  const traffic = (async () => {
    while (!isOver) {
      for (const index of [0, 1]) {
        await scene.submit(index, [cacheWrite('n', [['INCR', 'n']])]);
        counted += 1;
      }
      await pause(TRAFFIC_MS);
    }
  })();
  traffic.catch(() => {});
  await work();
  isOver = true;
  await traffic;
  return counted;
}
