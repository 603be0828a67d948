import assert from 'node:assert/strict';
import { test } from 'node:test';
import { REFUSED_RECORD_KIND, type RefusedRecord, tellRefusedRecord } from '../../../core/refused-record.ts';
import type { SourceRecord } from '../../../kafka/source-records.ts';
import { WriteRequest } from '../../../proto/gen/wmb/v1/writes.ts';
import { topology } from '../testing.ts';
import { writeRules } from '../validate.ts';
import { type RecordSource, writeOf } from './record-write.ts';

const rules = writeRules(topology);

function source(fields: Partial<RecordSource['config']> = {}): RecordSource {
  return { config: { topic: 'app.writes', format: 'json', kind: '', ...fields }, partition: 3, rules };
}

function record(fields: { readonly key?: string | Buffer; readonly value?: string | Uint8Array; readonly offset?: number }): SourceRecord {
  const { key, value, offset = 42 } = fields;
  return {
    offset,
    timestampMs: 1_700_000_000_000,
    key: key === undefined ? undefined : Buffer.from(key),
    value: value === undefined ? undefined : Buffer.from(value),
  };
}

function refusedOf(made: ReturnType<typeof writeOf>): RefusedRecord {
  assert.equal(made.write.kind, REFUSED_RECORD_KIND);
  return JSON.parse(Buffer.from(made.write.payload).toString()) as RefusedRecord;
}

test('a record that says everything is the write request that HTTP would take', () => {
  const value = '{"requestId":"r-1","kind":"message","key":"user:7","payload":[1]}';
  const { write, refused } = writeOf(record({ key: 'other', value }), source());
  assert.equal(refused, undefined);
  assert.deepEqual(write, { requestId: 'r-1', kind: 'message', key: 'user:7', payload: Buffer.from('[1]'), trace: '' });
});

test('what a write request leaves out is its record’s: key, kind of the topic, and an id that is the same whenever it is delivered', () => {
  const { write } = writeOf(record({ key: 'user:7', value: '{"payload":1}' }), source({ kind: 'message' }));
  assert.deepEqual([write.key, write.kind, write.requestId], ['user:7', 'message', 'kafka/app.writes/3/42/1700000000000']);
  const long = writeOf(record({ key: 'k', value: '{}' }), source({ topic: 'x'.repeat(249), kind: 'message' })).write.requestId;
  assert.ok(long.length <= 128, long);
  assert.notEqual(
    long,
    writeOf(record({ key: 'k', value: '{}' }), source({ topic: `${'x'.repeat(248)}y`, kind: 'message' })).write.requestId,
  );
});

test('protobuf, and values that are payloads as they are', () => {
  const message = { requestId: 'r', kind: 'message', key: 'k', payload: Buffer.from('p'), traceparent: '' };
  const { write } = writeOf(record({ value: WriteRequest.encode(message).finish() }), source({ format: 'protobuf' }));
  assert.deepEqual([write.requestId, write.key, Buffer.from(write.payload).toString()], ['r', 'k', 'p']);
  const bare = writeOf(record({ key: 'k', value: 'anything' }), source({ format: 'payload', kind: 'message' })).write;
  assert.deepEqual([bare.kind, Buffer.from(bare.payload).toString()], ['message', 'anything']);
  const deleted = writeOf(record({ key: 'k' }), source({ format: 'payload', kind: 'message' }));
  assert.deepEqual([deleted.refused, deleted.write.payload.length], [undefined, 0]);
});

const BAD: readonly (readonly [what: string, record: SourceRecord, code: string, reason: RegExp, format?: 'protobuf'])[] = [
  ['half a JSON', record({ key: 'k', value: '{"pay' }), 'WRITE_INVALID', /is not JSON/],
  ['no value', record({ key: 'k' }), 'WRITE_INVALID', /has no value/],
  ['bytes that are no text', record({ key: 'k', value: Buffer.from([0xff, 0xfe]) }), 'WRITE_INVALID', /its value is not UTF-8/],
  ['a key that is no text', record({ key: Buffer.from([0xff]), value: '{"kind":"message"}' }), 'WRITE_INVALID', /its key is not UTF-8/],
  ['no key', record({ value: '{"kind":"message"}' }), 'WRITE_INVALID', /key is empty/],
  ['an unknown kind', record({ key: 'k', value: '{"kind":"mesage"}' }), 'KIND_UNKNOWN', /mesage/],
  ['a kind of WMB’s own', record({ key: 'k', value: `{"kind":"${REFUSED_RECORD_KIND}"}` }), 'KIND_UNKNOWN', /reserved/],
  [
    'a payload over the limit',
    record({ key: 'k', value: `{"kind":"message","payload":"${'x'.repeat(5_000)}"}` }),
    'WRITE_TOO_LARGE',
    /4096 is the most/,
  ],
  ['a value that is not even parsed', record({ key: 'k', value: 'x'.repeat(100_000) }), 'WRITE_TOO_LARGE', /its value has 100000 bytes/],
  ['no protobuf', record({ key: 'k', value: Buffer.from([0x0a, 0x7f, 0x01]) }), 'WRITE_INVALID', /no protobuf message/, 'protobuf'],
];

for (const [what, bad, code, reason, format = 'json'] of BAD) {
  test(`${what}: the record becomes one that tells where it is and why it was refused`, () => {
    const made = writeOf(bad, source({ format }));
    assert.equal(made.refused, code);
    const told = refusedOf(made);
    assert.deepEqual([told.topic, told.partition, told.offset, told.code], ['app.writes', 3, 42, code]);
    assert.match(told.reason, reason);
    assert.equal(told.valueBytes, bad.value?.length ?? 0);
    assert.equal(told.valueBase64, (bad.value?.length ?? 0) > 65_536 ? undefined : bad.value?.toString('base64'));
    assert.match(tellRefusedRecord(made.write.payload), /offset 42 of partition 3 of the topic app.writes/);
  });
}

test('a refused record keeps its key, so that later ones of it wait; one without a usable key holds up nobody', () => {
  assert.equal(writeOf(record({ key: 'user:7', value: '{' }), source()).write.key, 'user:7');
  assert.equal(writeOf(record({ key: 'x', value: '{"key":"user:8","kind":"no"}' }), source()).write.key, 'user:8');
  for (const key of [undefined, '', Buffer.from([0xff]), 'x'.repeat(513)]) {
    const bad = record({ value: '{', ...(key === undefined ? {} : { key }) });
    assert.equal(writeOf(bad, source()).write.key, `${REFUSED_RECORD_KIND}/app.writes/3/42`);
  }
});
