import { test } from 'node:test';
import { NO_ENGINE } from '../../test/containers/engine.ts';
import { CONTRACT_PARTITIONS, logContract } from '../log.contract.ts';
import { logUnderTest, testKafka } from './kafka-kit.ts';

const kafka = await testKafka();
if (kafka === undefined) test('the log in Kafka', { skip: NO_ENGINE }, () => {});
else {
  /** The suite holds whether frames come from memory, from Kafka, or from both. */
  for (const [name, tailBytesMax, shares] of [
    ['kafka log', 1024 * 1024, false],
    ['kafka log without a tail', 0, true],
    ['kafka log with a short tail', 3_000, false],
  ] as const) {
    logContract(name, () => logUnderTest(kafka.address, { partitions: CONTRACT_PARTITIONS, tailBytesMax, shares }));
  }
}
