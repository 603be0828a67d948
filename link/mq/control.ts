/**
 * The records of the topics `up` and `down`: a proof, which is an HMAC-SHA-256 with the link secret over the rest, and a message of proto/wmb/v1/link.proto. Whoever
 * can write to the peer's Kafka without the secret can say nothing here. What he repeats was said before: the marks of old acks only keep more in the log, and
 * a request for frames that are there already changes nothing.
 */
import { createHmac, timingSafeEqual } from 'node:crypto';
import { WmbError } from '../../core/errors.ts';
import { InboxDown, InboxUp } from '../../proto/gen/wmb/v1/link.ts';

const VERSION = 1;
const PROOF_BYTES = 32;
const HEADER_BYTES = 1 + PROOF_BYTES;

type Direction = 'up' | 'down';

export function encodeUp(message: InboxUp, secret: string): Buffer {
  return seal('up', InboxUp.encode(message).finish(), secret);
}

export function encodeDown(message: InboxDown, secret: string): Buffer {
  return seal('down', InboxDown.encode(message).finish(), secret);
}

/** IDENTITY_REFUSED, or PEER_GARBAGE where it is no such record. */
export function decodeUp(value: Buffer, secret: string): InboxUp {
  return decoded(() => InboxUp.decode(unseal('up', value, secret)));
}

/** IDENTITY_REFUSED, or PEER_GARBAGE where it is no such record. */
export function decodeDown(value: Buffer, secret: string): InboxDown {
  return decoded(() => InboxDown.decode(unseal('down', value, secret)));
}

function seal(direction: Direction, body: Uint8Array, secret: string): Buffer {
  return Buffer.concat([Buffer.of(VERSION), proofOf(direction, body, secret), body]);
}

function unseal(direction: Direction, value: Buffer, secret: string): Buffer {
  if (value.length < HEADER_BYTES || value[0] !== VERSION)
    throw new WmbError('PEER_GARBAGE', `a record of the topic ${direction} is not WMB’s`);
  const body = value.subarray(HEADER_BYTES);
  if (timingSafeEqual(proofOf(direction, body, secret), value.subarray(1, HEADER_BYTES))) return body;
  throw new WmbError('IDENTITY_REFUSED', `the proof of a record of the topic ${direction} does not match: the link secrets differ`);
}

function proofOf(direction: Direction, body: Uint8Array, secret: string): Buffer {
  return createHmac('sha256', secret).update(`wmb-inbox-${direction}\n`).update(body).digest();
}

function decoded<T>(decode: () => T): T {
  try {
    return decode();
  } catch (cause) {
    if (cause instanceof WmbError) throw cause;
    throw new WmbError('PEER_GARBAGE', 'a record of a control topic cannot be read', { cause });
  }
}
