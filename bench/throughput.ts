/** Submitted in one room at full speed and applied in both, beside the references of the same run. */
import { Wait } from '../proto/gen/wmb/v1/writes.ts';
import { encodeBatch, sendAll, Writes } from './load.ts';
import { grpcRate, sqliteRate } from './references.ts';
import type { Row } from './report.ts';
import { Scene } from './scene.ts';

const BATCH_WRITES = 256;
const BATCHES_ON_THE_WAY = 24;
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

export interface Measured {
  readonly loggedPerSecond: number;
  readonly appliedPerSecond: number;
  /** Until all of it was applied in both rooms. */
  readonly seconds: number;
  /** Meanwhile, by daemon. */
  readonly cpuSeconds: ReadonlyMap<string, number>;
}

/** Submits `count` write requests into the first room as fast as it takes them, after a warm-up of a tenth. */
export async function fullSpeed(scene: Scene, count: number): Promise<Measured> {
  const warm = batchesOf('warm', Math.ceil(count / 10));
  const batches = batchesOf('load', count);
  await sendAll(scene.load, warm.values(), BATCHES_ON_THE_WAY);
  await scene.settled(SETTLE_MS_MAX);
  const before = scene.usages();
  const ownBefore = process.cpuUsage();
  const startedMs = performance.now();
  await sendAll(scene.load, batches.values(), BATCHES_ON_THE_WAY);
  const loggedMs = performance.now() - startedMs;
  await scene.settled(SETTLE_MS_MAX);
  const appliedMs = performance.now() - startedMs;
  const cpuSeconds = new Map<string, number>();
  for (const [name, usage] of scene.usages()) cpuSeconds.set(name, usage.cpuSeconds - (before.get(name)?.cpuSeconds ?? 0));
  const own = process.cpuUsage(ownBefore);
  cpuSeconds.set('the load and the proxy', (own.user + own.system) / 1e6);
  return {
    loggedPerSecond: (count / loggedMs) * 1000,
    appliedPerSecond: (count / appliedMs) * 1000,
    seconds: appliedMs / 1000,
    cpuSeconds,
  };
}

function batchesOf(name: string, count: number): Buffer[] {
  const writes = new Writes(name);
  const batches: Buffer[] = [];
  for (let from = 0; from < count; from += BATCH_WRITES)
    batches.push(encodeBatch(writes.batch(Math.min(BATCH_WRITES, count - from)), batches.length, Wait.WAIT_LOGGED));
  return batches;
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
