/**
 * The body of `POST /v1/writes`: one JSON object, a JSON array of them, or one a line (NDJSON). Which one it is is seen from the body
 * itself, because curl calls everything a form unless told otherwise.
 */
import { nearestName } from '../../core/config/nearest.ts';
import { asWmbError, WmbError } from '../../core/errors.ts';
import type { IncomingWrite } from './call.ts';

/** A write request of the body, or why it is none. */
export type ParsedWrite = IncomingWrite | { readonly requestId: string; readonly error: WmbError };

const FIELDS = ['requestId', 'kind', 'key', 'payload', 'payloadBase64', 'traceparent'];
const NO_PAYLOAD = new Uint8Array(0);
/** Numbers that may not survive being read as doubles. */
const DELICATE_NUMBER = /[0-9.]{16}|[eE][+-]?[0-9]{3}/;

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
  const fields =
    typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Readonly<Record<string, unknown>>) : undefined;
  const requestId = typeof fields?.requestId === 'string' ? fields.requestId : '';
  try {
    if (fields === undefined) throw invalid('must be a JSON object');
    for (const name of Object.keys(fields)) if (!FIELDS.includes(name)) throw unknownField(name);
    const traceparent = text(fields, 'traceparent');
    return {
      requestId: text(fields, 'requestId'),
      kind: text(fields, 'kind'),
      key: text(fields, 'key'),
      payload: payloadOf(fields),
      trace: traceparent === '' ? trace : traceparent,
    };
  } catch (error) {
    return { requestId, error: named(asWmbError(error, 'WRITE_INVALID'), where) };
  }
}

function text(fields: Readonly<Record<string, unknown>>, name: string): string {
  const value = fields[name];
  if (value === undefined) return '';
  if (typeof value !== 'string') throw invalid(`${name} must be a string`);
  return value;
}

/** `payload` is any JSON value and stands for its encoding; `payloadBase64` is bytes. */
function payloadOf(fields: Readonly<Record<string, unknown>>): Uint8Array {
  const { payload, payloadBase64 } = fields;
  if (payload !== undefined && payloadBase64 !== undefined) throw invalid('has both payload and payloadBase64; send one');
  if (payload !== undefined) return Buffer.from(JSON.stringify(payload));
  if (payloadBase64 === undefined) return NO_PAYLOAD;
  if (typeof payloadBase64 !== 'string' || !isBase64(payloadBase64)) throw invalid('payloadBase64 is not base64');
  return Buffer.from(payloadBase64, 'base64');
}

function isBase64(value: string): boolean {
  return /^[A-Za-z0-9+/_-]*={0,2}$/.test(value) && value.replace(/=+$/, '').length % 4 !== 1;
}

/** The value, or WRITE_INVALID. Numbers keep their spelling where a double would change them. */
function tryJson(bytes: Buffer): unknown {
  try {
    const source = new TextDecoder('utf-8', { fatal: true }).decode(bytes);
    return DELICATE_NUMBER.test(source) ? (JSON.parse(source, keepNumber) as unknown) : (JSON.parse(source) as unknown);
  } catch (cause) {
    return invalid(cause instanceof TypeError ? 'is not valid UTF-8' : `is not JSON: ${(cause as Error).message}`);
  }
}

/** Of ECMAScript's "JSON.parse source text access", which TypeScript's library does not know yet. */
const { rawJSON } = JSON as unknown as { rawJSON(source: string): unknown };

function keepNumber(this: unknown, _name: string, value: unknown, context?: { readonly source?: string }): unknown {
  if (typeof value !== 'number' || context?.source === undefined || String(value) === context.source) return value;
  return rawJSON(context.source);
}

function isBlank(bytes: Buffer): boolean {
  return bytes.every((byte) => byte === 0x20 || byte === 0x09 || byte === 0x0d);
}

function unknownField(name: string): WmbError {
  const shown = JSON.stringify(name.slice(0, 64));
  const near = nearestName(name, FIELDS);
  return invalid(`has the unknown field ${shown}${near === undefined ? '' : `: did you mean ${near}?`} It may have ${FIELDS.join(', ')}`);
}

function invalid(message: string): WmbError {
  return new WmbError('WRITE_INVALID', message);
}

function named(error: WmbError, where: string): WmbError {
  return new WmbError(error.code, `${where}: ${error.message}`);
}
