/** A failure as one clear line for people: code, message, remedy. No stack: that is for the log. */
import { ERRORS, type WmbError } from '../core/errors.ts';

/** `PORT_IN_USE: 127.0.0.1:7101 is taken — Stop the other program or choose another address.` */
export function errorLine(error: WmbError): string {
  const message = error.message.trim();
  // A message of several lines (all errors of a configuration file) is a list that already says what to do.
  if (message.includes('\n')) return `${error.code}: ${message}`;
  return `${error.code}: ${message} — ${ERRORS[error.code].remedy}`;
}
