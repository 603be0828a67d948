/** As copy.e2e.test.ts, for the slave room of a master–slave topology: what its cache has lost went out of the master's effect log. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { CopyScene } from './copy-scene.ts';

const scene = await CopyScene.open('master-slave');

test('a slave’s cache that was lost after the effect log was trimmed is copied from the master’s, under traffic and kills, and nothing is reported', async () => {
  await scene.writeUntilTrimmed(0, 'effects');
  await scene.loseCache();
  for (const daemon of ['collector', 'checker'] as const) {
    await scene.copying();
    await scene.writeBoth(20);
    await scene.restart(daemon);
  }
  assert.match((await scene.copying()).copy, /^copying the cache of beijing: \d+ of 65536 buckets/);
  await scene.copied();
  await scene.isWhole();
});
