/** What the tests of a room with several collectors share: two rooms, of which the second one is divided. */
import type { CollectorStatus } from '../../proto/gen/wmb/v1/admin.ts';
import { type Scene, until } from './scene.ts';

export const PARTITIONS = 8;
/** Of the room with several collectors. */
export const SHARED = 1;
export const TAKEN_OVER_MS_MAX = 10_000;
export const QUICK_CHECKER = { roundMs: 300, graceMs: 2_000, sweepMs: 5_000, canaryMs: 300, silenceMsMax: 60_000 };

/** How many partitions each collector has, and that all together are all. */
export async function divided(scene: Scene, counts: readonly number[]): Promise<CollectorStatus> {
  return until(`the partitions are divided as ${counts}`, async () => {
    const status = await scene.collector(SHARED);
    const found = status.members.map(({ partitions }) => partitions.length).sort();
    const all = status.members.flatMap(({ partitions }) => partitions).sort((a, b) => a - b);
    const isWhole = all.length === PARTITIONS && all.every((partition, index) => partition === index);
    return isWhole && found.join() === [...counts].sort().join() ? status : undefined;
  });
}
