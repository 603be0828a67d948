/** Submitted in one room at full speed and applied in both rooms’ Redis, beside what redis-benchmark does into both with the same bytes. */
import type { RedisServer } from '../../test/containers/redis.ts';
import { PAYLOAD_BYTES } from '../load.ts';
import type { Row } from '../report.ts';
import { fullSpeed, type Measured } from '../throughput.ts';
import { RealRooms } from './real-rooms.ts';
import { pipelinedSets } from './redis-references.ts';
import { cpuSecondsOf } from './servers.ts';

const TARGET = { must: 50_000, aim: 90_000 };
/** What surrounds the value in a payload: `[["SET","user:12345:profile",""]]`. */
const ENVELOPE_BYTES = 34;

export async function measureRooms(directory: string, count: number): Promise<Row[]> {
  const real = await RealRooms.open(directory);
  try {
    const before = await reference(real.redis, count);
    await real.emptied();
    const cpuBefore = await cpuSecondsOf(real.redis);
    const measured = await fullSpeed(real.scene, count);
    const cpuAfter = await cpuSecondsOf(real.redis);
    const servers = cpuAfter.map((seconds, at) => seconds - (cpuBefore[at] ?? 0));
    const sets = (before + (await reference(real.redis, count))) / 2;
    return rowsOf(measured, { count, sets, servers });
  } finally {
    await real.close();
  }
}

function reference(servers: readonly RedisServer[], count: number): Promise<number> {
  return pipelinedSets(servers, count * 2, PAYLOAD_BYTES - ENVELOPE_BYTES);
}

interface Beside {
  readonly count: number;
  readonly sets: number;
  /** Processor seconds of each room's Redis. */
  readonly servers: readonly number[];
}

function rowsOf({ loggedPerSecond, appliedPerSecond, cpuSeconds }: Measured, { count, sets, servers }: Beside): Row[] {
  const micros = (seconds: number) => (seconds * 1e6) / count;
  const target = { text: `≥ ${TARGET.must}, aim ${TARGET.aim}`, met: appliedPerSecond >= TARGET.must };
  return [
    { what: 'reference: redis-benchmark, pipelined SETs into both', value: sets, unit: 'writes/s' },
    { what: 'submitted in one room, acked as logged', value: loggedPerSecond, unit: 'writes/s' },
    { what: 'submitted in one room, applied in both rooms’ Redis', value: appliedPerSecond, unit: 'writes/s', target },
    { what: '  of redis-benchmark', value: appliedPerSecond / sets, unit: 'ratio' },
    ...[...cpuSeconds].map(([name, seconds]) => ({ what: `  CPU of ${name}`, value: micros(seconds), unit: 'µs / write' })),
    ...servers.map((seconds, at) => ({ what: `  CPU of Redis ${at + 1}`, value: micros(seconds), unit: 'µs / write' })),
  ];
}
