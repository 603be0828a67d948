import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import type { Effect } from '../core/converge/effects.ts';
import type { Mending } from '../core/converge/mend.ts';
import { compareText } from '../core/converge/order.ts';
import type { KeyState } from '../core/converge/state.ts';
import type { FrameReceipts, Horizon, SeqRange } from '../core/inspection.ts';
import { formatStamp, versionOf } from '../core/stamp.ts';
import type { StampedWrite } from '../core/words.ts';
import * as proto from '../proto/gen/wmb/v1/inspection.ts';
import {
  derivedFromWire,
  derivedToWire,
  effectFromWire,
  effectToWire,
  horizonFromWire,
  horizonToWire,
  rangeFromWire,
  rangeToWire,
  receiptsFromWire,
  receiptsToWire,
  repairFromWire,
  repairToWire,
  stateFromWire,
  stateToWire,
  writeFromWire,
  writeToWire,
} from './inspection-wire.ts';

const EPOCH = '0123456789abcdef';
const STAMP = formatStamp({ ms: 1_700_000_000_000, counter: 1, writer: 0x1000001 });
const VERSION = versionOf(STAMP, 3);
const RANGE: SeqRange = { lane: { log: 'writes', origin: 'beijing', partition: 3, epoch: EPOCH }, from: 0, to: 255 };
const PLACE = { log: 'writes', origin: 'beijing', partition: 1, state: '', reason: '', lagWrites: 0 } as const;
const HORIZON: Horizon = {
  nowMs: 1_700_000_000_500,
  lanes: [
    { ...PLACE, epoch: EPOCH, mark: 12, seen: STAMP, state: 'streaming', reason: 'resumed', lagWrites: 4 },
    { ...PLACE, partition: 2, epoch: '', mark: -1, seen: '' },
    { ...PLACE, partition: 3, epoch: EPOCH, mark: 12, seen: STAMP, databaseSeq: 11 },
    { ...PLACE, partition: 4, epoch: EPOCH, mark: 12, seen: STAMP, databaseSeq: -1 },
  ],
};
const detail = { code: '', parkedMs: 0, attempts: 0 };
const FRAME: FrameReceipts = {
  seq: 7,
  count: 6,
  stampFirst: '',
  stampLast: STAMP,
  appliedMs: 1_700_000_000_100,
  exceptions: [
    { ...detail, index: 0, requestId: 'a', outcome: 'superseded' },
    { ...detail, index: 1, requestId: 'b', outcome: 'duplicate' },
    { index: 2, requestId: 'c', outcome: 'parked', code: 'PROCESSOR_FAILED', parkedMs: 5, attempts: 2 },
    { ...detail, index: 5, requestId: 'd', outcome: 'rejected' },
  ],
};
const WRITE: StampedWrite = { requestId: 'r', kind: 'message', key: 'k', payload: new Uint8Array([1, 2]), trace: '00-x', stamp: STAMP };
const on = { key: '键', version: VERSION };
const EFFECTS: readonly Effect[] = [
  { op: 'set', ...on, value: '', expireAtMs: 1_700_000_100_000 },
  { op: 'del', ...on },
  { op: 'expire', ...on, expireAtMs: 0 },
  { op: 'hset', ...on, field: '', value: 'v' },
  { op: 'hdel', ...on, field: 'f' },
  { op: 'sadd', ...on, member: 'm' },
  { op: 'srem', ...on, member: 'm' },
  { op: 'zadd', ...on, member: 'm', score: -Infinity },
  { op: 'zrem', ...on, member: 'm' },
  { op: 'incr', ...on, delta: '-9223372036854775808' },
  { op: 'hincr', ...on, field: 'f', delta: '7' },
  { op: 'zincr', ...on, member: 'm', delta: 0.1 },
  { op: 'timeline', ...on, member: 'm', cap: 100 },
];
const STATE: KeyState = {
  key: 'k',
  type: 'hash',
  kill: versionOf(STAMP, 0),
  expireAtMs: 1_700_000_100_000,
  caps: [{ version: VERSION, cap: 4 }],
  registers: [
    { name: 'a', version: VERSION, value: '' },
    { name: 'b', version: VERSION, value: null },
    { name: 'c', version: 'damaged', value: 1.5 },
  ],
  increments: [
    { name: 'a', version: VERSION, delta: '-3' },
    { name: 'z', version: VERSION, delta: 0.25 },
  ],
  expiries: [{ version: VERSION, atMs: 9 }],
};
const PUSH: Mending = { key: 'k', expected: EPOCH, seen: STAMP, action: 'push', state: STATE, upTo: VERSION };
const RESEND: Mending = { key: on.key, expected: '', seen: '', action: 'resend', effects: EFFECTS };

/** Over the bytes, as it goes between processes. */
function sent<T>(message: { encode(value: T): { finish(): Uint8Array }; decode(bytes: Uint8Array): T }, value: T): T {
  return message.decode(message.encode(value).finish());
}

describe('what is sent is what comes', () => {
  test('ranges, horizons, receipts and write requests', () => {
    assert.deepEqual(rangeFromWire(sent(proto.SeqRange, rangeToWire(RANGE))), RANGE);
    assert.deepEqual(horizonFromWire(sent(proto.HorizonResponse, horizonToWire(HORIZON))), HORIZON);
    const { frames } = sent(proto.ReceiptsResponse, { frames: receiptsToWire([FRAME, { ...FRAME, seq: 8 }]) });
    assert.deepEqual(receiptsFromWire(frames), [FRAME, { ...FRAME, seq: 8 }]);
    const write = writeFromWire(sent(proto.StampedWrite, writeToWire(WRITE)));
    assert.deepEqual({ ...write, payload: new Uint8Array(write.payload) }, WRITE);
  });

  for (const effect of EFFECTS) {
    test(`the effect ${effect.op}`, () => assert.deepEqual(effectFromWire(sent(proto.CacheEffect, effectToWire(effect))), effect));
  }

  test('derived effects, none of them, and a failure', () => {
    for (const derived of [
      { stamp: STAMP, effects: EFFECTS, error: '' },
      { stamp: STAMP, effects: [], error: '' },
      { stamp: STAMP, effects: undefined, error: 'PROCESSOR_FAILED: boom' },
    ])
      assert.deepEqual(derivedFromWire(sent(proto.DerivedWrite, derivedToWire(derived))), derived);
  });

  test('the state of a key, a damaged one too, and both kinds of repair', () => {
    assert.deepEqual(stateFromWire(sent(proto.KeyState, stateToWire(STATE))), STATE);
    for (const repair of [PUSH, RESEND]) assert.deepEqual(repairFromWire(sent(proto.KeyRepair, repairToWire(repair))), repair);
  });

  test('any state', () => {
    const version = fc.constantFrom(VERSION, versionOf(STAMP, 0), '', 'no version');
    const value = fc.oneof(fc.string({ unit: 'grapheme' }), fc.double({ noNaN: true }), fc.constant(null));
    const state = fc.record<KeyState>(
      {
        key: fc.string({ unit: 'grapheme' }),
        type: fc.constantFrom('none', 'string', 'hash', 'set', 'zset', 'timeline'),
        kill: version,
        expireAtMs: fc.maxSafeNat(),
        caps: fc.array(fc.record({ version, cap: fc.nat(65_536) }, { noNullPrototype: true })),
        registers: fc
          .uniqueArray(fc.record({ name: fc.string({ unit: 'grapheme' }), version, value }, { noNullPrototype: true }), {
            selector: ({ name }) => name,
          })
          .map((list) => list.sort((a, b) => compareText(a.name, b.name))),
        increments: fc.constant([]),
        expiries: fc.array(fc.record({ version, atMs: fc.maxSafeNat() }, { noNullPrototype: true })),
      },
      { noNullPrototype: true },
    );
    fc.assert(fc.property(state, (it) => assert.deepEqual(stateFromWire(sent(proto.KeyState, stateToWire(it))), it)));
  });

  test('what a damaged store holds for a time is no reason to say nothing of the key', () => {
    const damaged = {
      ...STATE,
      expireAtMs: -1.5,
      caps: [{ version: VERSION, cap: Number.NaN }],
      expiries: [{ version: '', atMs: 2 ** 70 }],
    };
    const { expireAtMs, caps, expiries } = stateFromWire(sent(proto.KeyState, stateToWire(damaged)));
    assert.deepEqual([expireAtMs, caps[0]?.cap, expiries[0]?.atMs], [0, 0, 0]);
  });

  test('a long reason is cut', () => {
    const [lane] = horizonToWire({ nowMs: 1, lanes: [{ ...PLACE, epoch: EPOCH, mark: 0, seen: '', reason: 'x'.repeat(5_000) }] }).lanes;
    assert.equal(lane?.reason.length, 1_024);
  });
});

const range = (more: Partial<proto.SeqRange>) => () => rangeFromWire({ ...rangeToWire(RANGE), ...more });
const lane = (more: Partial<proto.LanePlace>) => () => {
  const { nowMs, lanes } = horizonToWire(HORIZON);
  return horizonFromWire({ nowMs, lanes: lanes.map((it, at) => (at === 1 ? { ...it, ...more } : it)) });
};
const frame = (more: Partial<proto.FrameReceipts>) => () => receiptsFromWire(receiptsToWire([FRAME]).map((it) => ({ ...it, ...more })));
const exception = (more: Partial<proto.ReceiptDetail>) => () => {
  const [wire] = receiptsToWire([FRAME]) as [proto.FrameReceipts];
  return receiptsFromWire([{ ...wire, exceptions: wire.exceptions.map((it, at) => (at === 2 ? { ...it, ...more } : it)) }]);
};
const effect = (op: string, more: Partial<proto.CacheEffect>) => () =>
  effectFromWire({ ...effectToWire({ op: 'del', key: 'k', version: VERSION }), op, ...more });
const state = (more: Partial<proto.KeyState>) => () => stateFromWire({ ...stateToWire(STATE), ...more });
const repair = (from: Mending, more: Partial<proto.KeyRepair>) => () => repairFromWire({ ...repairToWire(from), ...more });

const GARBAGE: readonly (readonly [what: string, read: () => unknown, message: RegExp])[] = [
  ['a room that is none', range({ origin: 'Beijing!' }), /^origin is "Beijing!", not the id of a room$/],
  ['a partition that is none', range({ partition: 70_000 }), /^partition is 70000/],
  ['an epoch that is none', range({ epoch: 'x' }), /^epoch is "x"/],
  ['a range before the first seq', range({ from: -1 }), /^from is -1/],
  ['a range from its end to its beginning', range({ from: 9, to: 8 }), /^to is 8, not a seq not below from, 9$/],
  ['a clock that stands at nothing', () => horizonFromWire({ nowMs: 0, lanes: [] }), /^now_ms is 0/],
  ['a lane named twice', lane({ partition: 1 }), /^lanes\[1\] is "beijing\/1", not a lane that was not named before/],
  ['a mark that is none', lane({ mark: -2 }), /^lanes\[1\]\.(epoch|mark) is/],
  ['a mark of no epoch', lane({ mark: 3 }), /^lanes\[1\]\.epoch is ""/],
  ['something seen that is no stamp', lane({ seen: 'soon' }), /^lanes\[1\]\.seen is "soon", not a stamp/],
  ['frames that do not ascend', () => receiptsFromWire(receiptsToWire([FRAME, FRAME])), /^frames\[1\] is/],
  ['a frame of nothing', frame({ count: 0, exceptions: [] }), /^frames\[0\]\.count is 0/],
  ['a frame before the first', frame({ seq: -1 }), /^frames\[0\]\.seq is -1/],
  ['a last stamp that is none', frame({ stampLast: 'x' }), /^frames\[0\]\.stamp_last is "x"/],
  ['a receipt beyond its frame', frame({ count: 5 }), /^frames\[0\]\.exceptions\[3\]\.index is 5, not a place in a frame of 5$/],
  [
    'a receipt that is no exception',
    exception({ outcome: 1 }),
    /^frames\[0\]\.exceptions\[2\]\.outcome is 1, not an outcome other than applied/,
  ],
  ['an unknown outcome', exception({ outcome: 9 as never }), /outcome is 9/],
  ['receipts that do not ascend', exception({ index: 1 }), /^frames\[0\]\.exceptions\[2\] is/],
  ['no write request', () => writeFromWire({ write: undefined, stamp: STAMP }), /^write is nothing/],
  ['a write request without a key', () => writeFromWire(writeToWire({ ...WRITE, key: '' })), /^write\.key is ""/],
  ['a write request without a stamp', () => writeFromWire(writeToWire({ ...WRITE, stamp: '' })), /^stamp is ""/],
  ['an operation that does not exist', effect('lpush', {}), /^effect\.op is "lpush", not an operation/],
  ['an effect with a version that is none', effect('del', { version: STAMP }), /^effect\.version is/],
  ['an increment that is no integer', effect('incr', { delta: '1.5' }), /^effect\.delta is "1\.5", not a 64-bit integer/],
  ['an increment over 64 bits', effect('hincr', { delta: '9223372036854775808' }), /not a 64-bit integer/],
  ['an increment of a score that is no number', effect('zincr', { delta: '' }), /^effect\.delta is "", not a finite number/],
  ['a score that is no number', effect('zadd', { score: Number.NaN }), /^effect\.score is NaN/],
  ['a cap of nothing', effect('timeline', { cap: 0 }), /^effect\.cap is 0/],
  ['a type that does not exist', state({ type: 'list' }), /^type is "list", not one of none, string, /],
  [
    'two registers of one name',
    state({ registers: [0, 0].map(() => ({ name: 'a', version: VERSION, value: undefined })) }),
    /^registers\[1\]/,
  ],
  [
    'an increment by nothing',
    state({ increments: [{ name: 'a', version: VERSION, delta: undefined }] }),
    /^increments\[0\]\.delta is nothing/,
  ],
  ['a digest that is none', repair(PUSH, { expected: 'x' }), /^expected is "x", not a digest/],
  ['a bound that is none', repair(PUSH, { upTo: 'x' }), /^up_to is "x"/],
  ['a repair of nothing', repair(RESEND, { effects: [] }), /^effects is \[\], not a state or effects/],
  ['a repair in both ways', repair(PUSH, { effects: repairToWire(RESEND).effects }), /not empty where there is a state/],
  ['a state of another key', repair(PUSH, { key: 'other' }), /^state\.key is "k", not of the key "other"/],
  ['effects on another key', repair(RESEND, { key: 'other' }), /^effects is "键", not of the key "other"/],
];

describe('garbage is refused, and the place and the fault are named', () => {
  for (const [what, read, message] of GARBAGE) test(what, () => assert.throws(read, { code: 'PEER_GARBAGE', message }));
});
