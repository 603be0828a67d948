/** A broker that comes back without the end of what it had acked: as after an unclean leader election, or from an older copy of its disk. */
import assert from 'node:assert/strict';
import { describe, type TestContext, test } from 'node:test';
import { Kafka, Partitioners } from 'kafkajs';
import { NO_ENGINE } from '../../test/containers/engine.ts';
import { draftOf } from '../log.contract.ts';
import { drafts, init, stopped, type TestRoom, testKafka, testRoom } from './kafka-kit.ts';
import { framesTopic } from './topics.ts';

const kafka = await testKafka();
const skip = kafka === undefined && NO_ENGINE;
const address = kafka?.address ?? '';

/** Five frames of which the broker then has three. */
async function robbed(t: TestContext) {
  const room: TestRoom = await testRoom(t, address);
  const log = await room.open();
  const file = `/var/lib/kafka/data/${framesTopic(room.place.origin, 'writes', log.epoch)}-0/00000000000000000000.log`;
  await log.append(drafts(log, 3));
  const older = (await kafka?.container.readFile(file))?.length;
  await log.append(drafts(log, 2, { ms: 9_000 }));
  const rob = async () => {
    await kafka?.container.exec('truncate', '-s', `${older}`, file);
    await kafka?.container.kill();
    await kafka?.container.start();
  };
  return { ...room, log, rob };
}

describe('a tail that is lost', { skip }, () => {
  test('stops the partition of an open log, also where nobody appends, and the log does not open again', async (t) => {
    const { log, rob, open, place } = await robbed(t);
    await rob();
    assert.equal(await stopped(log), 'LOG_GAP');
    await assert.rejects(log.append(drafts(log, 1)), { code: 'LOG_GAP', message: /frames 3 to 4 were acked/ });
    assert.deepEqual(await log.read(1, 0, 1_000), []);
    await log.close();
    await assert.rejects(open(), { code: 'LOG_GAP', message: /frames 3 to 4 were acked/ });
    await assert.rejects(init(place), { code: 'LOG_GAP' });
    await init(place, true);
    const again = await open();
    assert.deepEqual(await again.append(drafts(again, 1)), [0]);
  });

  test('and that is appended to at once is found by the seqs that Kafka gives again', async (t) => {
    const { log, rob } = await robbed(t);
    const appending = rob().then(() => log.append([draftOf(log, { ms: 20_000 })]));
    await assert.rejects(appending, { code: 'LOG_GAP', message: /frames [34] to 4 were acked/ });
    assert.equal(await stopped(log), 'LOG_GAP');
  });

  test('and that somebody else has appended to since is found by what stands at its end', async (t) => {
    const { log, rob, open, place } = await robbed(t);
    const others = drafts(log, 2, { ms: 30_000 });
    const topic = framesTopic(place.origin, 'writes', log.epoch);
    await log.close();
    await rob();
    const producer = new Kafka({ brokers: [address], logLevel: 0 }).producer({ createPartitioner: Partitioners.DefaultPartitioner });
    await producer.connect();
    await producer.send({ topic, messages: others.map(({ bytes }) => ({ partition: 0, value: Buffer.from(bytes) })) });
    await producer.disconnect();
    await assert.rejects(open(), { code: 'LOG_GAP', message: /frames 4 to 4 were acked/ });
  });
});
