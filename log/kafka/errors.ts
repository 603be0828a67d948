/** What a failure of Kafka means for a log. */
import { WmbError } from '../../core/errors.ts';
import { type Trouble, troubleOf } from '../../kafka/trouble.ts';

const CODES = {
  away: 'LOG_UNAVAILABLE',
  missing: 'LOG_UNAVAILABLE',
  denied: 'LOG_DENIED',
  unfit: 'LOG_UNFIT',
  beyond: 'LOG_GAP',
} as const;

/** `doing` says what failed: “the topic wmb.log.beijing.writes cannot be read”. */
export function kafkaError(cause: unknown, place: string, doing: string): WmbError {
  if (cause instanceof WmbError) return cause;
  return toldError(troubleOf(cause), { place, doing, cause });
}

export function toldError(
  { kind, text }: Trouble,
  { place, doing, cause }: { readonly place: string; readonly doing: string; readonly cause?: unknown },
): WmbError {
  return new WmbError(CODES[kind], `${doing}: ${place} ${text}`, { cause });
}

/** Whether the same may succeed in a moment. */
export function isPassing({ kind }: Trouble): boolean {
  return kind === 'away' || kind === 'missing';
}
