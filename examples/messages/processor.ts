/**
 * The messages example: what a private message does to the caches and to the database. README.md explains it line by line.
 *
 * An application outside this repository writes `import { defineProcessor } from 'wmb';`.
 */
import { defineProcessor, type ProcessorInput, type ProcessorOutput } from '../../collector/process/processor.ts';

/** An inbox shows this many messages. */
const INBOX_CAP = 50;

interface Message {
  /** Numbers of users. */
  readonly from: number;
  readonly to: number;
  /** Seconds since 1970. */
  readonly at: number;
}

export const processor = defineProcessor({ message });

function message(write: ProcessorInput): ProcessorOutput {
  const { from, to, at } = readMessage(write);
  return {
    cache: [
      ['HINCRBY', `unread:${to}`, from, 1],
      ['HSET', `last-contact:${from}`, to, at],
      ['HSET', `last-contact:${to}`, from, at],
      ['SADD', `contacts:${from}`, to],
      ['SADD', `contacts:${to}`, from],
      ['WMB.TIMELINE', `inbox:${to}`, INBOX_CAP, write.requestId],
    ],
    database: [{ op: 'upsert', table: 'messages', key: { id: write.requestId }, values: { sender: from, recipient: to, sent_at: at } }],
  };
}

/** The payload, checked. Whatever it throws goes into the parking lot as the reason. */
function readMessage(write: ProcessorInput): Message {
  const payload = parse(write);
  if (typeof payload !== 'object' || payload === null || Array.isArray(payload))
    throw new Error('a message is an object like {"from":1,"to":2,"at":1082040961}');
  const { from, to, at } = payload as Record<string, unknown>;
  const found: Message = { from: user('from', from), to: user('to', to), at: seconds(at) };
  if (found.from === found.to) throw new Error(`user ${found.from} writes to themselves: from and to must differ`);
  return found;
}

function parse(write: ProcessorInput): unknown {
  try {
    return write.json();
  } catch (cause) {
    throw new Error('the payload of a message is not JSON', { cause });
  }
}

function user(field: string, value: unknown): number {
  if (typeof value === 'number' && Number.isSafeInteger(value) && value > 0) return value;
  throw new Error(`${field} must be the number of a user (1 or more), not ${JSON.stringify(value)}`);
}

function seconds(value: unknown): number {
  if (typeof value === 'number' && Number.isSafeInteger(value) && value >= 0) return value;
  throw new Error(`at must be whole seconds since 1970, not ${JSON.stringify(value)}`);
}
