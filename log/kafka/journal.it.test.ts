/** A journal on a real Kafka: who has it may append, and nobody who had it. */
import assert from 'node:assert/strict';
import { after, describe, test } from 'node:test';
import { Partitioners } from 'kafkajs';
import { silentLogger } from '../../core/logger.ts';
import { systemRuntime } from '../../core/runtime.ts';
import { NO_ENGINE } from '../../test/containers/engine.ts';
import { alterTopic } from '../../test/containers/kafka.ts';
import type { Journal, Taken } from '../journal.ts';
import { KafkaLogAdministration } from './administration.ts';
import { kafkaAt, placeAt, testClient, testKafka } from './kafka-kit.ts';
import { openReceipts, type ReceiptsPlace } from './receipts.ts';
import { receiptsTopic } from './topics.ts';

const SHARES = 3;
const kafka = await testKafka();
const skip = kafka === undefined && NO_ENGINE;
const address = kafka?.address ?? '';
const { client, admin } = await testClient(kafka);

function receiptsOf(room: string): ReceiptsPlace {
  return { kafka: kafkaAt(address), room, shares: SHARES, owner: 'a test', runtime: systemRuntime, logger: silentLogger };
}

async function prepared(): Promise<ReceiptsPlace> {
  const place = placeAt(address);
  await init(place, SHARES);
  return receiptsOf(place.origin);
}

async function init(place: ReturnType<typeof placeAt>, receiptShares: number): Promise<string[]> {
  const lines: string[] = [];
  const administration = new KafkaLogAdministration({ ...place, receiptShares });
  for await (const line of administration.init({ dryRun: false, newEpoch: false })) lines.push(line);
  return lines;
}

async function journalOf(place: ReceiptsPlace, share = 1): Promise<Journal> {
  const { talk, journal } = await openReceipts(place);
  talk.close();
  const opened = journal(share);
  after(() => opened.close());
  return opened;
}

async function valuesOf({ records }: Taken): Promise<string[]> {
  const values: string[] = [];
  for await (const { value } of records()) values.push(Buffer.from(value).toString());
  return values;
}

const append = (journal: Journal, ...values: string[]) => Promise.all(values.map((value) => journal.append(Buffer.from(value))));

describe('a journal', { skip }, () => {
  test('the next one has what was appended, in its order, and what the one before appends from then on is void', async () => {
    const place = await prepared();
    const [first, second] = [await journalOf(place), await journalOf(place)];
    assert.deepEqual(await valuesOf(await first.take()), []);
    const numbers = Array.from({ length: 500 }, (_, index) => String(index));
    const places = await append(first, ...numbers);
    assert.deepEqual(
      places,
      numbers.map((_, index) => index + 1),
    );
    assert.deepEqual(await valuesOf(await second.take()), numbers);
    // Two at once: the second one is refused with the first.
    const refused = await Promise.allSettled([first.append(Buffer.from('void')), first.append(Buffer.from('void too'))]);
    assert.deepEqual(
      refused.map((it) => it.status === 'rejected' && it.reason.code),
      ['STORE_LOCKED', 'STORE_LOCKED'],
    );
    await assert.rejects(first.append(Buffer.from('void')), { code: 'STORE_LOCKED' });
    // The void record stands before its own, and so it does not know who has the journal: it is to take it anew.
    await assert.rejects(second.append(Buffer.from('there')), { code: 'STORE_LOCKED' });
    assert.deepEqual(await valuesOf(await second.take()), [...numbers, 'there']);
    await append(second, 'more');
    assert.deepEqual(await valuesOf(await (await journalOf(place)).take()), [...numbers, 'there', 'more']);
    assert.deepEqual(await valuesOf(await (await journalOf(place, 2)).take()), []);
  });

  test('what is before a turn may be forgotten, and a void record behind it is still known to be void', async () => {
    const place = await prepared();
    const [first, second] = [await journalOf(place), await journalOf(place)];
    await first.take();
    await append(first, 'a', 'b');
    await second.take();
    await assert.rejects(first.append(Buffer.from('void')));
    await second.take();
    const [, at] = await Promise.all([append(second, 'c'), second.turn(), append(second, 'd')]);
    await second.forget(at);
    await append(second, 'e');
    const taken = await (await journalOf(place)).take();
    assert.equal(taken.isWhole, false);
    assert.deepEqual(await valuesOf(taken), ['d', 'e']);
  });

  test('records that somebody else removed, or wrote, are told', async () => {
    const place = await prepared();
    const topic = receiptsTopic(place.room);
    const first = await journalOf(place);
    await first.take();
    await append(first, 'a', 'b');
    await first.forget(2);
    await assert.rejects((async () => valuesOf(await (await journalOf(place)).take()))(), {
      code: 'LOG_GAP',
      message: /partition 1 of the topic wmb.receipts/,
    });
    const producer = client.producer({ createPartitioner: Partitioners.DefaultPartitioner });
    await producer.connect();
    await producer.send({ topic, messages: [{ partition: 2, value: 'what is no record of WMB' }] });
    await producer.disconnect();
    await assert.rejects((async () => valuesOf(await (await journalOf(place, 2)).take()))(), {
      code: 'LOG_FOREIGN',
      message: /partition 2, offset 0/,
    });
  });
});

describe('the topics of receipts', { skip }, () => {
  test('`wmb log init` makes and checks them; without them, divided otherwise or set wrongly they are refused', async () => {
    const place = placeAt(address);
    const receipts = receiptsOf(place.origin);
    await assert.rejects(openReceipts(receipts), { code: 'LOG_UNPREPARED', message: /wmb log init/ });
    const topic = receiptsTopic(place.origin);
    assert.deepEqual(
      (await init(place, SHARES)).filter((line) => line.includes(topic)),
      [`topic ${topic}: make it, 3 partitions with 1 replicas each`, `topic ${topic}.talk: make it, 1 partitions with 1 replicas each`],
    );
    assert.match((await init(place, SHARES)).join('\n'), new RegExp(`topic ${topic}: is there, 3 partitions`));
    const other = { code: 'LOG_UNFIT', message: /has the receipts of 3 shares, and collector.shares of room .* is 4; .* set it to 3/ };
    await assert.rejects(init(place, 4), other);
    await assert.rejects(openReceipts({ ...receipts, shares: 4 }), other);
    await alterTopic(admin, topic, 'cleanup.policy', 'compact');
    await assert.rejects(openReceipts(receipts), { code: 'LOG_UNFIT', message: /cleanup.policy is compact and must be delete/ });
  });
});
