/** Submitted in one room at full speed and applied in both rooms’ Redis, beside what redis-benchmark does into both with the same bytes. */
import type { RedisServer } from '../../test/containers/redis.ts';
import { PAYLOAD_BYTES } from '../load.ts';
import type { Row } from '../report.ts';
import type { Scene } from '../scene.ts';
import { fullSpeed, type Load, type Measured } from '../throughput.ts';
import { RealRooms } from './real-rooms.ts';
import { pipelinedSets } from './redis-references.ts';
import { cpuSecondsOf } from './servers.ts';

export const LOAD: Load = { batchWrites: 256, onTheWay: 8, connections: 8, warmShare: 0.5 };
const TARGET = { must: 50_000, aim: 90_000 };
/** What surrounds the value in a payload: `[["SET","user:12345:profile",""]]`. */
const ENVELOPE_BYTES = 34;

export async function measureRooms(directory: string, count: number): Promise<Row[]> {
  const real = await RealRooms.open(directory, { direct: true });
  try {
    const before = await reference(real.redis, count);
    await real.emptied();
    let cpuBefore: readonly number[] = [];
    const measured = await fullSpeed(real.scene, count, LOAD, async () => {
      cpuBefore = await cpuSecondsOf(real.redis);
    });
    const cpuAfter = await cpuSecondsOf(real.redis);
    const servers = cpuAfter.map((seconds, at) => seconds - (cpuBefore[at] ?? 0));
    const frameWrites = await writesPerFrame(real.scene);
    const sets = (before + (await reference(real.redis, count))) / 2;
    return rowsOf(measured, { count, sets, servers, frameWrites });
  } finally {
    await real.close();
  }
}

function reference(servers: readonly RedisServer[], count: number): Promise<number> {
  return pipelinedSets(servers, count * 2, PAYLOAD_BYTES - ENVELOPE_BYTES);
}

export async function writesPerFrame(scene: Scene): Promise<number> {
  const { logs } = await scene.origin.reshipStatus();
  const parts = logs.flatMap(({ log, partitions }) => (log === 'writes' ? partitions : []));
  const [writes, frames] = [parts.reduce((sum, part) => sum + part.writes, 0), parts.reduce((sum, part) => sum + part.next, 0)];
  return writes / frames;
}

interface Beside {
  readonly frameWrites: number;
  readonly count: number;
  readonly sets: number;
  /** Processor seconds of each room's Redis. */
  readonly servers: readonly number[];
}

function rowsOf({ loggedPerSecond, appliedPerSecond, cpuSeconds }: Measured, { count, sets, servers, frameWrites }: Beside): Row[] {
  const micros = (seconds: number) => (seconds * 1e6) / count;
  const target = { text: `≥ ${TARGET.must}, aim ${TARGET.aim}`, met: appliedPerSecond >= TARGET.must };
  return [
    { what: 'reference: redis-benchmark, pipelined SETs into both', value: sets, unit: 'writes/s' },
    { what: 'submitted in one room, acked as logged', value: loggedPerSecond, unit: 'writes/s' },
    { what: 'submitted in one room, applied in both rooms’ Redis', value: appliedPerSecond, unit: 'writes/s', target },
    { what: '  of redis-benchmark', value: appliedPerSecond / sets, unit: 'ratio' },
    { what: '  write requests in a frame', value: frameWrites, unit: 'on average' },
    ...[...cpuSeconds].map(([name, seconds]) => ({ what: `  CPU of ${name}`, value: micros(seconds), unit: 'µs / write' })),
    ...servers.map((seconds, at) => ({ what: `  CPU of Redis ${at + 1}`, value: micros(seconds), unit: 'µs / write' })),
  ];
}
