/**
 * What processes of a room say to each other, as those that append to one log or have its shares: a list of records that all of them read in the same order, each its own among those of the others. Kafka is what puts
 * them in order; nobody has to agree with anybody.
 */
import { WmbError } from '../core/errors.ts';

export interface Heard {
  /** One more than that of the record before. Where it is greater, what was said between the two is forgotten. */
  readonly at: number;
  readonly value: Uint8Array;
}

export interface Talk {
  /** Durable when it resolves. After a failure it may have been said all the same. LOG_UNAVAILABLE, LOG_DENIED. */
  say(value: Uint8Array): Promise<void>;
  /** What was said behind `after` (-1: everything that is kept), and what will be, a list at a time; it is empty where nothing was for a while. Throws as `say`. */
  hear(after: number, over: AbortSignal): AsyncIterable<readonly Heard[]>;
  /** What was said before `at` may go. */
  forget(at: number): Promise<void>;
  close(): void;
}

/** What is said, as JSON. `format`: of the words of those who talk. */
export function encodeWord(format: number, word: object): Uint8Array {
  return Buffer.from(JSON.stringify({ format, ...word }));
}

/** Undefined where a stranger said it. LOG_FOREIGN where a newer WMB did: what that one says must not be passed over. `who` talks: “reship”. */
export function decodeWord<Word extends object>(format: number, value: Uint8Array, who: string): Word | undefined {
  let parsed: (Word & { readonly format: number }) | undefined;
  try {
    parsed = JSON.parse(Buffer.from(value).toString('utf8'));
  } catch {
    return undefined;
  }
  if (typeof parsed?.format !== 'number') return undefined;
  if (parsed.format === format) return parsed;
  throw new WmbError(
    'LOG_FOREIGN',
    `a ${who} of this room says to the others what is of format ${parsed.format}, and this one knows format ${format}; run the same WMB in all of them`,
  );
}
