/** From submit until the peer room’s Redis has the write, as bench/latency.ts measures it. */
import { type LatencyGoal, latencyRows } from '../latency.ts';
import type { Row } from '../report.ts';
import { RealRooms } from './real-rooms.ts';

const GOAL: LatencyGoal = { rate: 15_000, p99: { text: '< 20, aim 10', msMax: 20 } };

export async function measureRealLatency(directory: string, rates: readonly number[], seconds: number): Promise<Row[]> {
  const real = await RealRooms.open(directory, { direct: true });
  try {
    return await latencyRows(real.scene, { rates, seconds, goal: GOAL });
  } finally {
    await real.close();
  }
}
