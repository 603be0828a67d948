/** What the tests of this folder share: logs on a real Kafka, each with a room id of its own, so that none sees another's topics. */

import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, type TestContext } from 'node:test';
import { type Admin, Kafka } from 'kafkajs';
import type { KafkaLogConfig } from '../../core/config/types.ts';
import { silentLogger } from '../../core/logger.ts';
import { systemRuntime } from '../../core/runtime.ts';
import { containersAvailable } from '../../test/containers/engine.ts';
import { type KafkaServer, startKafka } from '../../test/containers/kafka.ts';
import { draftOf, type LogUnderTest } from '../log.contract.ts';
import type { FrameDraft, Log } from '../log.ts';
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

/** How kafkajs reaches it; its administration is connected, where there is one, until the file is done. */
export async function testClient(kafka: KafkaServer | undefined): Promise<{ readonly client: Kafka; readonly admin: Admin }> {
  const client = new Kafka({ ...kafka?.client, brokers: [kafka?.address ?? ''], logLevel: 0 });
  const admin = client.admin();
  if (kafka !== undefined) await admin.connect();
  after(() => admin.disconnect());
  return { client, admin };
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

/** A log with its topics, for one test. */
export interface TestRoom {
  readonly place: LogPlace;
  readonly directory: string;
  /** Closed when the test ends. */
  open(more?: Partial<KafkaLogOptions>): Promise<KafkaLog>;
}

export async function testRoom(t: TestContext, address: string, more: Partial<LogPlace> = {}): Promise<TestRoom> {
  const place = placeAt(address, more);
  await init(place);
  const directory = temporaryDirectory();
  const opened: Log[] = [];
  t.after(async () => {
    for (const log of opened.reverse()) await log.close();
    rmSync(directory, { recursive: true, force: true });
  });
  return {
    place,
    directory,
    open: async (options = {}) => {
      const log = await openLog(place, { directory, ...options });
      opened.push(log);
      return log;
    },
  };
}

/** Of partition 0 where nothing else is said. */
export function drafts(log: Log, count: number, more: Parameters<typeof draftOf>[1] = {}): FrameDraft[] {
  return Array.from({ length: count }, (_, i) => draftOf(log, { ms: 1_000 + 10 * i, ...more }));
}

export async function until(what: string, probe: () => Promise<boolean> | boolean): Promise<void> {
  const deadline = Date.now() + 90_000;
  while (!(await probe())) {
    assert.ok(Date.now() < deadline, `in vain waited until ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

/** Whether it resolves. */
export function succeeds(asked: Promise<unknown>): Promise<boolean> {
  return asked.then(
    () => true,
    () => false,
  );
}

/** It is refused so, once brokers have heard of what was changed: not all do at once, and any of them may be asked. */
export async function refused(asking: () => Promise<unknown>, error: { readonly code: string; readonly message: RegExp }): Promise<void> {
  let last: unknown;
  const isRefused = () =>
    assert.rejects(asking, error).then(
      () => true,
      (cause: unknown) => {
        last = cause;
        return false;
      },
    );
  await until('it is refused', isRefused).catch(() => {
    throw last;
  });
}

/** Resolves with the code that reading ends with. */
export async function stopped(log: Log, partition = 0): Promise<string> {
  let code = '';
  await until('the partition stops', async () => {
    code = await log.read(partition, 0, 1_000_000).then(
      () => '',
      (cause: { code: string }) => cause.code,
    );
    return code !== '';
  });
  return code;
}
