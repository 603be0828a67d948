/**
 * The body of `POST /v1/writes`: one JSON object, a JSON array of them, or one a line (NDJSON). Which one it is is seen from the body
 * itself, because curl calls everything a form unless told otherwise.
 */
import { asWmbError, WmbError } from '../../core/errors.ts';
import { parseWriteJson, writeFromJson } from '../../core/write-json.ts';
import type { IncomingWrite } from './call.ts';

/** A write request of the body, or why it is none. */
export type ParsedWrite = IncomingWrite | { readonly requestId: string; readonly error: WmbError };

/**
 * The write requests of a body. `trace` is for those without a trace context of their own. WRITE_INVALID where the body as a whole
 * holds no write request; what is wrong in one line or item is that one's error.
 */
export function parseBody(body: Buffer, lines: boolean, trace: string): ParsedWrite[] {
  if (body.length === 0) throw new WmbError('WRITE_INVALID', 'the body is empty; send a JSON object, an array of them, or one a line');
  const whole = lines ? undefined : tryJson(body);
  if (whole !== undefined && !(whole instanceof WmbError)) {
    if (Array.isArray(whole)) return whole.map((item, i) => fromJson(item, `item ${i + 1}`, trace));
    return [fromJson(whole, 'body', trace)];
  }
  const parsed = parseLines(body, trace);
  if (whole instanceof WmbError && parsed.every((write) => 'error' in write && write.requestId === '')) {
    throw new WmbError('WRITE_INVALID', `the body is neither JSON nor one JSON object a line: ${whole.message}`);
  }
  return parsed;
}

function parseLines(body: Buffer, trace: string): ParsedWrite[] {
  const parsed: ParsedWrite[] = [];
  let line = 0;
  for (let start = 0; start < body.length; ) {
    const newline = body.indexOf(0x0a, start);
    const end = newline === -1 ? body.length : newline;
    const bytes = body.subarray(start, end);
    start = end + 1;
    line += 1;
    if (isBlank(bytes)) continue;
    const value = tryJson(bytes);
    parsed.push(
      value instanceof WmbError ? { requestId: '', error: named(value, `line ${line}`) } : fromJson(value, `line ${line}`, trace),
    );
  }
  return parsed;
}

function fromJson(value: unknown, where: string, trace: string): ParsedWrite {
  try {
    const write = writeFromJson(value);
    return write.trace === '' ? { ...write, trace } : write;
  } catch (error) {
    return { requestId: requestIdOf(value), error: named(asWmbError(error, 'WRITE_INVALID'), where) };
  }
}

/** Of what is no write request: so that the caller knows which one was meant. */
function requestIdOf(value: unknown): string {
  if (typeof value !== 'object' || value === null || !('requestId' in value)) return '';
  return typeof value.requestId === 'string' ? value.requestId : '';
}

/** The value, or WRITE_INVALID. Numbers keep their spelling where a double would change them. */
function tryJson(bytes: Buffer): unknown {
  try {
    return parseWriteJson(new TextDecoder('utf-8', { fatal: true }).decode(bytes));
  } catch (cause) {
    return cause instanceof WmbError ? cause : new WmbError('WRITE_INVALID', 'is not valid UTF-8');
  }
}

function isBlank(bytes: Buffer): boolean {
  return bytes.every((byte) => byte === 0x20 || byte === 0x09 || byte === 0x0d);
}

function named(error: WmbError, where: string): WmbError {
  return new WmbError(error.code, `${where}: ${error.message}`);
}
