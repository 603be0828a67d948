/** When the appender says that something is wrong: a broker of the test's own, on virtual time. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { WmbError } from '../../core/errors.ts';
import { VirtualTime } from '../../core/flow/virtual-time.testing.ts';
import type { KafkaCluster } from '../../kafka/cluster.ts';
import type { ProduceAnswer } from '../../kafka/requests.ts';
import type { FrameDraft } from '../log.ts';
import { Appender } from './appender.ts';

const DRAFT: FrameDraft = { partition: 0, bytes: Buffer.from('frame'), count: 1, stampFirst: '', stampLast: '' };
const TAKEN: readonly ProduceAnswer[] = [{ partition: 0, error: 0, firstOffset: 0 }];
const TOPIC_AUTHORIZATION_FAILED = 29;

/** `broker` answers what is appended. */
function appenderOf(runtime: VirtualTime, broker: () => Promise<readonly ProduceAnswer[]>, may = () => true): Appender {
  const cluster = {
    place: 'Kafka at nowhere',
    partitions: () => [{ partition: 0, leader: 1, replicas: 1, inSync: 1 }],
    producerId: async () => ({ producerId: 1n, producerEpoch: 0 }),
    refresh: async () => {},
    send: broker,
  };
  return new Appender({
    ...{ cluster: cluster as unknown as KafkaCluster, topic: 'frames', partitions: 1, runtime },
    ...{ may, placed: async () => {}, doubted: async () => {} },
  });
}

/** Empty: nothing is wrong. */
const told = ({ trouble }: Appender) => (trouble === undefined ? '' : `${trouble.code}: ${trouble.message}`);

test('nothing is wrong while appends are acked, and before anything was appended', async () => {
  const runtime = new VirtualTime();
  const appender = appenderOf(runtime, async () => TAKEN);
  assert.equal(told(appender), '');
  const appended = appender.append([DRAFT]);
  await runtime.advance(10);
  assert.deepEqual(await appended, [0]);
  await runtime.advance(60_000);
  assert.equal(told(appender), '');
});

test('a broker that fails is told at once, and no more when what was sent again is acked', async () => {
  const runtime = new VirtualTime();
  let isAway = true;
  const appender = appenderOf(runtime, async () => {
    if (isAway) throw new Error('connect ECONNREFUSED');
    return TAKEN;
  });
  const appended = appender.append([DRAFT]);
  await runtime.advance(1);
  assert.match(told(appender), /^LOG_UNAVAILABLE: the topic frames cannot be appended to: Kafka at nowhere cannot be reached/);
  await runtime.advance(20_000);
  assert.match(told(appender), /^LOG_UNAVAILABLE: /);
  isAway = false;
  await runtime.advance(1_000);
  assert.deepEqual(await appended, [0]);
  assert.equal(told(appender), '');
});

test('a broker that says nothing is told after two seconds', async () => {
  const runtime = new VirtualTime();
  const { promise, resolve } = Promise.withResolvers<readonly ProduceAnswer[]>();
  const appender = appenderOf(runtime, () => promise);
  const appended = appender.append([DRAFT]);
  await runtime.advance(1_900);
  assert.equal(told(appender), '');
  await runtime.advance(200);
  assert.match(told(appender), /Kafka at nowhere does not answer/);
  resolve(TAKEN);
  await appended;
  assert.equal(told(appender), '');
});

test('what was refused for good is told for ten seconds, or until an append is acked: nobody else would find out that it is over', async () => {
  const runtime = new VirtualTime();
  let answers: readonly ProduceAnswer[] = [{ partition: 0, error: TOPIC_AUTHORIZATION_FAILED, firstOffset: -1 }];
  const appender = appenderOf(runtime, async () => answers);
  const refused = async () => {
    const append = assert.rejects(appender.append([DRAFT]), { code: 'LOG_DENIED' });
    await runtime.advance(1);
    await append;
  };
  await refused();
  await runtime.advance(9_000);
  assert.match(told(appender), /^LOG_DENIED: /);
  await runtime.advance(1_100);
  assert.equal(told(appender), '');
  await refused();
  assert.match(told(appender), /^LOG_DENIED: /);
  answers = TAKEN;
  const taken = appender.append([DRAFT]);
  await runtime.advance(1);
  await taken;
  assert.equal(told(appender), '');
});

test('what is given up is rejected and not sent again; what is appended afterwards is sent', async () => {
  const runtime = new VirtualTime();
  let may = false;
  let sent = 0;
  const appender = appenderOf(
    runtime,
    async () => {
      sent += 1;
      return TAKEN;
    },
    () => may,
  );
  const refused = assert.rejects(appender.append([DRAFT]), { code: 'LOG_UNAVAILABLE', message: 'overtaken' });
  await runtime.advance(1_000);
  assert.match(told(appender), /does not let this process hear what it says to the others/);
  appender.giveUp(new WmbError('LOG_UNAVAILABLE', 'overtaken'));
  await refused;
  may = true;
  await runtime.advance(1_000);
  assert.equal(sent, 0);
  const appended = appender.append([DRAFT]);
  await runtime.advance(1_000);
  assert.deepEqual([await appended, sent], [[0], 1]);
  const atOnce = assert.rejects(appender.append([DRAFT]), { message: 'overtaken' });
  appender.giveUp(new WmbError('LOG_UNAVAILABLE', 'overtaken'));
  await atOnce;
  const next = appender.append([DRAFT]);
  await runtime.advance(1_000);
  assert.deepEqual([await next, sent], [[0], 2], 'what is given up before it was taken in a round leaves nothing behind');
});
