/** What intake checks of a write request before it gives it a stamp: after the ack it is too late to refuse. */
import { CANARY_KEY_PREFIX, CANARY_KIND } from '../../core/canary.ts';
import type { Topology } from '../../core/config/types.ts';
import { parseCachePayload, validateCommands } from '../../core/converge/commands.ts';
import { asWmbError, WmbError } from '../../core/errors.ts';
import type { Runtime } from '../../core/runtime.ts';
import type { IncomingWrite } from './call.ts';

export const REQUEST_ID_BYTES_MAX = 128;
export const KEY_BYTES_MAX = 512;
/** Kinds that begin so are WMB's own; the checker's canaries are the only ones that come in here. */
const RESERVED_KIND = 'wmb.';
const CACHE_KIND = 'cache';
const TRACEPARENT = /^[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}(-[\x21-\x7e]{1,64})?$/;

export interface WriteRules {
  /** Of the topology; `cache` and the checker's canaries are always known. */
  readonly kinds: ReadonlySet<string>;
  readonly payloadBytesMax: number;
}

export function writeRules({ kinds, limits }: Topology): WriteRules {
  return { kinds: new Set(Object.keys(kinds)), payloadBytesMax: limits.payloadBytesMax };
}

/** Why `write` cannot be taken, naming the field; undefined where it can. */
export function checkWrite(write: IncomingWrite, rules: WriteRules): WmbError | undefined {
  return (
    checkText('requestId', write.requestId, 0, REQUEST_ID_BYTES_MAX) ??
    checkKind(write.kind, rules.kinds) ??
    checkText('key', write.key, 1, KEY_BYTES_MAX) ??
    checkTrace(write.trace) ??
    checkPayload(write, rules.payloadBytesMax)
  );
}

export function isTraceparent(text: string): boolean {
  return TRACEPARENT.test(text);
}

/** A request id where the application gave none: a UUID of version 7, ordered by time. */
export function makeRequestId(runtime: Runtime): string {
  const bytes = Buffer.concat([Buffer.alloc(6), runtime.bytes(10)]);
  bytes.writeUIntBE(Math.floor(runtime.nowMs()), 0, 6);
  bytes[6] = 0x70 | ((bytes[6] ?? 0) & 0x0f);
  bytes[8] = 0x80 | ((bytes[8] ?? 0) & 0x3f);
  const hex = bytes.toString('hex');
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-${hex.slice(12, 16)}-${hex.slice(16, 20)}-${hex.slice(20)}`;
}

function checkText(field: string, text: string, bytesMin: number, bytesMax: number): WmbError | undefined {
  if (text.length < bytesMin) return new WmbError('WRITE_INVALID', `${field} is empty; it must have 1 to ${bytesMax} bytes`);
  // No character takes more than 3 bytes per UTF-16 unit: most texts need not be measured.
  if (text.length * 3 > bytesMax) {
    const bytes = Buffer.byteLength(text);
    if (bytes > bytesMax) return new WmbError('WRITE_TOO_LARGE', `${field} has ${bytes} bytes; ${bytesMax} is the most`);
  }
  if (!text.isWellFormed()) return new WmbError('WRITE_INVALID', `${field} is not valid Unicode: it has half of a surrogate pair`);
  return undefined;
}

function checkKind(kind: string, kinds: ReadonlySet<string>): WmbError | undefined {
  if (kind === CACHE_KIND || kind === CANARY_KIND || (kinds.has(kind) && !kind.startsWith(RESERVED_KIND))) return undefined;
  if (kind === '') return new WmbError('WRITE_INVALID', 'kind is empty; it must be a kind of the topology, or `cache`');
  const shown = JSON.stringify(kind.slice(0, 64));
  if (kind.startsWith(RESERVED_KIND))
    return new WmbError('KIND_UNKNOWN', `kind ${shown}: kinds that begin with ${RESERVED_KIND} are reserved for WMB itself`);
  const known = [...new Set([CACHE_KIND, ...kinds])].slice(0, 20).join(', ');
  return new WmbError('KIND_UNKNOWN', `kind ${shown} is not in the topology; it has: ${known}`);
}

function checkTrace(trace: string): WmbError | undefined {
  if (trace === '' || isTraceparent(trace)) return undefined;
  return new WmbError('WRITE_INVALID', 'traceparent is not a W3C trace context (00-<32 hex>-<16 hex>-<2 hex>); correct it or leave it out');
}

function checkPayload(write: IncomingWrite, payloadBytesMax: number): WmbError | undefined {
  if (write.payload.length > payloadBytesMax) {
    const message = `payload has ${write.payload.length} bytes; ${payloadBytesMax} is the most (limits.payloadBytesMax of the topology)`;
    return new WmbError('WRITE_TOO_LARGE', message);
  }
  if (write.kind === CANARY_KIND) return checkCanary(write);
  if (write.kind !== CACHE_KIND) return undefined;
  try {
    validateCommands(parseCachePayload(write.payload));
    return undefined;
  } catch (cause) {
    return asWmbError(cause);
  }
}

/** So that nothing which an application wants to be done is taken for one. */
function checkCanary({ key, payload }: IncomingWrite): WmbError | undefined {
  if (payload.length === 0 && key.startsWith(CANARY_KEY_PREFIX)) return undefined;
  const shown = `key ${JSON.stringify(key.slice(0, 64))} and ${payload.length} bytes of payload`;
  return new WmbError(
    'WRITE_INVALID',
    `kind ${CANARY_KIND} is the checker's: its key begins with ${CANARY_KEY_PREFIX} and its payload is empty; this one has the ${shown}`,
  );
}
