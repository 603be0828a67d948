/** Submitted in one room at full speed and applied in both, beside the references of the same run. */
import { batchesOf, LoadClient, sendAll } from './load.ts';
import { grpcRate, sqliteRate } from './references.ts';
import type { Row } from './report.ts';
import { Scene } from './scene.ts';

const LOAD: Load = { batchWrites: 256, onTheWay: 24, connections: 1, warmShare: 0.5 };
const SETTLE_MS_MAX = 60_000;
const TARGET_PER_SECOND = 15_000;
const TARGET_OF_SQLITE = 0.3;

export async function measureThroughput(directory: string, count: number): Promise<Row[]> {
  const before = { sqlite: sqliteRate(directory, count), grpc: await grpcRate(count) };
  const scene = await Scene.open(directory);
  try {
    const measured = await fullSpeed(scene, count);
    const sqlite = (before.sqlite + sqliteRate(directory, count)) / 2;
    const grpc = (before.grpc + (await grpcRate(count))) / 2;
    return rowsOf({ ...measured, count, sqlite, grpc });
  } finally {
    await scene.close();
  }
}

export interface Load {
  readonly batchWrites: number;
  /** Batches that are submitted and not answered yet, on each connection. */
  readonly onTheWay: number;
  /** Each is a client of its own: one connection has one window, of 64 KiB. */
  readonly connections: number;
  /** Before the clock runs, so many write requests for each that is measured: V8 compiles for the first seconds, in every daemon, with the processors that the others need. */
  readonly warmShare: number;
}

export interface Measured {
  readonly loggedPerSecond: number;
  readonly appliedPerSecond: number;
  /** Until all of it was applied in both rooms. */
  readonly seconds: number;
  /** Meanwhile, by daemon. */
  readonly cpuSeconds: ReadonlyMap<string, number>;
}

/** Submits `count` write requests into the first room as fast as it takes them. `warmed` is waited for between the warm-up and them. */
export async function fullSpeed(scene: Scene, count: number, load: Load = LOAD, warmed = async () => {}): Promise<Measured> {
  const warm = [...batchesOf('warm', Math.ceil(count * load.warmShare), load.batchWrites)];
  const batches = [...batchesOf('load', count, load.batchWrites)];
  await submitAll(scene, warm, load);
  await scene.settled(SETTLE_MS_MAX);
  await warmed();
  const before = scene.usages();
  const ownBefore = process.cpuUsage();
  const startedMs = performance.now();
  await submitAll(scene, batches, load);
  const loggedMs = performance.now() - startedMs;
  await scene.settled(SETTLE_MS_MAX);
  const appliedMs = performance.now() - startedMs;
  const cpuSeconds = new Map<string, number>();
  for (const [name, usage] of scene.usages()) cpuSeconds.set(name, usage.cpuSeconds - (before.get(name)?.cpuSeconds ?? 0));
  const own = process.cpuUsage(ownBefore);
  cpuSeconds.set('the load’s own process', (own.user + own.system) / 1e6);
  return {
    loggedPerSecond: (count / loggedMs) * 1000,
    appliedPerSecond: (count / appliedMs) * 1000,
    seconds: appliedMs / 1000,
    cpuSeconds,
  };
}

async function submitAll(scene: Scene, batches: readonly Buffer[], { onTheWay, connections }: Load): Promise<void> {
  const address = scene.rooms.room(0).reship.grpc;
  const clients = Array.from({ length: connections }, () => new LoadClient(address));
  const next = batches.values();
  await Promise.all(clients.map((client) => sendAll(client, next, onTheWay)));
  for (const client of clients) client.close();
}

interface Compared extends Measured {
  readonly count: number;
  readonly sqlite: number;
  readonly grpc: number;
}

function rowsOf({ loggedPerSecond, appliedPerSecond, cpuSeconds, count, sqlite, grpc }: Compared): Row[] {
  const rows: Row[] = [
    { what: 'reference: bare SQLite upserts, one process', value: sqlite, unit: 'writes/s' },
    { what: 'reference: bare gRPC stream of the frames', value: grpc, unit: 'writes/s' },
    { what: 'submitted in one room, acked as logged', value: loggedPerSecond, unit: 'writes/s' },
    {
      what: 'submitted in one room, applied in both',
      value: appliedPerSecond,
      unit: 'writes/s',
      target: { text: `≥ ${TARGET_PER_SECOND}`, met: appliedPerSecond >= TARGET_PER_SECOND },
    },
    {
      what: '  of the SQLite reference',
      value: appliedPerSecond / sqlite,
      unit: 'ratio',
      target: { text: `≥ ${TARGET_OF_SQLITE}`, met: appliedPerSecond / sqlite >= TARGET_OF_SQLITE },
    },
    { what: '  of the gRPC reference', value: appliedPerSecond / grpc, unit: 'ratio' },
  ];
  for (const [name, seconds] of cpuSeconds)
    rows.push({ what: `  CPU of ${name}`, value: (seconds / count) * 100_000, unit: 's / 100k writes' });
  return rows;
}
