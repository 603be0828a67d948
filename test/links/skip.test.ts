/** Links whose lanes have stopped, and a person who accepts the loss. */
import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { Server, ServerCredentials } from '@grpc/grpc-js';
import type { LaneConsumer } from '../../collector/lane.ts';
import { Receiver } from '../../collector/receive/receiver.ts';
import { WmbError } from '../../core/errors.ts';
import { silentLogger } from '../../core/logger.ts';
import { noMetrics } from '../../core/metrics.ts';
import { systemRuntime } from '../../core/runtime.ts';
import { formatStamp } from '../../core/stamp.ts';
import { rpcDialer } from '../../link/rpc/dialer.ts';
import { addLinkService } from '../../link/rpc/service.ts';
import { MemoryLogDisk } from '../../log/memory/memory.ts';
import { Shipper } from '../../reship/ship/shipper.ts';
import {
  append,
  CountingConsumers,
  configOf,
  FakeBoard,
  FakeHints,
  keepingLogger,
  type LogLine,
  logOf,
  MemoryStates,
  until,
} from './rig.ts';

const NOW_MS = 1_700_000_000_000;

/** Beijing ships; guangzhou receives, when its receiver is started. */
async function rooms(t: TestContext) {
  const parts = { runtime: systemRuntime, metrics: noMetrics };
  const log = await logOf(new MemoryLogDisk(), { origin: 'beijing', runtime: systemRuntime });
  const settledStamp = () => formatStamp({ ms: NOW_MS + 1_000_000, counter: 0, writer: 9 });
  const config = configOf({ room: 'beijing', addresses: { beijing: '', guangzhou: '' } });
  const shipper = new Shipper({ ...parts, config, readers: [log], logger: silentLogger, instance: 'b-1', settledStamp });
  const server = new Server();
  addLinkService(server, shipper, { runtime: systemRuntime, logger: silentLogger, certificates: false });
  const port = await new Promise<number>((resolve, reject) => {
    server.bindAsync('127.0.0.1:0', ServerCredentials.createInsecure(), (error, bound) =>
      error === null ? resolve(bound) : reject(error),
    );
  });
  await shipper.start();
  const consumers = new CountingConsumers();
  const lines: LogLine[] = [];
  const receiver = new Receiver({
    ...parts,
    config: configOf({ room: 'guangzhou', addresses: { beijing: `127.0.0.1:${port}`, guangzhou: '127.0.0.1:1' } }),
    instance: 'g-1',
    dialer: rpcDialer({ runtime: systemRuntime, answerMsMax: 10_000 }),
    consumers: consumers.make,
    acks: new FakeBoard(),
    hints: new FakeHints(),
    states: new MemoryStates(),
    logger: keepingLogger(lines),
  });
  t.after(async () => {
    await receiver.stop();
    await shipper.stop();
    server.forceShutdown();
    await log.close();
  });
  const lane = (partition: number) => receiver.status().find((link) => link.origin === 'beijing')?.lanes[partition];
  return { log, receiver, consumers, lane, lines };
}

test('a lane that stopped on a gap goes on when the loss is accepted, and not on a dry run', { timeout: 20_000 }, async (t) => {
  const { log, receiver, consumers, lane, lines } = await rooms(t);
  for (let seq = 0; seq < 10; seq += 1) for (const partition of [0, 1]) await append(log, partition, { ms: NOW_MS + seq });
  await log.trim({ ageMsMin: 0, bytesMax: 1, overflow: 'keep', writesMin: 0 }, [{ partition: 0, appliedSeq: 4 }], NOW_MS + 1_000_000);
  const consumer = consumers.of('beijing', 0);
  const asked: unknown[] = [];
  const skipGap: LaneConsumer['skipGap'] = async (gap, confirmed) => {
    asked.push([gap.missing, confirmed]);
    const { from, to } = gap.missing ?? assert.fail();
    if (confirmed) consumer.mark = to;
    const { epoch } = gap;
    return { log: 'writes', origin: 'beijing', partition: 0, epoch, from, to, writes: undefined, next: { epoch, seq: to }, skippedMs: 0 };
  };
  Object.assign(consumer, { skipGap });
  await receiver.start();
  await until(() => lane(1)?.state === 'streaming' && lane(0)?.state === 'stopped-on-gap');
  const [dry] = await receiver.skipGaps('beijing', false);
  assert.deepEqual([dry?.refused, dry?.missingFrom, dry?.missingTo, lane(0)?.state], ['', 0, 4, 'stopped-on-gap']);
  await receiver.skipGaps('beijing', true);
  await until(() => consumer.mark === 9);
  assert.deepEqual(consumer.seqs, [5, 6, 7, 8, 9]);
  assert.deepEqual(asked, [
    [{ from: 0, to: 4 }, false],
    [{ from: 0, to: 4 }, true],
  ]);
  assert.equal(lines.filter((line) => line.level === 'warn' && line.message.startsWith('frames were given up')).length, 1);
  await assert.rejects(receiver.skipGaps('beijing', true), { code: 'NOT_FOUND', message: /no lane .* has stopped/ });
});

test('a lane that stopped for another reason than missing frames is not skipped', { timeout: 20_000 }, async (t) => {
  const { log, receiver, consumers, lane } = await rooms(t);
  await append(log, 0, { ms: NOW_MS });
  const consumer = consumers.of('beijing', 0);
  Object.assign(consumer, { skipGap: () => assert.fail('it must not be asked') });
  consumer.gate = async () => {
    throw new WmbError('CHANGES_CONFLICT', 'a row differs');
  };
  await receiver.start();
  await until(() => lane(0)?.state === 'stopped-on-gap');
  const [refused] = await receiver.skipGaps('beijing', true);
  assert.match(refused?.refused ?? '', /it has not stopped on missing frames: CHANGES_CONFLICT/);
  assert.equal(lane(0)?.state, 'stopped-on-gap');
});
