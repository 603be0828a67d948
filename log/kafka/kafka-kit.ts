/** What the tests of this folder share: logs on a real Kafka, each with a room id of its own, so that none sees another's topics. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after } from 'node:test';
import type { KafkaLogConfig } from '../../core/config/types.ts';
import { silentLogger } from '../../core/logger.ts';
import { systemRuntime } from '../../core/runtime.ts';
import { containersAvailable } from '../../test/containers/engine.ts';
import { type KafkaServer, startKafka } from '../../test/containers/kafka.ts';
import type { LogUnderTest } from '../log.contract.ts';
import { KafkaLogAdministration } from './administration.ts';
import { KafkaLog, type KafkaLogOptions } from './kafka.ts';
import type { LogPlace } from './open.ts';
import { KafkaLogReader } from './reader.ts';

/** Undefined: the tests are skipped. Removed when the file is done. */
export async function testKafka(): Promise<KafkaServer | undefined> {
  if (!(await containersAvailable())) return undefined;
  const kafka = await startKafka();
  after(() => kafka.remove());
  return kafka;
}

export function kafkaAt(address: string, more: Partial<KafkaLogConfig> = {}): KafkaLogConfig {
  return { adapter: 'kafka', brokers: [address], sasl: undefined, tls: undefined, replicas: 1, minInSyncReplicas: 1, ...more };
}

let rooms = 0;

/** Of a room that no other test has. */
export function placeAt(address: string, more: Partial<LogPlace> = {}): LogPlace {
  rooms += 1;
  const origin = `room-${process.pid}-${rooms}`;
  return { kafka: kafkaAt(address), log: 'writes', origin, partitions: 2, runtime: systemRuntime, ...more };
}

export async function init(place: LogPlace, newEpoch = false): Promise<string[]> {
  const lines: string[] = [];
  for await (const line of new KafkaLogAdministration(place).init({ dryRun: false, newEpoch })) lines.push(line);
  return lines;
}

export async function openLog(place: LogPlace, more: Partial<KafkaLogOptions> & Pick<KafkaLogOptions, 'directory'>): Promise<KafkaLog> {
  const log = new KafkaLog({ ...place, logger: silentLogger, tailBytesMax: 0, ...more });
  await log.open();
  return log;
}

export function temporaryDirectory(): string {
  return mkdtempSync(join(tmpdir(), 'wmb-log-'));
}

/** A log with its topics, for log.contract.ts. Its readers have an index of their own, or share the log's. */
export async function logUnderTest(
  address: string,
  { partitions, tailBytesMax, shares = false }: { partitions: number; tailBytesMax: number; shares?: boolean },
): Promise<LogUnderTest> {
  const place = placeAt(address, { partitions });
  const directory = temporaryDirectory();
  const open = () => openLog(place, { directory, tailBytesMax });
  await init(place);
  let log = await open();
  return {
    log,
    reader: async () => {
      if (!shares) return open();
      const reader = new KafkaLogReader({ ...place, directory });
      await reader.open();
      return reader;
    },
    reopen: async () => {
      await log.close();
      log = await open();
      return log;
    },
    remake: async () => {
      await log.close();
      await init(place, true);
      log = await open();
      return log;
    },
    dispose: async () => {
      await log.close();
      rmSync(directory, { recursive: true });
    },
  };
}
