/** A cache that is lost after the logs were trimmed: the room heals by itself, from its peer's cache, while traffic goes on and daemons are killed. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { CopyScene } from './copy-scene.ts';

const scene = await CopyScene.open('independent');

test('a cache that was lost after the logs were trimmed is copied from the peer’s, under traffic and kills, and nothing is reported', async () => {
  for (const index of [0, 1]) await scene.writeUntilTrimmed(index, 'writes');
  await scene.loseCache();
  for (const daemon of ['collector', 'checker', 'reship'] as const) {
    assert.match((await scene.copying()).copy, /^copying the cache of beijing: \d+ of 65536 buckets/);
    await scene.writeBoth(20);
    await scene.restart(daemon);
  }
  // While the reship started it may have come to its end.
  await scene.copied();
  await scene.isWhole();
});
