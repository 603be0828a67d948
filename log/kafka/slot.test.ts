import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { systemRuntime } from '../../core/runtime.ts';
import { takeSlot } from './slot.ts';

test('each process has a seat of its own, which whoever has its place next has too, and a new one where its file was lost', (t) => {
  const directory = mkdtempSync(join(tmpdir(), 'wmb-slot-'));
  t.after(() => rmSync(directory, { recursive: true }));
  const seats = () => {
    const slots = [0, 1].map(() => takeSlot(directory, systemRuntime));
    for (const { lock } of slots) lock.release();
    return slots.map(({ seat }) => seat);
  };
  const first = seats();
  assert.equal(new Set(first).size, 2);
  assert.deepEqual(seats(), first);
  for (const slot of [0, 1]) writeFileSync(join(directory, `index-${slot}`, 'seat'), '');
  const next = seats();
  assert.equal(new Set([...first, ...next]).size, 4);
  assert.deepEqual(seats(), next);
});
