/** A log line (JSON) as people read it: `17:04:05.123 warn  collector link stopped  origin=beijing reason="LOG_GAP …"`. */

const LEVELS: Readonly<Record<string, string>> = { debug: 'debug', info: 'info ', warn: 'warn ', error: 'ERROR' };
/** Fields with a place of their own in the line, or of no use to a person at a terminal. */
const PLACED = new Set(['level', 'time', 'name', 'msg', 'err']);

/** The line for people; text that is no log line comes back as it is. No line break at the end. */
export function formatLogLine(line: string): string {
  const entry = parseEntry(line);
  if (entry === undefined) return line;
  const fields = Object.entries(entry).flatMap(([key, value]) => (PLACED.has(key) ? [] : [`${key}=${formatField(value)}`]));
  const time = typeof entry.time === 'string' ? entry.time.slice(11, 23) : '';
  const level = LEVELS[String(entry.level)] ?? String(entry.level);
  const head = [time, level, String(entry.name ?? ''), String(entry.msg ?? '')].join(' ');
  const text = fields.length === 0 ? head : `${head}  ${fields.join(' ')}`;
  const stack = stackOf(entry.err);
  return stack === undefined ? text : `${text}\n${stack}`;
}

function parseEntry(line: string): Record<string, unknown> | undefined {
  if (!line.startsWith('{')) return undefined;
  try {
    const entry = JSON.parse(line) as Record<string, unknown>;
    return typeof entry.level === 'string' ? entry : undefined;
  } catch {
    return undefined;
  }
}

function formatField(value: unknown): string {
  if (typeof value === 'string' && /^[^\s"=]+$/.test(value)) return value;
  return JSON.stringify(value);
}

function stackOf(error: unknown): string | undefined {
  if (typeof error !== 'object' || error === null) return undefined;
  const { stack, message } = error as { stack?: unknown; message?: unknown };
  if (typeof stack === 'string') return stack;
  return typeof message === 'string' ? message : undefined;
}
