/**
 * Between the messages of link/link.ts and those of proto/wmb/v1/link.proto. What a peer sends is checked here: what comes out is of
 * the link protocol, or PEER_GARBAGE is thrown.
 */
import { ERRORS, type ErrorCode, WmbError } from '../core/errors.ts';
import { isStamp, NO_STAMP } from '../core/stamp.ts';
import { LOG_NAMES, type LogName, OUTCOMES, type Outcome } from '../core/words.ts';
import type * as wire from '../proto/gen/wmb/v1/link.ts';
import type { Downward, Hello, LaneEnd, LinkFrame, LogOffer, ReceiptException, Upward, Welcome } from './link.ts';

export function upwardToWire(message: Upward): wire.SessionUp {
  switch (message.type) {
    case 'resume':
      return { message: { $case: 'resume', value: message } };
    case 'credit':
      return { message: { $case: 'credit', value: message } };
    case 'halt':
      return { message: { $case: 'halt', value: message } };
    case 'ack':
      return acksToWire([message]);
    case 'observed':
      return { message: { $case: 'observed', value: message.stamp } };
    case 'appended':
      return { message: { $case: 'appended', value: message } };
  }
}

export type AckMessage = Extract<Upward, { type: 'ack' }>;

/** Acks that are said together are one message: what a message costs is far more than what an ack takes in it. */
export function acksToWire(acks: readonly AckMessage[]): wire.SessionUp {
  const values = acks.map((ack) => ({ ...ack, exceptions: [...ack.exceptions] }));
  return { message: { $case: 'acks', value: { acks: values } } };
}

/** Acks come together. */
export function upwardsFromWire(up: wire.SessionUp): readonly Upward[] {
  return up.message?.$case === 'acks' ? up.message.value.acks.map(ack) : [upwardFromWire(up)];
}

function upwardFromWire(up: wire.SessionUp): Upward {
  const message = up.message;
  switch (message?.$case) {
    case 'resume':
      return { ...message.value, ...lane(message.value), type: 'resume' };
    case 'credit':
      return { ...message.value, ...lane(message.value), type: 'credit' };
    case 'halt':
      return { ...lane(message.value), type: 'halt' };
    case 'observed':
      return { type: 'observed', stamp: stamp(message.value) };
    case 'appended':
      return { ...lane(message.value), type: 'appended' };
    default:
      throw garbage(`it sent ${message?.$case ?? 'an unknown message'} in the middle of a session`);
  }
}

export function helloToWire(hello: Hello): wire.SessionUp {
  return { message: { $case: 'hello', value: hello } };
}

export function helloFromWire(up: wire.SessionUp): Hello {
  if (up.message?.$case !== 'hello') throw garbage(`its first message is ${up.message?.$case ?? 'unknown'}, not hello`);
  const { share, ...hello } = up.message.value;
  return share === undefined ? hello : { ...hello, share };
}

export function welcomeToWire(welcome: Welcome, sessionId: string): wire.SessionDown {
  return { message: { $case: 'welcome', value: { ...welcome, logs: [...welcome.logs], sessionId } } };
}

/** The peer's welcome; throws its refusal where it sent one instead. */
export function welcomeFromWire(down: wire.SessionDown): { readonly welcome: Welcome; readonly sessionId: string } {
  const message = down.message;
  if (message?.$case === 'error') throw errorFromWire(message.value);
  if (message?.$case !== 'welcome') throw garbage(`it answered a hello with ${message?.$case ?? 'an unknown message'}, not welcome`);
  const { sessionId, logs, ...rest } = message.value;
  return { welcome: { ...rest, logs: logs.map(offer) }, sessionId };
}

export function downwardToWire(message: Downward): wire.SessionDown {
  switch (message.type) {
    case 'resumed':
      return { message: { $case: 'resumed', value: message } };
    case 'gap':
      return { message: { $case: 'gap', value: message } };
    case 'pulse':
      return { message: { $case: 'pulse', value: { ...message, ends: [...message.ends] } } };
  }
}

/** Throws the reason where the peer ends the session. */
export function downwardFromWire(down: wire.SessionDown): Downward {
  const message = down.message;
  switch (message?.$case) {
    case 'resumed':
      return { ...message.value, ...lane(message.value), type: 'resumed' };
    case 'gap':
      return {
        ...message.value,
        ...lane(message.value),
        type: 'gap',
        code: message.value.code === 'LOG_CORRUPT' ? 'LOG_CORRUPT' : 'LOG_GAP',
      };
    case 'pulse':
      return { type: 'pulse', sentMs: message.value.sentMs, floor: stamp(message.value.floor), ends: message.value.ends.map(laneEnd) };
    case 'error':
      throw errorFromWire(message.value);
    default:
      throw garbage(`it sent ${message?.$case ?? 'an unknown message'} in the middle of a session`);
  }
}

export function errorToWire(error: WmbError): wire.SessionDown {
  return { message: { $case: 'error', value: { code: error.code, message: error.message } } };
}

/** The frames as they are: their bytes are not looked into. */
export function framesToWire(frames: readonly LinkFrame[]): wire.FrameBatch {
  return {
    frames: frames.map(({ log, partition, seq, history, bytes }) => ({ log, partition, seq, history, frame: asBuffer(bytes) })),
  };
}

export function framesFromWire(batch: wire.FrameBatch): LinkFrame[] {
  return batch.frames.map(({ log, partition, seq, history, frame }) => ({ log: logName(log), partition, seq, history, bytes: frame }));
}

export function garbage(what: string, cause?: unknown): WmbError {
  return new WmbError('PEER_GARBAGE', `the peer does not speak the link protocol: ${what}`, { cause });
}

function errorFromWire(error: wire.LinkError): WmbError {
  const code = Object.hasOwn(ERRORS, error.code) ? (error.code as ErrorCode) : 'INTERNAL';
  return new WmbError(code, code === error.code ? error.message : `${error.code}: ${error.message}`);
}

function ack({ databaseSeq, ...value }: wire.Ack): AckMessage {
  const message = { ...value, ...lane(value), type: 'ack' as const, exceptions: value.exceptions.map(exception) };
  return databaseSeq === undefined ? message : { ...message, databaseSeq };
}

function offer(value: wire.LogOffer): LogOffer {
  return { ...value, log: logName(value.log) };
}

function laneEnd(end: wire.LaneEnd): LaneEnd {
  return { ...end, ...lane(end), stamp: stamp(end.stamp) };
}

function exception(value: wire.ReceiptException): ReceiptException {
  if (!OUTCOMES.includes(value.outcome as Outcome)) throw garbage(`it named an outcome ${JSON.stringify(value.outcome)}`);
  return { ...value, outcome: value.outcome as Outcome };
}

function lane(value: { readonly log: string; readonly partition: number }): { readonly log: LogName; readonly partition: number } {
  return { log: logName(value.log), partition: value.partition };
}

function logName(text: string): LogName {
  if (!LOG_NAMES.includes(text as LogName)) throw garbage(`it named a log ${JSON.stringify(text)}`);
  return text as LogName;
}

function stamp(text: string): string {
  if (text !== NO_STAMP && !isStamp(text)) throw garbage(`it sent ${JSON.stringify(text)} for a stamp`);
  return text;
}

function asBuffer(bytes: Uint8Array): Buffer {
  return Buffer.isBuffer(bytes) ? bytes : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}
