/** A master room with its logs in Kafka and four slave rooms, two of them with theirs in Kafka too. Effects go out, and write requests come in, over either transport. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { containersAvailable, NO_ENGINE } from '../containers/engine.ts';
import { MixedScene } from './mixed-scene.ts';

const skip = !(await containersAvailable()) && NO_ENGINE;
/** Into the master out of a log in Kafka and out of one in files, and into a slave, whose cache lives on effects. */
const OVER_MQ = ['beijing ⇐ guangzhou', 'beijing ⇐ xian', 'chengdu ⇐ beijing'];
const LINKS = 20;

test('five rooms of which the master and two slaves have their logs in Kafka, with links of both transports, are equal after daemons were killed under traffic', {
  skip,
}, async () => {
  const mixed = await MixedScene.open({ count: 5, mode: 'master-slave', logs: ['beijing', 'guangzhou', 'chengdu'], mq: OVER_MQ });
  const { mq, rpc } = await mixed.links();
  assert.deepEqual(mq, OVER_MQ);
  assert.equal(rpc.length, LINKS - OVER_MQ.length);
  await mixed.killed([0, 'collector'], [1, 'reship']);
  await mixed.killed([0, 'reship'], [3, 'collector']);
  await mixed.proves();
  assert.deepEqual(await mixed.filled(), [
    'inbox.beijing.effects',
    'inbox.guangzhou.writes',
    'inbox.xian.writes',
    'log.beijing.effects',
    'log.beijing.writes',
    'log.chengdu.writes',
    'log.guangzhou.writes',
  ]);
});
