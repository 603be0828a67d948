import assert from 'node:assert/strict';
import { test } from 'node:test';
import { WmbError } from '../../core/errors.ts';
import { VirtualTime } from '../../core/flow/virtual-time.testing.ts';
import { silentLogger } from '../../core/logger.ts';
import type { LogReader } from '../log.ts';
import { MemoryLog, MemoryLogDisk } from '../memory/memory.ts';
import { Onlooker } from './onlooker.ts';

/** Of a log that others have open too, and of which this says what happens to it. */
class Watched extends MemoryLog {
  readonly name: string;
  readonly calls: string[];
  /** Its index is missing, or nobody writes it. */
  fails = false;
  opens: Promise<void> = Promise.resolve();

  constructor(name: string, options: ConstructorParameters<typeof MemoryLog>[0], calls: string[]) {
    super(options);
    this.name = name;
    this.calls = calls;
  }

  override async open(): Promise<void> {
    this.calls.push(`${this.name} opens`);
    this.#check();
    await this.opens;
    await super.open();
  }

  override async catchUp(): Promise<void> {
    this.#check();
    this.calls.push(`${this.name} is asked`);
  }

  override async close(): Promise<void> {
    this.calls.push(`${this.name} closes`);
    await super.close();
  }

  #check(): void {
    if (this.fails) throw new WmbError('LOG_UNAVAILABLE', 'no index');
  }
}

function setUp() {
  const runtime = new VirtualTime();
  const calls: string[] = [];
  const options = { disk: new MemoryLogDisk(), log: 'writes', origin: 'a', partitions: 1, runtime } as const;
  const shared = new Watched('shared', options, calls);
  const owns = [new Watched('own', options, calls), new Watched('own again', options, calls)];
  let made = 0;
  const own = (): LogReader => {
    made += 1;
    return owns[made - 1] as Watched;
  };
  const onlooker = new Onlooker({ shared, own, runtime, logger: silentLogger });
  /** What was called since the last look. */
  const called = () => calls.splice(0);
  return { runtime, shared, own: owns[0] as Watched, onlooker, called };
}

test('while a process is at work here its index is asked, and no other is made', async () => {
  const { onlooker, called } = setUp();
  await onlooker.open();
  await onlooker.catchUp();
  assert.deepEqual(called(), ['shared opens', 'shared is asked']);
});

test('an index of its own is made where the other one is not kept up, once for all who ask, and left when it is again and nobody asks', async () => {
  const { runtime, shared, onlooker, called } = setUp();
  await onlooker.open();
  shared.fails = true;
  await Promise.all([onlooker.catchUp(), onlooker.catchUp()]);
  assert.deepEqual(called(), ['shared opens', 'own opens', 'own is asked', 'own is asked']);
  await runtime.advance(61_000);
  assert.deepEqual(called(), ['shared closes', 'shared opens']);
  shared.fails = false;
  await runtime.advance(50_000);
  await onlooker.catchUp();
  await runtime.advance(10_000);
  assert.deepEqual(called(), ['own is asked']);
  await runtime.advance(60_000);
  await onlooker.catchUp();
  assert.deepEqual(called(), ['shared closes', 'shared opens', 'shared is asked', 'own closes', 'shared is asked']);
  await onlooker.close();
});

test('whoever asks while its own index is being read is told to ask again, and once it is closed nothing of it stays open', async () => {
  const { runtime, shared, own, onlooker, called } = setUp();
  const { promise, resolve } = Promise.withResolvers<void>();
  shared.fails = true;
  own.opens = promise;
  const refused = assert.rejects(onlooker.open(), { code: 'LOG_UNAVAILABLE', message: /still being read from Kafka/ });
  await runtime.advance(6_000);
  await refused;
  await onlooker.close();
  resolve();
  await runtime.advance(0);
  assert.deepEqual(called(), ['shared opens', 'own opens', 'shared closes', 'own closes']);
  await onlooker.open();
  assert.deepEqual(called(), ['shared opens', 'own again opens']);
  await onlooker.catchUp();
  await onlooker.close();
  assert.deepEqual(called(), ['own again is asked', 'shared closes', 'own again closes']);
});

test('what is wrong with the log itself is no reason for another index', async () => {
  const { shared, onlooker, called } = setUp();
  shared.opens = Promise.reject(new WmbError('LOG_GAP', 'another epoch'));
  await assert.rejects(onlooker.open(), { code: 'LOG_GAP' });
  assert.deepEqual(called(), ['shared opens']);
});
