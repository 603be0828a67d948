/** Several reships in one room, with its log in Kafka: all of them take write requests, and each ships what all have taken. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { credentials } from '@grpc/grpc-js';
import { ERRORS } from '../../core/errors.ts';
import type { ReshipStatus } from '../../proto/gen/wmb/v1/admin.ts';
import { CheckerClient, type ListDriftsResponse } from '../../proto/gen/wmb/v1/checker.ts';
import { Outcome, Wait } from '../../proto/gen/wmb/v1/writes.ts';
import { containersAvailable, NO_ENGINE } from '../containers/engine.ts';
import { startKafka } from '../containers/kafka.ts';
import { RoomClients, unary } from '../harness/clients.ts';
import { moreDaemons, type RunningRoom } from '../harness/rooms.ts';
import { cacheWrite, QUICK_LINK, Scene, submit, until, verifiedAnew } from './scene.ts';
import { Traffic } from './traffic.ts';

const skip = !(await containersAvailable()) && NO_ENGINE;
const PARTITIONS = 8;
/** Of the room with several reships. */
const SHARED = 0;
const TAKEN_OVER_MS_MAX = 10_000;
const GIVEN_UP_MS_MAX = 30_000;
const CHECKER = { roundMs: 300, graceMs: 2_000, sweepMs: 5_000, canaryMs: 300, silenceMsMax: 60_000 };

interface Places {
  readonly scene: Scene;
  /** The room, by each of its reships. */
  readonly members: readonly RunningRoom[];
  readonly clients: readonly RoomClients[];
}

const places: Places | undefined = skip ? undefined : await open();

async function open(): Promise<Places> {
  const kafka = await startKafka();
  after(() => kafka.remove());
  const brokers = [kafka.address];
  const roomSettings = (room: string) => ({
    link: QUICK_LINK,
    checker: CHECKER,
    ...(room === 'beijing' && {
      log: { adapter: 'kafka', brokers, replicas: 1 },
      peers: { guangzhou: { kafka: { brokers } } },
    }),
    ...(room === 'guangzhou' && { inbox: { brokers, replicas: 1 } }),
  });
  const daemons = ['reship', 'collector', 'checker'] as const;
  const scene = await Scene.prepare({ count: 2, mode: 'independent', partitions: PARTITIONS, cacheOnly: true, daemons, roomSettings });
  const room = scene.room(SHARED);
  const members = [room, ...(await moreDaemons(room, 'reship', 2))];
  for (const { reship } of members.slice(1)) room.proxy.alsoTo({ host: '127.0.0.1', port: Number(reship.grpc.split(':')[1]) });
  const clients = members.map((member) => new RoomClients(member));
  after(async () => {
    for (const client of clients) client.close();
    await Promise.all(members.map((member) => scene.rooms.end(member, 'reship', 'SIGTERM')));
  });
  for (const [index, command] of [
    [SHARED, ['log', 'init']],
    [1, ['link', 'init']],
  ] as const) {
    const { code, stderr } = await scene.wmb(index, ...command);
    assert.equal(code, 0, stderr);
  }
  await scene.rooms.startAll();
  return { scene, members, clients };
}

function here(): Places {
  assert.ok(places !== undefined);
  return places;
}

/** Waits until each of these reships knows of as many. */
async function company(clients: readonly RoomClients[], count: number, waitMsMax?: number): Promise<ReshipStatus> {
  const isMet = async () => {
    const statuses = await Promise.all(clients.map((client) => client.reshipStatus()));
    return statuses.every(({ members }) => members.length === (count === 1 ? 0 : count)) && statuses[0];
  };
  return until(`there are ${count} reships`, isMet, waitMsMax);
}

/** Waits until a write request that this reship takes is in all rooms. */
async function reachesAll(client: RoomClients, key: string, waitMsMax = TAKEN_OVER_MS_MAX): Promise<void> {
  const isThere = async () => {
    const { results } = await submit(client, [cacheWrite(key, [['SET', key, 'there']])], Wait.WAIT_EVERYWHERE);
    return results[0]?.outcome === Outcome.OUTCOME_APPLIED;
  };
  await until(`${key} is in all rooms`, isThere, waitMsMax);
}

test('two reships join the first one under traffic: each takes write requests, and hears what the peers ack to the others', {
  skip,
}, async () => {
  const { scene, members, clients } = here();
  const traffic = new Traffic(scene, 'join');
  await traffic.flows(60);
  for (const member of members.slice(1)) await scene.rooms.start(member, 'reship');
  const { members: met } = await company(clients, 3);
  assert.equal(new Set(met.map(({ instance }) => instance)).size, 3);
  const all = new Traffic(scene, 'all', [...clients, ...scene.clients.slice(1)]);
  await all.flows(100);
  // Rooms are compared when both are over.
  await traffic.stop();
  await all.proves(scene);
  await traffic.proves(scene);
  for (const [index, client] of clients.entries()) await reachesAll(client, `everywhere-${index}`);
  const { stdout } = await scene.wmb(1, 'status');
  for (const { instance, address } of met)
    assert.match(stdout, new RegExp(`${instance} at ${address}: ships to (nobody|(beijing|guangzhou)(, guangzhou)?)`));
  const sessions = met.flatMap(({ peers }) => peers).sort();
  assert.deepEqual(sessions, ['beijing', 'guangzhou']);
});

test('each reship is killed under traffic: the others ship what it took, within ten seconds, and nothing is lost or doubled', {
  skip,
}, async () => {
  const { scene, members, clients } = here();
  const traffic = new Traffic(scene, 'killed', [...clients, ...scene.clients.slice(1)]);
  for (const [index, member] of members.entries()) {
    await traffic.flows(30);
    await scene.rooms.end(member, 'reship', 'SIGKILL');
    const other = clients[(index + 1) % clients.length] as RoomClients;
    await reachesAll(other, `after-${index}`);
    await scene.rooms.start(member, 'reship');
    await company(clients, 3);
  }
  await traffic.flows(30);
  await traffic.proves(scene);
});

test('over mq one of them feeds the inbox; when it is killed, another one does', { skip }, async () => {
  const { scene, members, clients } = here();
  const traffic = new Traffic(scene, 'mq', [...clients, ...scene.clients.slice(1)]);
  const switchTo = async (transport: string) => {
    const { code, stderr } = await scene.wmb(0, 'link', 'transport', 'beijing', 'guangzhou', transport);
    assert.equal(code, 0, stderr);
    await reachesAll(clients[0] as RoomClients, `over-${transport}`);
  };
  await switchTo('mq');
  const { members: met } = await company(clients, 3);
  const feeding = met.find(({ peers }) => peers.includes('guangzhou'));
  const statuses = await Promise.all(clients.map((client) => client.reshipStatus()));
  const index = statuses.findIndex(({ instance }) => instance === feeding?.instance);
  const member = members[index];
  assert.ok(member !== undefined, JSON.stringify(met));
  await scene.rooms.end(member, 'reship', 'SIGKILL');
  await reachesAll(clients[(index + 1) % clients.length] as RoomClients, 'fed-by-another');
  await scene.rooms.start(member, 'reship');
  await company(clients, 3);
  await switchTo('rpc');
  await traffic.proves(scene);
});

test('a reship that stood still until the others gave it up ends when it wakes up, and says why; one that ends in order is missed by nobody', {
  skip,
}, async () => {
  const { scene, members, clients } = here();
  const [first, second, zombie] = clients as [RoomClients, RoomClients, RoomClients];
  const member = members[2] as RunningRoom;
  const traffic = new Traffic(scene, 'zombie', [first, second, ...scene.clients.slice(1)]);
  process.kill(scene.rooms.pid(member, 'reship') ?? 0, 'SIGSTOP');
  await reachesAll(first, 'while it stands');
  await company([first, second], 2, GIVEN_UP_MS_MAX);
  await traffic.flows(30);
  process.kill(scene.rooms.pid(member, 'reship') ?? 0, 'SIGCONT');
  assert.equal(await scene.rooms.ended(member, 'reship'), ERRORS.LOG_UNAVAILABLE.exit);
  const log = readFileSync(join(member.directory, 'reship.log'), 'utf8');
  assert.match(log, /wmb reship: LOG_UNAVAILABLE: the other reships of this room have given this one up/);
  await assert.rejects(submit(zombie, [cacheWrite('z', [['SET', 'z', '1']])]));
  await scene.rooms.start(member, 'reship');
  await company(clients, 3);
  const stoppedMs = performance.now();
  assert.equal(await scene.rooms.end(member, 'reship', 'SIGTERM'), 0);
  await company([first, second], 2);
  assert.ok(performance.now() - stoppedMs < 5_000);
  await reachesAll(first, 'without it');
  await traffic.proves(scene);
});

test('the floor follows, and the checkers have nothing to tell after all that', { skip }, async () => {
  const { scene } = here();
  const checkers = [0, 1].map((index) => new CheckerClient(scene.room(index).checker.grpc, credentials.createInsecure()));
  after(() => checkers.map((checker) => checker.close()));
  for (const checker of checkers) {
    await verifiedAnew(checker);
    const { drifts } = await unary<ListDriftsResponse>((answer) => checker.listDrifts({ status: 'all', limit: 100, id: '' }, answer));
    assert.deepEqual(drifts, []);
  }
  for (const index of [0, 1]) {
    await until('the floor is of the last seconds', async () => {
      const { floor } = await scene.collector(index);
      return floor !== '' && Date.now() - Number.parseInt(floor.slice(0, 12), 16) < 5_000;
    });
  }
});
