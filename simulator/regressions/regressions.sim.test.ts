/** Seeds that found a defect once, with the story of what it was. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { run } from '../run.ts';

const STORIES: readonly { readonly story: string; readonly seeds: readonly number[] }[] = [
  {
    story: 'a slave room whose cache was restored acked what only its receipt book still had, so floors passed what the cache lacked',
    seeds: [11, 28, 39, 61, 73, 95],
  },
  {
    story:
      'a write request that followed the one in front of it out of the parking lot was written down as parked once more, when its own retry came due',
    seeds: [32],
  },
];

for (const { story, seeds } of STORIES) {
  test(`no longer: ${story}`, async () => {
    for (const seed of seeds) assert.deepEqual((await run({ seed })).failure, undefined, `seed ${seed}`);
  });
}
