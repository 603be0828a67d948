/**
 * From submit until the peer room has the write, at a fixed rate. The loop is open: every write has its moment in a schedule made beforehand, and
 * its latency counts from that moment whether or not the sender was late, so that a stall is seen by every write that it held up.
 *
 * A write counts as visible when `wait everywhere` answers: the peer has applied it, its mark has passed, and the ack has come back to the origin
 * and to the client. So the figures hold the way back too, and are upper bounds of what a reader in the peer room sees. Polling the peer would
 * show less, and would take its cost from the same cores.
 */
import { Wait } from '../proto/gen/wmb/v1/writes.ts';
import { type LoadStream, PreparedWrites } from './load.ts';
import type { Row } from './report.ts';
import { Scene } from './scene.ts';

/** A stream has a limit of batches that wait; together these have more than any healthy latency needs. */
const STREAMS = 16;
/** V8 compiles for the first ten seconds or so. */
const WARM_SHARE = 0.5;
const ANSWER_MS_MAX = 30_000;

export interface LatencyGoal {
  /** Write requests per second. */
  readonly rate: number;
  readonly p99: { readonly text: string; readonly msMax: number };
}

export interface LatencyLoad {
  /** Write requests per second, one rate after the other. */
  readonly rates: readonly number[];
  /** Each. */
  readonly seconds: number;
  readonly goal?: LatencyGoal | undefined;
  /** Added to what the rows say is measured. */
  readonly how?: string;
}

const GOAL: LatencyGoal = { rate: 5_000, p99: { text: '< 25', msMax: 25 } };

export async function measureLatency(directory: string, rates: readonly number[], seconds: number): Promise<Row[]> {
  const scene = await Scene.open(directory);
  try {
    return await latencyRows(scene, { rates, seconds, goal: GOAL });
  } finally {
    await scene.close();
  }
}

export async function latencyRows(scene: Scene, { rates, seconds, goal, how = '' }: LatencyLoad): Promise<Row[]> {
  const rows: Row[] = [];
  for (const rate of rates) {
    const cpuBefore = scene.cpuSeconds();
    const latenciesMs = (await openLoop(scene, rate, seconds)).sort((a, b) => a - b);
    const cpuSeconds = ((scene.cpuSeconds() - cpuBefore) / (rate * seconds)) * 100_000;
    const what = `submit → visible in the peer at ${rate}/s${how}`;
    const p99 = quantile(latenciesMs, 0.99);
    const target = rate === goal?.rate ? { text: goal.p99.text, met: p99 < goal.p99.msMax } : undefined;
    rows.push({ what: `${what}, p50`, value: quantile(latenciesMs, 0.5), unit: 'ms' });
    rows.push({ what: `${what}, p99`, value: p99, unit: 'ms', target });
    rows.push({ what: '  CPU of all daemons', value: cpuSeconds, unit: 's / 100k writes' });
  }
  return rows;
}

/** A request id that a room has seen is a duplicate, and costs less: each load has its own. */
let loads = 0;

/** Sends every due write with each turn of a 1 ms timer; returns the latency of each write but for those of the warm-up. */
export async function openLoop(scene: Scene, rate: number, seconds: number): Promise<number[]> {
  const total = Math.round(rate * seconds);
  loads += 1;
  const writes = new PreparedWrites(`latency-${loads}`, total);
  const warm = total * WARM_SHARE;
  const latenciesMs: number[] = [];
  /** First write and number of writes of every batch on its way. */
  const batches = new Map<number, { readonly from: number; readonly count: number }>();
  const done = Promise.withResolvers<void>();
  let left = total;
  const startedMs = performance.now();
  const answered = (batchId: number) => {
    const { from, count } = batches.get(batchId) ?? { from: 0, count: 0 };
    batches.delete(batchId);
    const nowMs = performance.now() - startedMs;
    for (let i = from; i < from + count; i += 1) if (i >= warm) latenciesMs.push(nowMs - (i / rate) * 1000);
    left -= count;
    if (left === 0) done.resolve();
  };
  const streams = Array.from({ length: STREAMS }, () => scene.load.stream(answered, done.reject));
  let sent = 0;
  let batchId = 0;
  const timer = setInterval(() => {
    const due = Math.min(total, Math.floor(((performance.now() - startedMs) / 1000) * rate) + 1);
    if (due === sent) return;
    batches.set(batchId, { from: sent, count: due - sent });
    (streams[batchId % STREAMS] as LoadStream).send(writes.batch(sent, due, { batchId, wait: Wait.WAIT_EVERYWHERE }));
    batchId += 1;
    sent = due;
  }, 1);
  const late = setTimeout(() => done.reject(new Error(`${left} writes were not answered`)), seconds * 1000 + ANSWER_MS_MAX);
  await done.promise;
  clearInterval(timer);
  clearTimeout(late);
  for (const stream of streams) stream.close();
  return latenciesMs;
}

function quantile(sorted: readonly number[], share: number): number {
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? 0;
}
