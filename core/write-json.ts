/** A write request as JSON: `{"requestId","kind","key","payload" or "payloadBase64","traceparent"}`. Everybody who takes JSON takes this. */
import { nearestName } from './config/nearest.ts';
import { WmbError } from './errors.ts';
import type { WriteRequest } from './words.ts';

type Fields = Readonly<Record<string, unknown>>;

const FIELDS = ['requestId', 'kind', 'key', 'payload', 'payloadBase64', 'traceparent'];
const NO_PAYLOAD = new Uint8Array(0);
/** Numbers that may not survive being read as doubles. */
const DELICATE_NUMBER = /[0-9.]{16}|[eE][+-]?[0-9]{3}/;

/** JSON with numbers kept as they are spelled where a double would change them. WRITE_INVALID where it is none. */
export function parseWriteJson(source: string): unknown {
  try {
    return DELICATE_NUMBER.test(source) ? (JSON.parse(source, keepNumber) as unknown) : (JSON.parse(source) as unknown);
  } catch (cause) {
    throw invalid(`is not JSON: ${(cause as Error).message}`);
  }
}

/** The write request that a JSON value is; missing texts are empty. WRITE_INVALID with what is wrong. */
export function writeFromJson(value: unknown): WriteRequest {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw invalid('must be a JSON object');
  const fields = value as Fields;
  for (const name of Object.keys(fields)) if (!FIELDS.includes(name)) throw unknownField(name);
  return {
    requestId: text(fields, 'requestId'),
    kind: text(fields, 'kind'),
    key: text(fields, 'key'),
    payload: payloadOf(fields),
    trace: text(fields, 'traceparent'),
  };
}

function text(fields: Fields, name: string): string {
  const value = fields[name];
  if (value === undefined) return '';
  if (typeof value !== 'string') throw invalid(`${name} must be a string`);
  return value;
}

/** `payload` is any JSON value and stands for its encoding; `payloadBase64` is bytes. */
function payloadOf(fields: Fields): Uint8Array {
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

/** Of ECMAScript's "JSON.parse source text access", which TypeScript's library does not know yet. */
const { rawJSON } = JSON as unknown as { rawJSON(source: string): unknown };

function keepNumber(this: unknown, _name: string, value: unknown, context?: { readonly source?: string }): unknown {
  if (typeof value !== 'number' || context?.source === undefined || String(value) === context.source) return value;
  return rawJSON(context.source);
}

function unknownField(name: string): WmbError {
  const shown = JSON.stringify(name.slice(0, 64));
  const near = nearestName(name, FIELDS);
  return invalid(
    `has the unknown field ${shown}${near === undefined ? '; it' : `: did you mean ${near}? It`} may have ${FIELDS.join(', ')}`,
  );
}

function invalid(message: string): WmbError {
  return new WmbError('WRITE_INVALID', message);
}
