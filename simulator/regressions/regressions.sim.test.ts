/**
 * Seeds that find a defect when its guard is taken away again, with the story of what it was. A change of the simulator or of how often the
 * daemons draw a chance gives every seed another run: then take the guard away, hunt, and write the new seeds down.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { EMPTIED, EMPTIED_SLAVE, type Plan } from '../plan.ts';
import { run } from '../run.ts';

const STORIES: readonly { readonly story: string; readonly seeds: readonly number[]; readonly plan?: Partial<Plan> }[] = [
  {
    story: 'a slave room whose cache was restored acked what only its receipt book still had, so floors passed what the cache lacked',
    seeds: [11, 28, 39, 61],
  },
  {
    story:
      'a write request that followed the one in front of it out of the parking lot was written down as parked once more, when its own retry came due',
    seeds: [49, 106],
  },
  {
    story:
      'a reship that had heard of later stamps than it gave crashed, came back with an earlier clock and gave stamps below a floor that it had promised',
    seeds: [322, 416],
  },
  {
    story:
      'a write request that a replay into an emptied cache parked, though it had been applied in its first life, was late for ever once a peer’s cache had been copied',
    seeds: [46],
    plan: EMPTIED,
  },
  {
    story:
      'a copy whose peer had applied retries again right after it began went all its way in vain, and on slow disks the lanes stood for minutes',
    seeds: [187, 188],
    plan: EMPTIED_SLAVE,
  },
];

for (const { story, seeds, plan = {} } of STORIES) {
  test(`no longer: ${story}`, { timeout: 300_000 }, async () => {
    for (const seed of seeds) assert.deepEqual((await run({ seed, plan })).failure, undefined, `seed ${seed}`);
  });
}
