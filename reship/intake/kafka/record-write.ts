/**
 * From a record of a topic to a write request. It is the record's own where it is one that this room takes; otherwise it is one of WMB's own that tells which record
 * was refused and why (core/refused-record.ts), so that it is kept, parked and seen, and the records behind it go on.
 *
 * The same record always gives the same write request: where it brings no request id it gets one made of its place, so that a record that is delivered again is the
 * same request in every room. Its time is part of it: a topic that was deleted and made anew begins at offset 0 again.
 */
import { createHash } from 'node:crypto';
import type { TopicConfig } from '../../../core/config/types.ts';
import { asWmbError, type ErrorCode, WmbError } from '../../../core/errors.ts';
import { encodeRefusedRecord, REFUSED_RECORD_KIND } from '../../../core/refused-record.ts';
import { parseWriteJson, writeFromJson } from '../../../core/write-json.ts';
import type { SourceRecord } from '../../../kafka/source-records.ts';
import { WriteRequest } from '../../../proto/gen/wmb/v1/writes.ts';
import type { IncomingWrite } from '../call.ts';
import { checkWrite, KEY_BYTES_MAX, type WriteRules } from '../validate.ts';

/** A refused record's value up to here is kept with it; a larger one is in its topic only. */
const KEPT_BYTES_MAX = 64 * 1024;
/** Names of topics up to here stand in request ids as they are. */
const NAME_CHARACTERS_MAX = 64;
/** So much larger than its payload a write request may be in its topic (escapes, white space): what is larger is not even parsed. */
const VALUE_FACTOR = 6;
const VALUE_MARGIN_BYTES = 64 * 1024;

export interface RecordSource {
  readonly config: Pick<TopicConfig, 'topic' | 'format' | 'kind'>;
  readonly partition: number;
  readonly rules: WriteRules;
}

/** A write request that has been checked. */
export interface RecordWrite {
  readonly offset: number;
  readonly write: IncomingWrite;
  /** Undefined where the record is a write request. */
  readonly refused: ErrorCode | undefined;
}

export function writeOf(record: SourceRecord, source: RecordSource): RecordWrite {
  const { offset } = record;
  let write: IncomingWrite | undefined;
  try {
    write = complete(parse(record, source), record, source);
    const error = checkWrite(write, source.rules);
    if (error !== undefined) throw error;
    return { offset, write, refused: undefined };
  } catch (cause) {
    const error = asWmbError(cause, 'WRITE_INVALID');
    return { offset, write: refusal(record, source, { error, key: write?.key }), refused: error.code };
  }
}

function parse({ value }: SourceRecord, { config, rules }: RecordSource): IncomingWrite {
  const { format } = config;
  if (format === 'payload') return { requestId: '', kind: '', key: '', payload: value ?? new Uint8Array(0), trace: '' };
  if (value === undefined) throw new WmbError('WRITE_INVALID', 'it has no value');
  const bytesMax = VALUE_FACTOR * rules.payloadBytesMax + VALUE_MARGIN_BYTES;
  if (value.length > bytesMax) {
    const reason = `its value has ${value.length} bytes; ${rules.payloadBytesMax} is the most for a payload (limits.payloadBytesMax of the topology)`;
    throw new WmbError('WRITE_TOO_LARGE', reason);
  }
  return format === 'json' ? writeFromJson(parseWriteJson(textOf(value, 'its value'))) : fromProtobuf(value);
}

function fromProtobuf(value: Uint8Array): IncomingWrite {
  try {
    const { requestId, kind, key, payload, traceparent } = WriteRequest.decode(value);
    return { requestId, kind, key, payload, trace: traceparent };
  } catch (cause) {
    throw new WmbError('WRITE_INVALID', `it is no protobuf message wmb.v1.WriteRequest: ${(cause as Error).message}`);
  }
}

/** What the write request does not say itself, its record says. */
function complete(write: IncomingWrite, record: SourceRecord, source: RecordSource): IncomingWrite {
  return {
    requestId: write.requestId === '' ? recordId(record, source) : write.requestId,
    kind: write.kind === '' ? source.config.kind : write.kind,
    key: write.key === '' && record.key !== undefined ? textOf(record.key, 'its key') : write.key,
    payload: write.payload,
    trace: write.trace,
  };
}

function recordId({ offset, timestampMs }: SourceRecord, { config, partition }: RecordSource): string {
  const { topic } = config;
  const digest = () => createHash('sha256').update(topic).digest('hex').slice(0, 24);
  const name = topic.length <= NAME_CHARACTERS_MAX ? topic : `${topic.slice(0, NAME_CHARACTERS_MAX - 25)}~${digest()}`;
  return `kafka/${name}/${partition}/${offset}/${timestampMs}`;
}

function refusal(
  record: SourceRecord,
  source: RecordSource,
  why: { readonly error: WmbError; readonly key: string | undefined },
): IncomingWrite {
  const { config, partition } = source;
  const { offset, key, value } = record;
  const payload = encodeRefusedRecord({
    topic: config.topic,
    partition,
    offset,
    code: why.error.code,
    reason: why.error.message,
    valueBytes: value?.length ?? 0,
    ...(key !== undefined && key.length <= KEPT_BYTES_MAX ? { keyBase64: key.toString('base64') } : {}),
    ...(value !== undefined && value.length <= KEPT_BYTES_MAX ? { valueBase64: value.toString('base64') } : {}),
  });
  return { requestId: recordId(record, source), kind: REFUSED_RECORD_KIND, key: keyOfRefused(record, source, why.key), payload, trace: '' };
}

/** Later write requests of its key wait behind it, as behind everything that is parked. One without a usable key holds up nobody. */
function keyOfRefused({ key, offset }: SourceRecord, { config, partition }: RecordSource, known: string | undefined): string {
  if (known !== undefined && isKey(known)) return known;
  const own = key?.toString();
  if (own !== undefined && isKey(own) && Buffer.from(own).equals(key ?? Buffer.alloc(0))) return own;
  return `${REFUSED_RECORD_KIND}/${config.topic}/${partition}/${offset}`;
}

function isKey(text: string): boolean {
  return text !== '' && text.isWellFormed() && Buffer.byteLength(text) <= KEY_BYTES_MAX;
}

function textOf(bytes: Uint8Array, what: string): string {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch {
    throw new WmbError('WRITE_INVALID', `${what} is not UTF-8`);
  }
}
