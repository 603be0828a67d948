/** What the tests of a room with several collectors share: two rooms, of which the second one is divided. */
import assert from 'node:assert/strict';
import type { CollectorStatus } from '../../proto/gen/wmb/v1/admin.ts';
import type { RunningRoom } from '../harness/rooms.ts';
import { type Scene, until } from './scene.ts';
import { Traffic } from './traffic.ts';

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

/** One of three collectors stands still under traffic until the others have its shares, and wakes up: it is refused, and nothing is lost or doubled. */
export async function standsStill(scene: Scene, member: RunningRoom | undefined): Promise<void> {
  assert.ok(member !== undefined);
  const traffic = new Traffic(scene, 'zombie');
  await traffic.flows(60);
  const pid = scene.rooms.pid(member, 'collector') ?? 0;
  process.kill(pid, 'SIGSTOP');
  await divided(scene, [4, 4]);
  await traffic.flows(60);
  process.kill(pid, 'SIGCONT');
  await divided(scene, [2, 2, 4]);
  await traffic.flows(60);
  await traffic.proves(scene);
}
