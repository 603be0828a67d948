/**
 * What several collectors in one room cost and give. Two cores cannot show three collectors at full speed beside all the rest, so what is measured is what each write request costs the collectors:
 * where three together need no more processor time for it than one, three processors do the work of three. And while a collector joins: for how long the marks of partitions stand still that stay
 * where they are.
 */
import { Redis } from 'ioredis';
import type { CollectorStatus, GetStatusRequest } from '../../proto/gen/wmb/v1/admin.ts';
import { Wait } from '../../proto/gen/wmb/v1/writes.ts';
import { RoomClients, unary } from '../../test/harness/clients.ts';
import { moreDaemons, type RunningRoom } from '../../test/harness/rooms.ts';
import { batchesOf, encodeBatch, sendAll, Writes } from '../load.ts';
import type { Row } from '../report.ts';
import type { Scene } from '../scene.ts';
import { usageOf } from '../usage.ts';
import { RealRooms } from './real-rooms.ts';

const PARTITIONS = 32;
const SHARES = 3;
/** The room that several collectors share. */
const SHARED = 1;
const BATCH_WRITES = 256;
const ON_THE_WAY = 24;
const SETTLE_MS_MAX = 120_000;
const DIVIDED_MS_MAX = 60_000;
const LOOK_MS = 10;
/** While a collector joins: so many write requests a second, in batches so far apart. */
const PER_SECOND = 2_000;
const TICK_MS = 10;
const JOIN_MS = 15_000;
const TARGETS = { three: { must: 2.4, aim: 2.9 }, pause: { must: 1_000, aim: 200 } };

export async function measureShares(directory: string, count: number, joinMs = JOIN_MS): Promise<Row[]> {
  const real = await RealRooms.open(directory, {
    direct: true,
    partitions: PARTITIONS,
    cacheOnly: true,
    roomSettings: (room) => (room === 'beijing' ? {} : { collector: { shares: SHARES } }),
  });
  const { scene } = real;
  const members = [scene.rooms.room(SHARED), ...(await moreDaemons(scene.rooms.room(SHARED), 'collector', 2))];
  try {
    await run(scene, 'warm', count);
    const [one = 0] = await costsOf(scene, members.slice(0, 1), 'one', count);
    for (const member of members.slice(1)) await scene.rooms.start(member, 'collector');
    await divided(scene, members.length);
    await run(scene, 'warm-again', count);
    const three = await costsOf(scene, members, 'three', count);
    await scene.rooms.end(members[2] as RunningRoom, 'collector', 'SIGTERM');
    await divided(scene, 2);
    const redis = real.redis[SHARED]?.address ?? '';
    const still = await longestStandstills(scene, redis, { ms: joinMs, meanwhile: async () => {} });
    const joining = () => scene.rooms.start(members[2] as RunningRoom, 'collector');
    const joined = await longestStandstills(scene, redis, { ms: joinMs, meanwhile: joining });
    return rowsOf({ count, one, three, stillMs: still, joinMs: joined });
  } finally {
    for (const member of members.slice(1)) await scene.rooms.end(member, 'collector', 'SIGTERM');
    await real.close();
  }
}

async function run(scene: Scene, name: string, count: number): Promise<void> {
  await sendAll(scene.load, batchesOf(name, count, BATCH_WRITES), ON_THE_WAY);
  await scene.settled(SETTLE_MS_MAX);
}

/** Seconds of processor that each of the collectors spent while all of them took `count` write requests. */
async function costsOf(scene: Scene, members: readonly RunningRoom[], name: string, count: number): Promise<readonly number[]> {
  const used = () => members.map((member) => usageOf(scene.rooms.pid(member, 'collector')).cpuSeconds);
  const before = used();
  await run(scene, name, count);
  return used().map((seconds, index) => seconds - (before[index] ?? 0));
}

async function statusOf(scene: Scene): Promise<CollectorStatus> {
  const clients = new RoomClients(scene.rooms.room(SHARED));
  try {
    return await unary<CollectorStatus>((answer) => clients.collector.getStatus({} satisfies GetStatusRequest, answer));
  } finally {
    clients.close();
  }
}

/** Resolves with whose each partition is when all are divided among so many collectors. */
async function divided(scene: Scene, collectors: number): Promise<ReadonlyMap<number, string>> {
  const deadlineMs = performance.now() + DIVIDED_MS_MAX;
  for (;;) {
    const status = await statusOf(scene).catch(() => undefined);
    const members = status?.members.filter(({ partitions }) => partitions.length > 0) ?? [];
    const owners = new Map(members.flatMap(({ instance, partitions }) => partitions.map((partition) => [partition, instance] as const)));
    if (members.length === collectors && owners.size === PARTITIONS) return owners;
    if (performance.now() > deadlineMs)
      throw new Error(`the partitions were not divided among ${collectors} collectors within ${DIVIDED_MS_MAX} ms`);
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}

interface Watched {
  readonly ms: number;
  readonly meanwhile: () => Promise<unknown>;
}

/** The longest time, in ms, for which the mark of a partition stood still that is with the same collector before and after, under a load that reaches all of them. */
async function longestStandstills(scene: Scene, address: string, { ms, meanwhile }: Watched): Promise<number> {
  const before = await statusOf(scene);
  const load = steadyLoad(scene, `pause-${Math.floor(performance.now())}`);
  const marks = new MarkWatch(address);
  await new Promise((resolve) => setTimeout(resolve, 2_000));
  await marks.start();
  const until = performance.now() + ms;
  await meanwhile();
  while (performance.now() < until) await new Promise((resolve) => setTimeout(resolve, 100));
  const gaps = await marks.stop();
  load.stop();
  await scene.settled(SETTLE_MS_MAX);
  const owners = await divided(scene, (await statusOf(scene)).members.length);
  const stayed = before.members.flatMap(({ instance, partitions }) => partitions.filter((partition) => owners.get(partition) === instance));
  return Math.max(...stayed.map((partition) => gaps.get(partition) ?? 0));
}

function steadyLoad(scene: Scene, name: string): { stop(): void } {
  const writes = new Writes(name);
  let id = 0;
  const stream = scene.load.stream(
    () => {},
    (error) => {
      throw error;
    },
  );
  const timer = setInterval(() => {
    stream.send(encodeBatch(writes.batch((PER_SECOND * TICK_MS) / 1_000), id, Wait.WAIT_LOGGED));
    id += 1;
  }, TICK_MS);
  return {
    stop: () => {
      clearInterval(timer);
      stream.close();
    },
  };
}

/** Looks at the marks in a Redis again and again, and notes for how long each stood still at most. */
class MarkWatch {
  readonly #redis: Redis;
  readonly #longest = new Map<number, number>();
  readonly #moved = new Map<number, { readonly mark: string; readonly atMs: number }>();
  #looking = true;
  #done: Promise<void> = Promise.resolve();

  constructor(address: string) {
    const [host = '', port = ''] = address.split(':');
    this.#redis = new Redis(Number(port), host);
  }

  async start(): Promise<void> {
    await this.#look();
    this.#done = this.#run();
  }

  /** By partition, in ms. */
  async stop(): Promise<ReadonlyMap<number, number>> {
    this.#looking = false;
    await this.#done;
    this.#redis.disconnect();
    return this.#longest;
  }

  async #run(): Promise<void> {
    while (this.#looking) {
      await new Promise((resolve) => setTimeout(resolve, LOOK_MS));
      await this.#look();
    }
  }

  async #look(): Promise<void> {
    const marks = await this.#redis.hgetall('wmb:marks');
    const nowMs = performance.now();
    for (const [lane, mark] of Object.entries(marks)) {
      const [log, origin, partition] = lane.split('/');
      if (log !== 'writes' || origin !== 'beijing') continue;
      const known = this.#moved.get(Number(partition));
      if (known !== undefined)
        this.#longest.set(Number(partition), Math.max(this.#longest.get(Number(partition)) ?? 0, nowMs - known.atMs));
      if (known?.mark !== mark) this.#moved.set(Number(partition), { mark, atMs: nowMs });
    }
  }
}

interface Measured {
  readonly count: number;
  readonly one: number;
  /** Of each. */
  readonly three: readonly number[];
  readonly stillMs: number;
  readonly joinMs: number;
}

function rowsOf({ count, one, three, stillMs, joinMs }: Measured): Row[] {
  const together = three.reduce((sum, seconds) => sum + seconds, 0);
  const ratio = (3 * one) / together;
  const target = ({ must, aim }: { must: number; aim: number }, sign: string, met: boolean) => ({
    text: `${sign} ${must}, aim ${aim}`,
    met,
  });
  return [
    { what: 'one collector of a room, write requests per second of its processor', value: count / one, unit: 'writes' },
    { what: 'three collectors together, 32 partitions', value: count / together, unit: 'writes' },
    {
      what: '  three on three processors, against one',
      value: ratio,
      unit: 'ratio',
      target: target(TARGETS.three, '≥', ratio >= TARGETS.three.must),
    },
    { what: '  as fast as the busiest of them, against one', value: one / Math.max(...three), unit: 'ratio' },
    { what: 'longest standstill of a partition that stays, without anybody joining', value: stillMs, unit: 'ms' },
    { what: '  while a collector joins', value: joinMs, unit: 'ms', target: target(TARGETS.pause, '≤', joinMs <= TARGETS.pause.must) },
  ];
}
