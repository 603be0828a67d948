/**
 * Several reships in one room, with its log in Kafka: all of them take write requests, and each ships what all have taken. Each has a directory of its own, as on a machine of its own: they
 * share nothing but Kafka and the address that leads to any of them. The room's collector and checker are on the first one's.
 */
import assert from 'node:assert/strict';
import { mkdirSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { credentials } from '@grpc/grpc-js';
import { Kafka } from 'kafkajs';
import { ERRORS } from '../../core/errors.ts';
import type { ReshipStatus } from '../../proto/gen/wmb/v1/admin.ts';
import { CheckerClient, type ListDriftsResponse } from '../../proto/gen/wmb/v1/checker.ts';
import { Outcome, Wait } from '../../proto/gen/wmb/v1/writes.ts';
import { containersAvailable, NO_ENGINE } from '../containers/engine.ts';
import { type KafkaServer, startKafka } from '../containers/kafka.ts';
import { RoomClients, unary } from '../harness/clients.ts';
import { moreDaemons, type RunningRoom } from '../harness/rooms.ts';
import { standstill } from '../harness/standstill.ts';
import { cacheWrite, QUICK_LINK, Scene, submit, until, verifiedAnew } from './scene.ts';
import { Traffic } from './traffic.ts';

const skip = !(await containersAvailable()) && NO_ENGINE;
const PARTITIONS = 8;
/** Of the room with several reships. */
const SHARED = 0;
const TAKEN_OVER_MS_MAX = 10_000;
/** An application's, which the room with several reships takes in. */
const [TOPIC, TOPIC_PARTITIONS] = ['app.writes', 4] as const;
/** One that is dead says nothing of what it has lost. */
const SILENT_MS = 3_000;
/** Of one that says nothing, after twenty seconds. */
const GIVEN_UP_MS_MAX = 90_000;
const BEFORE_GIVEN_UP_MS = 18_000;
const CHECKER = { roundMs: 300, graceMs: 2_000, sweepMs: 5_000, canaryMs: 300, silenceMsMax: 60_000 };

interface Places {
  readonly kafka: KafkaServer;
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
      intake: { topics: [{ topic: TOPIC, format: 'json', kind: 'cache' }] },
    }),
    ...(room === 'guangzhou' && { inbox: { brokers, replicas: 1 } }),
  });
  await kafka.tool('kafka-topics.sh', '--create', '--topic', TOPIC, '--partitions', `${TOPIC_PARTITIONS}`, '--replication-factor', '1');
  const daemons = ['reship', 'collector', 'checker'] as const;
  const scene = await Scene.prepare({ count: 2, mode: 'independent', partitions: PARTITIONS, cacheOnly: true, daemons, roomSettings });
  const room = scene.room(SHARED);
  const members = [room, ...(await moreDaemons(room, 'reship', 2, { apart: true }))];
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
  return { kafka, scene, members, clients };
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
async function reachesAll(client: RoomClients, key: string): Promise<void> {
  const isThere = async () => {
    const { results } = await submit(client, [cacheWrite(key, [['SET', key, 'there']])], Wait.WAIT_EVERYWHERE);
    return results[0]?.outcome === Outcome.OUTCOME_APPLIED;
  };
  await until(`${key} is in all rooms`, isThere);
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
  const all = new Traffic(scene, 'all', { clients: [...clients, ...scene.clients.slice(1)] });
  await all.flows(100);
  // Rooms are compared when both are over.
  await traffic.stop();
  await all.proves(scene);
  await traffic.proves(scene);
  for (const [index, client] of clients.entries()) await reachesAll(client, `everywhere-${index}`);
  await until('wmb status tells all of them', async () => {
    const { stdout } = await scene.wmb(1, 'status');
    return met.every(({ instance, address }) =>
      new RegExp(`${instance} at ${address}: ships to (nobody|(beijing|guangzhou)(, guangzhou)?)`).test(stdout),
    );
  });
  await until('each room is shipped to by one of them', async () => {
    const { members: now } = await company(clients, 3);
    const shipped = now.flatMap(({ peers }) => peers).sort();
    return shipped.join() === 'beijing,guangzhou';
  });
});

test('each reship is killed under traffic: the others ship what it took, within ten seconds, and nothing is lost or doubled', {
  skip,
}, async () => {
  const { scene, members, clients } = here();
  const traffic = new Traffic(scene, 'killed', { clients: [...clients, ...scene.clients.slice(1)] });
  for (const [index, member] of members.entries()) {
    await traffic.flows(30);
    const watched = standstill();
    await scene.rooms.end(member, 'reship', 'SIGKILL');
    const other = clients[(index + 1) % clients.length] as RoomClients;
    await reachesAll(other, `after-${index}`);
    const { awakeMs } = watched();
    assert.ok(awakeMs < TAKEN_OVER_MS_MAX, `${awakeMs} ms`);
    await scene.rooms.start(member, 'reship');
    await company(clients, 3);
  }
  await traffic.flows(30);
  await traffic.proves(scene);
});

/** As the application does: each user is counted once in each of so many rounds. */
async function count(kafka: KafkaServer, users: readonly string[], rounds: number): Promise<void> {
  const producer = new Kafka(kafka.client).producer();
  await producer.connect();
  const messages = users.map((user) => ({ key: user, value: JSON.stringify({ payload: [['INCR', user]] }) }));
  for (let round = 0; round < rounds; round += 1) await producer.send({ topic: TOPIC, messages });
  await producer.disconnect();
}

/** Waits until all partitions of the topic are with so many reships. */
async function taken(client: RoomClients, by: number): Promise<ReshipStatus> {
  return until(`${by} reships take the topic in`, async () => {
    const status = await client.reshipStatus();
    const awake = status.members.filter(({ silentMs }) => silentMs < SILENT_MS);
    const shares = awake.flatMap(({ topics }) => topics.map(({ partitions }) => partitions));
    const all = new Set(shares.flat());
    return shares.length === by && all.size === TOPIC_PARTITIONS && shares.flat().length === all.size && status;
  });
}

test('they divide the partitions of an application’s topic; those of one that is killed are with the others within ten seconds, each record once', {
  skip,
}, async () => {
  const { kafka, scene, members, clients } = here();
  const [first] = clients as [RoomClients];
  const users = Array.from({ length: 40 }, (_, index) => `user:${index}`);
  // Whoever answers it may have heard of it later than the first one.
  await until('wmb status tells who takes what', async () => {
    const { members: three } = await taken(first, 3);
    const { stdout } = await scene.wmb(1, 'status');
    return three.every(({ instance, topics }) =>
      new RegExp(`${instance} at \\S+: ships to [^;]*; takes ${TOPIC} ${topics[0]?.partitions.join(', ')}\n`).test(stdout),
    );
  });
  const producing = count(kafka, users, 50);
  const watched = standstill();
  await scene.rooms.end(members[2] as RunningRoom, 'reship', 'SIGKILL');
  await taken(first, 2);
  const { awakeMs } = watched();
  assert.ok(awakeMs < TAKEN_OVER_MS_MAX, `${awakeMs} ms`);
  await scene.rooms.start(members[2] as RunningRoom, 'reship');
  await taken(first, 3);
  await producing;
  for (const index of [0, 1])
    await until('every record counts once', async () =>
      (await Promise.all(users.map((user) => scene.value(index, user)))).every((value) => value === '50'),
    );
});

test('over mq one of them feeds the inbox; when it is killed, another one does', { skip }, async () => {
  const { scene, members, clients } = here();
  const traffic = new Traffic(scene, 'mq', { clients: [...clients, ...scene.clients.slice(1)] });
  const switchTo = async (transport: string) => {
    const { code, stderr } = await scene.wmb(0, 'link', 'transport', 'beijing', 'guangzhou', transport);
    assert.equal(code, 0, stderr);
    await reachesAll(clients[0] as RoomClients, `over-${transport}`);
  };
  await switchTo('mq');
  const { index, member } = await until('one of them feeds it', async () => {
    const { members: met } = await company(clients, 3);
    const feeding = met.find(({ peers }) => peers.includes('guangzhou'));
    const statuses = await Promise.all(clients.map((client) => client.reshipStatus()));
    const at = statuses.findIndex(({ instance }) => instance === feeding?.instance);
    return members[at] && { index: at, member: members[at] };
  });
  await scene.rooms.end(member, 'reship', 'SIGKILL');
  await reachesAll(clients[(index + 1) % clients.length] as RoomClients, 'fed-by-another');
  await scene.rooms.start(member, 'reship');
  await company(clients, 3);
  await switchTo('rpc');
  await traffic.proves(scene);
});

test('a machine is lost for good under traffic: what it acked is in all rooms, and one with an empty directory takes its place', {
  skip,
}, async () => {
  const { scene, members, clients } = here();
  const [first, second, third] = clients as [RoomClients, RoomClients, RoomClients];
  const machine = members[1] as RunningRoom;
  const { instance } = await second.reshipStatus();
  // What it was to ack is sent again to the one that takes its place, with the same request ids.
  const traffic = new Traffic(scene, 'lost', { clients: [...clients, ...scene.clients.slice(1)] });
  await traffic.flows(60);
  const isTold = new RegExp(`${instance} at ${machine.reship.grpc}: ships to nobody, not heard of for`);
  await scene.rooms.end(machine, 'reship', 'SIGKILL');
  rmSync(machine.directory, { recursive: true });
  const replaced = async () => {
    await reachesAll(first, 'without-it');
    await reachesAll(third, 'nor-there');
    mkdirSync(machine.directory);
    await scene.rooms.start(machine, 'reship');
  };
  // Only until it is given up.
  const told = until('its silence is told', async () => isTold.test((await scene.wmb(1, 'status')).stdout));
  await Promise.all([told, replaced()]);
  await traffic.flows(60);
  await reachesAll(second, 'in-its-place');
  await traffic.proves(scene);
});

test('a reship that stood still until the others gave it up ends when it wakes up, and says why; one that ends in order is missed by nobody', {
  skip,
}, async () => {
  const { scene, members, clients } = here();
  const [first, second, zombie] = clients as [RoomClients, RoomClients, RoomClients];
  const member = members[2] as RunningRoom;
  const traffic = new Traffic(scene, 'zombie', { clients: [first, second, ...scene.clients.slice(1)] });
  process.kill(scene.rooms.pid(member, 'reship') ?? 0, 'SIGSTOP');
  await reachesAll(first, 'while it stands');
  await company([first, second], 2, GIVEN_UP_MS_MAX);
  await traffic.flows(30);
  process.kill(scene.rooms.pid(member, 'reship') ?? 0, 'SIGCONT');
  assert.equal(await scene.rooms.ended(member, 'reship'), ERRORS.LOG_GIVEN_UP.exit);
  const log = readFileSync(join(member.directory, 'reship.log'), 'utf8');
  assert.match(log, /wmb reship: LOG_GIVEN_UP: the other reships of this room have given this one up/);
  await assert.rejects(submit(zombie, [cacheWrite('z', [['SET', 'z', '1']])]));
  await scene.rooms.start(member, 'reship');
  await company(clients, 3);
  const stoppedMs = performance.now();
  assert.equal(await scene.rooms.end(member, 'reship', 'SIGTERM'), 0);
  await company([first, second], 2);
  assert.ok(performance.now() - stoppedMs < BEFORE_GIVEN_UP_MS);
  await reachesAll(first, 'without it');
  await traffic.proves(scene);
});

test('the checker goes on while the reship on its machine is away: canaries go to another one, and the log is looked up without its index', {
  skip,
}, async () => {
  const { scene, members, clients } = here();
  const [, other] = clients as [RoomClients, RoomClients];
  const room = scene.room(SHARED);
  const checkerLog = () => readFileSync(join(room.directory, 'checker.log'), 'utf8');
  const before = checkerLog().length;
  await scene.rooms.end(room, 'reship', 'SIGTERM');
  const write = cacheWrite('traced', [['SET', 'traced', '1']]);
  await submit(other, [write], Wait.WAIT_EVERYWHERE);
  const traced = await until('the write request is found', async () => {
    const { code, stdout } = await scene.wmb(SHARED, 'trace', write.requestId);
    return code === 0 && stdout;
  });
  for (const { id } of scene.rooms.rooms) assert.match(traced, new RegExp(`${id} .*applied`));
  const checker = new CheckerClient(room.checker.grpc, credentials.createInsecure());
  after(() => checker.close());
  await verifiedAnew(checker);
  const isFailing = /canaries cannot be submitted(?![\s\S]*canaries are submitted again)/;
  await until('canaries are submitted', () => !isFailing.test(checkerLog().slice(before)));
  await scene.rooms.start(members[SHARED] as RunningRoom, 'reship');
  await company(clients.slice(0, 2), 2);
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
