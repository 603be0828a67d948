/** Several collectors in one room, on Redis: they divide its partitions, and take over from each other. */
import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { credentials } from '@grpc/grpc-js';
import { Redis } from 'ioredis';
import { parse, stringify } from 'yaml';
import { CheckerClient, type DriftReport, type ListDriftsResponse } from '../../proto/gen/wmb/v1/checker.ts';
import { containersAvailable, NO_ENGINE } from '../containers/engine.ts';
import { startKafka } from '../containers/kafka.ts';
import { type RedisServer, startRedis } from '../containers/redis.ts';
import { unary } from '../harness/clients.ts';
import { moreDaemons, type RunningRoom } from '../harness/rooms.ts';
import { standstill } from '../harness/standstill.ts';
import { divided, PARTITIONS, QUICK_CHECKER, SHARED, standsStill, TAKEN_OVER_MS_MAX } from './divided-room.ts';
import { QUICK_LINK, Scene, until, VERIFIED_MS_MAX, verifiedAnew } from './scene.ts';
import { Traffic } from './traffic.ts';

const skip = !(await containersAvailable()) && NO_ENGINE;

interface Places {
  readonly scene: Scene;
  readonly redis: RedisServer;
  /** The room, by each of its collectors. */
  readonly members: readonly RunningRoom[];
}

const places: Places | undefined = skip ? undefined : await open();

async function open(): Promise<Places> {
  const [redis, kafka] = await Promise.all([startRedis({ image: 'redis:8' }), startKafka()]);
  after(() => Promise.all([redis.remove(), kafka.remove()]));
  const brokers = [kafka.address];
  const roomSettings = (room: string) => ({
    link: QUICK_LINK,
    checker: QUICK_CHECKER,
    ...(room === 'guangzhou' && {
      cache: { adapter: 'redis', nodes: [{ address: redis.address }] },
      collector: { shares: 4 },
      inbox: { brokers, replicas: 1 },
    }),
    ...(room === 'beijing' && { peers: { guangzhou: { kafka: { brokers } } } }),
  });
  const scene = await Scene.prepare({
    count: 2,
    mode: 'independent',
    partitions: PARTITIONS,
    cacheOnly: true,
    daemons: ['reship', 'collector', 'checker'],
    roomSettings,
  });
  const members = [scene.room(SHARED), ...(await moreDaemons(scene.room(SHARED), 'collector', 2))];
  after(() => Promise.all(members.map((member) => scene.rooms.end(member, 'collector', 'SIGTERM'))));
  const { code, stderr } = await scene.wmb(SHARED, 'link', 'init');
  assert.equal(code, 0, stderr);
  await scene.rooms.startAll();
  return { scene, redis, members };
}

function here(): Places {
  assert.ok(places !== undefined);
  return places;
}

/** The collector's file with another number of shares. */
function withShares({ configFile }: RunningRoom, shares: number): string {
  const file = configFile.replace('.yaml', `-${shares}.yaml`);
  writeFileSync(file, stringify({ ...parse(readFileSync(configFile, 'utf8')), collector: { shares } }));
  return file;
}

test('one collector has all shares; those that join get theirs while traffic goes on', { skip }, async () => {
  const { scene, members } = here();
  await divided(scene, [8]);
  const traffic = new Traffic(scene, 'join');
  await traffic.flows(60);
  for (const member of members.slice(1)) await scene.rooms.start(member, 'collector');
  const { links } = await divided(scene, [2, 2, 4]);
  assert.deepEqual(
    links.map(({ origin, lanes }) => [origin, lanes.length]),
    [
      ['beijing', PARTITIONS],
      ['guangzhou', PARTITIONS],
    ],
  );
  await traffic.flows(60);
  await traffic.proves(scene);
});

test('a collector is killed: the others have its shares within ten seconds, and nothing is lost or doubled', { skip }, async () => {
  const { scene, members } = here();
  const traffic = new Traffic(scene, 'killed');
  await traffic.flows(60);
  const watched = standstill();
  await scene.rooms.end(members[1] as RunningRoom, 'collector', 'SIGKILL');
  await divided(scene, [4, 4]);
  const { awakeMs } = watched();
  assert.ok(awakeMs < TAKEN_OVER_MS_MAX, `${awakeMs} ms`);
  await traffic.flows(60);
  await traffic.proves(scene);
});

test('a collector stands still, the others take its shares, and when it wakes up it is refused', { skip }, async () => {
  const { scene, members } = here();
  await scene.rooms.start(members[1] as RunningRoom, 'collector');
  await divided(scene, [2, 2, 4]);
  await standsStill(scene, members[2]);
});

test('over mq each collector reads its own part of the inbox; the link is switched there and back, and one is killed meanwhile', {
  skip,
}, async () => {
  const { scene, members } = here();
  const traffic = new Traffic(scene, 'mq');
  const switchTo = async (transport: string) => {
    const { code, stderr } = await scene.wmb(0, 'link', 'transport', 'beijing', 'guangzhou', transport);
    assert.equal(code, 0, stderr);
    await traffic.flows(60);
  };
  await switchTo('mq');
  await scene.rooms.end(members[1] as RunningRoom, 'collector', 'SIGKILL');
  await divided(scene, [4, 4]);
  await traffic.flows(60);
  await scene.restart(0, 'reship', 'SIGKILL');
  await traffic.flows(60);
  await scene.rooms.start(members[1] as RunningRoom, 'collector');
  await divided(scene, [2, 2, 4]);
  await switchTo('rpc');
  await traffic.proves(scene);
});

test('a collector that ends in order gives its shares away at once', { skip }, async () => {
  const { scene, members } = here();
  const traffic = new Traffic(scene, 'order');
  await traffic.flows(60);
  assert.equal(await scene.rooms.end(members[2] as RunningRoom, 'collector', 'SIGTERM'), 0);
  const { members: left } = await divided(scene, [4, 4]);
  assert.equal(left.length, 2);
  await traffic.flows(60);
  await traffic.proves(scene);
});

test('a room is divided into other shares by a restart of its collectors, and not while others work; nothing is lost or doubled', {
  skip,
}, async () => {
  const { scene, members } = here();
  const [first, second, third] = members as [RunningRoom, RunningRoom, RunningRoom];
  const traffic = new Traffic(scene, 'divided');
  const start = (member: RunningRoom, shares: number) => scene.rooms.start(member, 'collector', { configFile: withShares(member, shares) });
  await assert.rejects(start(third, 2));
  const log = readFileSync(join(third.directory, 'collector.log'), 'utf8');
  assert.match(log, /STORE_LOCKED: the receipts of room guangzhou are divided into 4 shares, and .* still works with them; stop all/);
  for (const [shares, starting] of [
    [2, [first, second]],
    [1, [first]],
    [4, [first]],
  ] as const) {
    await traffic.flows(60);
    await Promise.all(members.map((member) => scene.rooms.end(member, 'collector', 'SIGTERM')));
    await Promise.all(starting.map((member) => start(member, shares)));
    if (shares > 1) await divided(scene, starting.length === 2 ? [4, 4] : [8]);
    await traffic.flows(60);
  }
  await traffic.proves(scene);
});

test('the checkers see the whole room, whichever collector they ask: no drift after all that, and one that is made is found and repaired', {
  skip,
}, async () => {
  const { scene, redis } = here();
  const checkers = [0, 1].map((index) => new CheckerClient(scene.room(index).checker.grpc, credentials.createInsecure()));
  after(() => checkers.map((checker) => checker.close()));
  const driftsOf = async (checker: CheckerClient | undefined, status: string): Promise<readonly DriftReport[]> =>
    (await unary<ListDriftsResponse>((answer) => checker?.listDrifts({ status, limit: 100, id: '' }, answer))).drifts;
  const drifts = async (status: string) => (await Promise.all(checkers.map((checker) => driftsOf(checker, status)))).flat();
  for (const checker of checkers) await verifiedAnew(checker);
  assert.deepEqual(await drifts('all'), []);
  const [key = ''] = [...(await scene.equalRooms()).keys()];
  const [host = '', port = ''] = redis.address.split(':');
  const client = new Redis(Number(port), host);
  await client.del(key);
  client.disconnect();
  // By the checker of the room that is asked to repair it: each room's finds a drift on its own.
  const ofKey = async () => (await driftsOf(checkers[SHARED], 'open')).find(({ subject }) => subject === key);
  const { id } = await until('the drift is found', ofKey, VERIFIED_MS_MAX);
  const { code, stderr } = await scene.wmb(SHARED, 'repair', id, '--apply');
  assert.equal(code, 0, stderr);
  await until('no drift is open', async () => (await drifts('open')).length === 0, VERIFIED_MS_MAX);
  await scene.equalRooms();
});
