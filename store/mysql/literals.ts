/** Values and names as they stand in SQL that this folder writes itself. What users write goes through prepared statements instead. */
import type { Parameter } from '../statement-checks.ts';

// The connection's sql_mode leaves the backslash an escape character, and its character set is utf8mb4 (session.ts).
// biome-ignore lint/suspicious/noControlCharactersInRegex: exactly these must be escaped.
const ESCAPED = /[\0\n\r\x1a'\\]/g;
const ESCAPES: Readonly<Record<string, string>> = { '\0': '\\0', '\n': '\\n', '\r': '\\r', '\x1a': '\\Z', "'": "\\'", '\\': '\\\\' };

export function literal(value: Parameter): string {
  if (typeof value === 'string') return text(value);
  if (value === null) return 'NULL';
  if (value instanceof Uint8Array) return `X'${Buffer.from(value.buffer, value.byteOffset, value.byteLength).toString('hex')}'`;
  return String(value);
}

export function text(value: string): string {
  ESCAPED.lastIndex = 0;
  return `'${ESCAPED.test(value) ? value.replace(ESCAPED, (found) => ESCAPES[found] ?? found) : value}'`;
}

/** `name` as an SQL identifier. */
export function quoted(name: string): string {
  return `\`${name.replaceAll('`', '``')}\``;
}
