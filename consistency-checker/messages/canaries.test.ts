import assert from 'node:assert/strict';
import { test } from 'node:test';
import { canaryKeys } from '../../core/canary.ts';
import { VirtualTime } from '../../core/flow/virtual-time.testing.ts';
import { type LogFields, silentLogger } from '../../core/logger.ts';
import { partitionOf } from '../../core/partition.ts';
import { Canaries } from './canaries.ts';

function rig(options: { readonly canaryMs?: number; readonly submit?: () => Promise<void> } = {}) {
  const runtime = new VirtualTime();
  const sent: (readonly { readonly key: string }[])[] = [];
  const lines: string[] = [];
  const note = (_: LogFields, message: string) => void lines.push(message);
  const canaries = new Canaries({
    partitions: 4,
    submit: async (writes) => {
      sent.push(writes);
      await options.submit?.();
    },
    canaryMs: options.canaryMs ?? 1_000,
    runtime,
    logger: { ...silentLogger, warn: note, info: note },
  });
  return { runtime, sent, lines, canaries };
}

test('a canary lies in every partition, whatever their number', () => {
  for (const partitions of [1, 4, 17, 1_024]) {
    const keys = canaryKeys(partitions);
    assert.deepEqual(
      keys.map((key) => partitionOf(key, partitions)),
      Array.from({ length: partitions }, (_, partition) => partition),
    );
    assert.ok(keys.every((key) => key.startsWith('wmb.canary/')));
  }
});

test('canaries go into every partition once a second until they are stopped', async () => {
  const { runtime, sent, canaries } = rig();
  canaries.start();
  await runtime.advance(3_500);
  assert.equal(sent.length, 4);
  assert.ok(sent.every((writes) => writes.length === 4));
  canaries.stop();
  await runtime.advance(5_000);
  assert.equal(sent.length, 4);
});

test('none are sent where the configuration asks for none', async () => {
  const { runtime, sent, canaries } = rig({ canaryMs: 0 });
  canaries.start();
  await runtime.advance(5_000);
  assert.equal(sent.length, 0);
});

test('an intake that answers slowly has one call of canaries at a time', async () => {
  let release = () => {};
  const { runtime, sent, canaries } = rig({ submit: () => new Promise((resolve) => (release = resolve)) });
  canaries.start();
  await runtime.advance(10_000);
  assert.equal(sent.length, 1);
  release();
  await runtime.advance(0);
  assert.equal(sent.length, 2, 'the next one is due at once');
  canaries.stop();
  release();
});

test('an intake that refuses is said once, and once when it takes them again; the canaries go on', async () => {
  let refuses = true;
  const { runtime, sent, lines, canaries } = rig({
    submit: async () => {
      if (refuses) throw new Error('no route to intake');
    },
  });
  canaries.start();
  await runtime.advance(5_500);
  assert.equal(sent.length, 6);
  assert.equal(lines.length, 1);
  refuses = false;
  await runtime.advance(2_000);
  canaries.stop();
  assert.deepEqual(lines, [
    'canaries cannot be submitted; the lanes of this room will look silent in every room',
    'canaries are submitted again',
  ]);
});
