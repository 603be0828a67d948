/** A link over mq whose line to the inbox says nothing for a moment, while the collector has its Kafka beside it and notices nothing. */
import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { containersAvailable, NO_ENGINE } from '../containers/engine.ts';
import { startKafka } from '../containers/kafka.ts';
import { TcpProxy } from '../harness/proxy.ts';
import { MqRig } from './mq-rig.ts';
import { append, until } from './rig.ts';

const NOW_MS = 1_700_000_000_000;
const skip = !(await containersAvailable()) && NO_ENGINE;

test('the inbox is filled again when the line speaks again, also where its silence was short', { skip, timeout: 60_000 }, async () => {
  const kafka = await startKafka({ hostNetwork: true });
  after(() => kafka.remove());
  const far = kafka.proxied?.far;
  assert.ok(far);
  const line = new TcpProxy(far.target);
  await line.listen(far.port);
  after(() => line.close());
  const rig = new MqRig(kafka.address, { silenceMsMax: 1_000 }, {}, { brokers: [`127.0.0.1:${far.port}`] });
  after(() => rig.close());
  await rig.init();
  const { log } = await rig.startOrigin();
  await rig.startPeer();
  await append(log, 0, { ms: NOW_MS });
  await until(() => rig.consumer(0).mark === 0);
  line.hold();
  await until(() => rig.lines.some(({ reason }) => /said nothing for 1000 ms/.test(String(reason))));
  line.heal();
  await append(log, 0, { ms: NOW_MS + 1 });
  await until(() => rig.consumer(0).mark === 1);
});
