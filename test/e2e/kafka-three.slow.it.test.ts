/** Three independent rooms, two with their logs in Kafka and one with files. Frames come out of either kind of log, and over either transport. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { containersAvailable, NO_ENGINE } from '../containers/engine.ts';
import { MixedScene } from './mixed-scene.ts';

const skip = !(await containersAvailable()) && NO_ENGINE;
/** Shanghai, whose log is in files, puts frames into a Kafka, and takes frames from one. */
const OVER_MQ = ['beijing ⇐ shanghai', 'guangzhou ⇐ beijing', 'shanghai ⇐ guangzhou'];
const OVER_RPC = ['beijing ⇐ guangzhou', 'guangzhou ⇐ shanghai', 'shanghai ⇐ beijing'];

test('three rooms of which two have their logs in Kafka, with links of both transports, are equal after daemons of each were killed under traffic', {
  skip,
}, async () => {
  const mixed = await MixedScene.open({ count: 3, mode: 'independent', logs: ['beijing', 'guangzhou'], mq: OVER_MQ, watched: true });
  assert.deepEqual(await mixed.links(), { mq: OVER_MQ, rpc: OVER_RPC });
  // What feeds an inbox out of Kafka and what empties one into files; then what empties one into the room of a log in Kafka and what feeds one out of files.
  await mixed.killed([0, 'reship'], [2, 'collector']);
  await mixed.killed([1, 'collector'], [2, 'reship']);
  await mixed.proves();
  assert.deepEqual(await mixed.filled(), [
    'inbox.beijing.writes',
    'inbox.guangzhou.writes',
    'inbox.shanghai.writes',
    'log.beijing.writes',
    'log.guangzhou.writes',
  ]);
});
