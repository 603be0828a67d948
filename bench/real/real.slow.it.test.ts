import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { test } from 'node:test';
import { promisify } from 'node:util';
import { containersAvailable, NO_ENGINE } from '../../test/containers/engine.ts';
import type { Row } from '../report.ts';

const available = await containersAvailable();

/** No time is asserted here: a shared machine would make it a lie. */
test('a quick bench on real servers has every row, each with a number', { skip: available ? false : NO_ENGINE }, async () => {
  const main = new URL('../main.ts', import.meta.url).pathname;
  const options = ['--disable-warning=ExperimentalWarning', main, '--real', '--quick', '--json'];
  const { stdout } = await promisify(execFile)(process.execPath, options);
  const rows = JSON.parse(stdout) as Row[];
  const missing = [
    'bare script, an argument for each string',
    'bare script, one packed argument',
    'apply into Redis, one node, all guards on',
    'redis-benchmark, pipelined SETs into both',
    'applied in both rooms’ Redis',
    'CPU of Redis 2',
    'visible in the peer at 100/s, p99',
    'the link on loopback',
    'the link at a round trip of 80 ms',
    'MySQL, batched inserts by the bare client',
    'database effects into MariaDB, 8 lanes',
    'peak memory of beijing/reship, the peer catching up',
    'guangzhou/checker: second half',
    'Redis while everything is swept',
    'memory of a string of 100 B: beside it',
    'a row of MySQL: binlog',
    'write log of the room, at full speed',
    'kafkajs, the same frames and nothing else',
    'applied in both rooms’ Redis, log in Kafka, link over mq',
    'of kafkajs',
    'applied in both rooms’ Redis, log in Kafka, link over rpc',
    'CPU of Kafka 2',
    'visible in the peer at 100/s, log in Kafka, link over mq, p99',
    'visible in the peer at 100/s, log in Kafka, link over rpc, p99',
    'three on three processors, against one',
    'as fast as the busiest of them',
    'while a collector joins',
    'receipt of a frame, in Kafka: processor',
    'another machine has the book',
  ].filter((name) => !rows.some((row) => row.what.includes(name) && Number.isFinite(row.value)));
  assert.deepEqual(missing, []);
});
