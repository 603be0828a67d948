/**
 * The log of a daemon, on stderr: JSON lines for machines, one readable line per event where a person looks on (a terminal).
 * Secrets never reach it, even when somebody logs a whole object by mistake.
 */
import { pino, stdTimeFunctions } from 'pino';
import type { LogFields, Logger } from '../core/logger.ts';
import { formatLogLine } from './log-line.ts';

export interface LoggerOptions {
  /** Which daemon speaks: `reship`, `collector`, … */
  readonly name: string;
  readonly level: 'debug' | 'info' | 'warn' | 'error';
  /** Fields of every line, such as the room. */
  readonly fields?: LogFields;
  /** Default: process.stderr. */
  readonly output?: { readonly isTTY?: boolean; write(text: string): unknown };
}

/** Names under which a secret, or a user's data, might be logged: at the top of a line, or one or two levels down. */
const SECRET_FIELDS = ['secret', 'password', 'token', 'authorization', 'proof', 'payload'];
const REDACTED_PATHS = SECRET_FIELDS.flatMap((field) => [field, `*.${field}`, `*.*.${field}`]);

export function createLogger({ name, level, fields = {}, output = process.stderr }: LoggerOptions): Logger {
  const write = output.isTTY ? (line: string) => output.write(`${formatLogLine(line.trimEnd())}\n`) : (line: string) => output.write(line);
  return pino(
    {
      level,
      base: { name, ...fields },
      timestamp: stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label }) },
      redact: { paths: REDACTED_PATHS, censor: '[redacted]' },
    },
    { write },
  );
}
