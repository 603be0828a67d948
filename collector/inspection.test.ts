import assert from 'node:assert/strict';
import { test } from 'node:test';
import { systemRuntime } from '../core/runtime.ts';
import { Inspection, type InspectionOptions } from './inspection.ts';

/** Of what a question for digests needs, everything; a turn of the event loop is counted and takes no time. */
function inspectionWith(turned: () => void): Inspection {
  const book = { digest: async () => '0123456789abcdef', frames: async () => [] };
  const runtime = { ...systemRuntime, turn: async () => turned() };
  return new Inspection({ book, runtime } as unknown as InspectionOptions);
}

test('digests of many windows wait for few turns of a collector that is busy, but for some: neither starves the other', async () => {
  let turns = 0;
  const inspection = inspectionWith(() => {
    turns += 1;
  });
  const range = { lane: { log: 'writes', origin: 'beijing', partition: 0, epoch: '0'.repeat(16) }, from: 0, to: 255 } as const;
  assert.equal((await inspection.receiptDigests(Array.from({ length: 64 }, () => range))).length, 64);
  assert.equal(turns, 3);
});
