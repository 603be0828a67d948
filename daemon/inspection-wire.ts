/**
 * Between the words that checkers and collectors use among themselves and the messages of proto/wmb/v1/inspection.proto. What comes off the wire is looked
 * through here: what goes on is what it says it is, or PEER_GARBAGE names the place and the fault.
 *
 * One thing passes as it is: the versions and numbers inside a key's state. A store that was damaged may hold any, and showing that is the checker's task.
 */
import type { Effect, KeyType } from '../core/converge/effects.ts';
import type { Mending } from '../core/converge/mend.ts';
import { compareText } from '../core/converge/order.ts';
import type { IncrementState, KeyState, RegisterState } from '../core/converge/state.ts';
import type { DerivedWrite, FrameReceipts, Horizon, LanePlace, ReceiptDetail, SeqRange } from '../core/inspection.ts';
import { NOTHING_SEEN, type Outcome, type Seq, type StampedWrite } from '../core/words.ts';
import type * as wire from '../proto/gen/wmb/v1/inspection.ts';
import { Outcome as WireOutcome } from '../proto/gen/wmb/v1/writes.ts';
import {
  asCount,
  ascending,
  asDigest,
  asEpoch,
  asOneOf,
  asPartition,
  asRoom,
  asSeq,
  asStamp,
  asStampOrNone,
  asVersion,
  garbage,
} from './wire-checks.ts';

const KEY_TYPES: readonly (KeyType | 'none')[] = ['none', 'string', 'hash', 'set', 'zset', 'timeline'];
/** Of texts for people. */
const TEXT_MAX = 1_024;

// Lanes and receipts.

export function rangeToWire({ lane, from, to }: SeqRange): wire.SeqRange {
  return { origin: lane.origin, partition: lane.partition, epoch: lane.epoch, from, to };
}

export function rangeFromWire(range: wire.SeqRange): SeqRange {
  const { origin, partition, epoch, from, to } = range;
  asSeq(from, 'from');
  if (!(Number.isSafeInteger(to) && to >= from)) throw garbage('to', to, `a seq not below from, ${from}`);
  const lane = { log: 'writes', origin: asRoom(origin, 'origin'), partition: asPartition(partition, 'partition') } as const;
  return { lane: { ...lane, epoch: asEpoch(epoch, 'epoch') }, from, to };
}

export function horizonToWire({ nowMs, lanes }: Horizon): wire.HorizonResponse {
  return {
    nowMs,
    lanes: lanes.map(({ origin, partition, epoch, mark, seen, state, reason, lagWrites, databaseSeq }) => ({
      origin,
      partition,
      epoch,
      mark,
      seen,
      state,
      reason: reason.slice(0, TEXT_MAX),
      lagWrites,
      databaseSeq,
    })),
  };
}

export function horizonFromWire({ nowMs, lanes }: wire.HorizonResponse): Horizon {
  if (!(nowMs > 0)) throw garbage('now_ms', nowMs, 'a wall clock in milliseconds');
  const seen = new Set<string>();
  const places = lanes.map((lane, at): LanePlace => {
    const where = `lanes[${at}]`;
    const name = `${lane.origin}/${lane.partition}`;
    if (seen.has(name)) throw garbage(where, name, 'a lane that was not named before');
    seen.add(name);
    return laneFromWire(lane, where);
  });
  return { nowMs, lanes: places };
}

function laneFromWire(lane: wire.LanePlace, where: string): LanePlace {
  const { origin, partition, epoch, mark, seen, state, reason, lagWrites, databaseSeq } = lane;
  const seqOf = (value: Seq, field: string) => (value === NOTHING_SEEN ? value : asSeq(value, `${where}.${field}`));
  return {
    log: 'writes',
    origin: asRoom(origin, `${where}.origin`),
    partition: asPartition(partition, `${where}.partition`),
    epoch: epoch === '' && mark === NOTHING_SEEN ? epoch : asEpoch(epoch, `${where}.epoch`),
    mark: seqOf(mark, 'mark'),
    seen: asStampOrNone(seen, `${where}.seen`),
    state: state.slice(0, TEXT_MAX),
    reason: reason.slice(0, TEXT_MAX),
    lagWrites,
    ...(databaseSeq === undefined ? {} : { databaseSeq: seqOf(databaseSeq, 'databaseSeq') }),
  };
}

const OUTCOMES: Readonly<Record<Outcome, WireOutcome>> = {
  applied: WireOutcome.OUTCOME_APPLIED,
  superseded: WireOutcome.OUTCOME_SUPERSEDED,
  duplicate: WireOutcome.OUTCOME_DUPLICATE,
  parked: WireOutcome.OUTCOME_PARKED,
  rejected: WireOutcome.OUTCOME_REJECTED,
};
const OUTCOME_WORDS = new Map<number, Outcome>(Object.entries(OUTCOMES).map(([word, number]) => [number, word as Outcome]));

export function receiptsToWire(frames: readonly FrameReceipts[]): wire.FrameReceipts[] {
  return frames.map(({ exceptions, ...frame }) => ({
    ...frame,
    exceptions: exceptions.map(exceptionToWire),
  }));
}

/** A word that is no outcome was written by hand: the others must not be lost with it. */
function exceptionToWire(it: ReceiptDetail): wire.ReceiptDetail {
  const outcome: WireOutcome | undefined = OUTCOMES[it.outcome];
  return outcome === undefined
    ? { ...it, outcome: WireOutcome.OUTCOME_REJECTED, code: `no outcome: ${String(it.outcome)}` }
    : { ...it, outcome };
}

export function receiptsFromWire(frames: readonly wire.FrameReceipts[]): FrameReceipts[] {
  ascending(frames, 'frames', (a, b) => a.seq - b.seq);
  return frames.map((frame, at): FrameReceipts => {
    const where = `frames[${at}]`;
    const { seq, count, stampFirst, stampLast, appliedMs } = frame;
    ascending(frame.exceptions, `${where}.exceptions`, (a, b) => a.index - b.index);
    return {
      seq: asSeq(seq, `${where}.seq`),
      count: asCount(count, `${where}.count`),
      stampFirst: asStampOrNone(stampFirst, `${where}.stamp_first`),
      stampLast: asStampOrNone(stampLast, `${where}.stamp_last`),
      appliedMs,
      exceptions: frame.exceptions.map((it, place) => detailFromWire(it, count, `${where}.exceptions[${place}]`)),
    };
  });
}

function detailFromWire(detail: wire.ReceiptDetail, count: number, where: string): ReceiptDetail {
  const { index, requestId, code, parkedMs, attempts } = detail;
  if (index >= count) throw garbage(`${where}.index`, index, `a place in a frame of ${count}`);
  const outcome = OUTCOME_WORDS.get(detail.outcome);
  if (outcome === undefined || outcome === 'applied') throw garbage(`${where}.outcome`, detail.outcome, 'an outcome other than applied');
  return { index, requestId, outcome, code, parkedMs, attempts };
}

// Write requests and what becomes of them.

export function writeToWire({ requestId, kind, key, payload, trace, stamp }: StampedWrite): wire.StampedWrite {
  const bytes = Buffer.isBuffer(payload) ? payload : Buffer.from(payload.buffer, payload.byteOffset, payload.byteLength);
  return { write: { requestId, kind, key, payload: bytes, traceparent: trace }, stamp };
}

export function writeFromWire({ write, stamp }: wire.StampedWrite): StampedWrite {
  if (write === undefined) throw garbage('write', undefined, 'a write request');
  const { requestId, kind, key, payload, traceparent } = write;
  for (const [name, text] of [
    ['request_id', requestId],
    ['kind', kind],
    ['key', key],
  ])
    if (text === '') throw garbage(`write.${name}`, text, 'a text');
  return { requestId, kind, key, payload, trace: traceparent, stamp: asStamp(stamp, 'stamp') };
}

export function derivedToWire({ stamp, effects, error }: DerivedWrite): wire.DerivedWrite {
  return { stamp, error: effects === undefined && error === '' ? 'it failed' : error, effects: (effects ?? []).map(effectToWire) };
}

export function derivedFromWire({ stamp, error, effects }: wire.DerivedWrite): DerivedWrite {
  return { stamp: asStamp(stamp, 'stamp'), effects: error === '' ? effects.map(effectFromWire) : undefined, error };
}

const NO_EFFECT: wire.CacheEffect = { op: '', key: '', version: '', name: '', value: '', score: 0, delta: '', cap: 0, expireAtMs: 0 };

export function effectToWire(effect: Effect): wire.CacheEffect {
  const { op, key, version } = effect;
  const common = { ...NO_EFFECT, op, key, version };
  switch (op) {
    case 'set':
      return { ...common, value: effect.value, expireAtMs: effect.expireAtMs };
    case 'del':
      return common;
    case 'expire':
      return { ...common, expireAtMs: effect.expireAtMs };
    case 'hset':
      return { ...common, name: effect.field, value: effect.value };
    case 'hdel':
      return { ...common, name: effect.field };
    case 'sadd':
    case 'srem':
    case 'zrem':
      return { ...common, name: effect.member };
    case 'zadd':
      return { ...common, name: effect.member, score: effect.score };
    case 'incr':
      return { ...common, delta: effect.delta };
    case 'hincr':
      return { ...common, name: effect.field, delta: effect.delta };
    case 'zincr':
      return { ...common, name: effect.member, delta: String(effect.delta) };
    case 'timeline':
      return { ...common, name: effect.member, cap: effect.cap };
  }
}

export function effectFromWire(effect: wire.CacheEffect): Effect {
  const { key, name, value, expireAtMs } = effect;
  const on = { key, version: asVersion(effect.version, 'effect.version') };
  switch (effect.op) {
    case 'set':
      return { op: 'set', ...on, value, expireAtMs };
    case 'del':
      return { op: 'del', ...on };
    case 'expire':
      return { op: 'expire', ...on, expireAtMs };
    case 'hset':
      return { op: 'hset', ...on, field: name, value };
    case 'hdel':
      return { op: 'hdel', ...on, field: name };
    case 'sadd':
    case 'srem':
    case 'zrem':
      return { op: effect.op, ...on, member: name };
    case 'zadd':
      return { op: 'zadd', ...on, member: name, score: asScore(effect.score) };
    case 'incr':
      return { op: 'incr', ...on, delta: asInteger(effect.delta) };
    case 'hincr':
      return { op: 'hincr', ...on, field: name, delta: asInteger(effect.delta) };
    case 'zincr':
      return { op: 'zincr', ...on, member: name, delta: asDouble(effect.delta) };
    case 'timeline':
      if (effect.cap < 1) throw garbage('effect.cap', effect.cap, 'a cap from 1');
      return { op: 'timeline', ...on, member: name, cap: effect.cap };
    default:
      throw garbage('effect.op', effect.op, 'an operation of a cache');
  }
}

function asScore(score: number): number {
  if (Number.isNaN(score)) throw garbage('effect.score', score, 'a score');
  return score;
}

function asInteger(delta: string): string {
  if (!/^-?\d{1,19}$/.test(delta) || BigInt.asIntN(64, BigInt(delta)) !== BigInt(delta))
    throw garbage('effect.delta', delta, 'a 64-bit integer');
  return delta;
}

function asDouble(delta: string): number {
  const value = delta.trim() === '' ? Number.NaN : Number(delta);
  if (!Number.isFinite(value)) throw garbage('effect.delta', delta, 'a finite number');
  return value;
}

// States of keys and their repairs.

export function stateToWire(state: KeyState): wire.KeyState {
  const { key, type, kill, expireAtMs, caps, registers, increments, expiries } = state;
  return {
    key,
    type,
    kill,
    expireAtMs: whole(expireAtMs),
    caps: caps.map(({ version, cap }) => ({ version, cap: whole(cap) })),
    registers: registers.map(({ name, version, value }) => ({ name, version, value: registerToWire(value) })),
    increments: increments.map(({ name, version, delta }) => ({
      name,
      version,
      delta: typeof delta === 'string' ? { $case: 'integer', value: delta } : { $case: 'number', value: delta },
    })),
    expiries: expiries.map(({ version, atMs }) => ({ version, atMs: whole(atMs) })),
  };
}

function registerToWire(value: RegisterState['value']): wire.RegisterState['value'] {
  if (value === null) return undefined;
  return typeof value === 'string' ? { $case: 'text', value } : { $case: 'number', value };
}

/** What a damaged store holds in the place of a time or a number of members comes as nothing. */
function whole(value: number): number {
  return Number.isSafeInteger(value) && value >= 0 ? value : 0;
}

export function stateFromWire(state: wire.KeyState): KeyState {
  const { key, type, kill, expireAtMs, caps, expiries } = state;
  ascending(state.registers, 'registers', (a, b) => compareText(a.name, b.name));
  ascending(state.increments, 'increments', (a, b) => compareText(a.name, b.name) || compareText(a.version, b.version));
  return {
    key,
    type: asOneOf(KEY_TYPES, type, 'type'),
    kill,
    expireAtMs,
    caps: caps.map(({ version, cap }) => ({ version, cap })),
    registers: state.registers.map(({ name, version, value }): RegisterState => ({ name, version, value: value?.value ?? null })),
    increments: state.increments.map(({ name, version, delta }, at): IncrementState => {
      if (delta === undefined) throw garbage(`increments[${at}].delta`, undefined, 'an integer or a number');
      return { name, version, delta: delta.value };
    }),
    expiries: expiries.map(({ version, atMs }) => ({ version, atMs })),
  };
}

/** As CacheRepair of store/inspection.ts. */
export function repairToWire(repair: Mending): wire.KeyRepair {
  const { key, expected, seen } = repair;
  if (repair.action === 'resend') return { key, expected, seen, upTo: '', effects: repair.effects.map(effectToWire) };
  return { key, expected, seen, state: stateToWire(repair.state), upTo: repair.upTo, effects: [] };
}

/** Both of a repair's ways are for its one key only. */
export function repairFromWire(repair: wire.KeyRepair): Mending {
  const { key, state, effects } = repair;
  const common = { key, expected: asDigest(repair.expected, 'expected'), seen: asPassed(repair.seen, 'seen') };
  const other = state === undefined ? effects.find((effect) => effect.key !== key)?.key : state.key === key ? undefined : state.key;
  if (other !== undefined) throw garbage(state === undefined ? 'effects' : 'state.key', other, `of the key ${JSON.stringify(key)}`);
  if (state === undefined) {
    if (effects.length === 0) throw garbage('effects', effects, 'a state or effects');
    return { ...common, action: 'resend', effects: effects.map(effectFromWire) };
  }
  if (effects.length > 0) throw garbage('effects', effects, 'empty where there is a state');
  return { ...common, action: 'push', state: stateFromWire(state), upTo: asPassed(repair.upTo, 'up_to') };
}

/** How far a room has come: a stamp, a version, or nothing. */
function asPassed(text: string, where: string): string {
  return text.length === 28 ? asVersion(text, where) : asStampOrNone(text, where);
}
