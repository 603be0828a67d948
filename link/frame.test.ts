import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { WmbError } from '../core/errors.ts';
import { formatStamp, NO_STAMP } from '../core/stamp.ts';
import type { StampedWrite } from '../core/words.ts';
import { checkFrame, decodeFrame, encodeFrame, peekFrame } from './frame.ts';

const LANE = { log: 'writes', origin: 'beijing', partition: 7, epoch: '00ff00ff00ff00ff' } as const;

const text = fc.string({ unit: 'grapheme', maxLength: 40 });
const writes = fc.array(fc.record({ requestId: text, kind: text, key: text, trace: text, payload: fc.uint8Array({ maxLength: 300 }) }), {
  minLength: 1,
  maxLength: 30,
});

function stamped(list: readonly Omit<StampedWrite, 'stamp'>[]): StampedWrite[] {
  return list.map((write, i) => ({ ...write, stamp: formatStamp({ ms: 1_700_000_000_000 + i, counter: i, writer: 0x01000001 }) }));
}

test('a frame decodes to the write requests it was encoded from', () => {
  fc.assert(
    fc.property(writes, (list) => {
      const given = stamped(list);
      const { header, writes: back } = decodeFrame(encodeFrame(LANE, given));
      assert.equal(header.count, given.length);
      assert.equal(header.stampFirst, given[0]?.stamp);
      assert.equal(header.stampLast, given.at(-1)?.stamp);
      assert.deepEqual(
        back.map((write) => ({ ...write, payload: Buffer.from(write.payload) })),
        given.map((write) => ({ ...write, payload: Buffer.from(write.payload) })),
      );
    }),
  );
});

test('a frame that was made while others appended says what all later ones exceed; one that was not says it with its last stamp', () => {
  const list = stamped([{ requestId: 'r', kind: 'cache', key: 'k', trace: '', payload: Buffer.from('payload') }]);
  const stampLast = list[0]?.stamp ?? '';
  const through = formatStamp({ ms: 1_600_000_000_000, counter: 3, writer: 0x01000002 });
  for (const said of [through, NO_STAMP]) {
    const frame = encodeFrame(LANE, list, said);
    assert.deepEqual([frame[4], decodeFrame(frame).header.through, decodeFrame(frame).writes.length], [2, said, 1]);
    assert.deepEqual(peekFrame(frame), { count: 1, origin: 'beijing' });
    for (let length = 0; length < frame.length; length += 1) {
      assert.throws(() => checkFrame(frame.subarray(0, length)), { code: 'FRAME_CORRUPT' }, `length ${length}`);
    }
  }
  for (const frame of [encodeFrame(LANE, list), encodeFrame(LANE, list, stampLast)])
    assert.deepEqual([frame[4], checkFrame(frame).through], [1, stampLast]);
});

test('a flipped bit anywhere in a frame is found', () => {
  const frame = encodeFrame(LANE, stamped([{ requestId: 'r', kind: 'cache', key: 'k', trace: '', payload: Buffer.alloc(900, 'ab') }]));
  for (let bit = 0; bit < frame.length * 8; bit += 1) {
    const damaged = Buffer.from(frame);
    damaged[bit >> 3] = (damaged[bit >> 3] ?? 0) ^ (1 << (bit & 7));
    assert.throws(
      () => decodeFrame(damaged),
      (error) => error instanceof WmbError && /^FRAME_/.test(error.code),
      `bit ${bit}`,
    );
  }
});

test('a frame cut short anywhere is found', () => {
  const frame = encodeFrame(LANE, stamped([{ requestId: 'r', kind: 'cache', key: 'k', trace: '', payload: Buffer.from('payload') }]));
  for (let length = 0; length < frame.length; length += 1) {
    assert.throws(() => checkFrame(frame.subarray(0, length)), { code: 'FRAME_CORRUPT' }, `length ${length}`);
  }
});
