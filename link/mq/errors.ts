/** What a failure of Kafka means for a link over mq. */
import { WmbError } from '../../core/errors.ts';
import { troubleOf } from '../../kafka/trouble.ts';

const CODES = {
  away: 'INBOX_UNAVAILABLE',
  missing: 'INBOX_UNPREPARED',
  denied: 'INBOX_DENIED',
  unfit: 'INBOX_UNFIT',
  beyond: 'INBOX_UNAVAILABLE',
} as const;

/** `doing` says what failed: “the topic wmb.inbox.beijing.writes cannot be read”. */
export function inboxError(cause: unknown, place: string, doing: string): WmbError {
  if (cause instanceof WmbError) return cause;
  const { kind, text } = troubleOf(cause);
  return new WmbError(CODES[kind], `${doing}: ${place} ${text}`, { cause });
}
