import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { formatNote, parseNote } from './note.ts';

const EPOCH = '0123456789abcdef';
/** `offset.metadata.max.bytes` of a Kafka that nobody has changed. */
const KAFKA_BYTES_MAX = 4_096;

test('a note says how far and from where; one without a place says that nothing lies beyond', () => {
  assert.equal(formatNote({ ahead: 17, place: undefined }), '1,17');
  assert.deepEqual(parseNote('1,17'), { ahead: 17, place: undefined });
  const note = { ahead: 20_000, place: { epoch: EPOCH, seqs: [0, 127, 128, 5_000_000_000] } };
  assert.deepEqual(parseNote(formatNote(note)), note);
});

test('what others note, or nobody, is no note', () => {
  for (const text of ['', 'kafka-consumer-groups', '2,17', '1,x', '1,17,short,0,AA', `1,17,${EPOCH},x,AA`])
    assert.equal(parseNote(text), undefined, text);
});

test('however many partitions the log has and however far it is, the note fits, and points no further than the truth', () => {
  const seqs = fc.array(fc.integer({ min: 0, max: 2 ** 45 }), { minLength: 1, maxLength: 1_024 });
  fc.assert(
    fc.property(seqs, (places) => {
      const text = formatNote({ ahead: Number.MAX_SAFE_INTEGER, place: { epoch: EPOCH, seqs: places } });
      assert.ok(text.length < KAFKA_BYTES_MAX, `${text.length}`);
      const read = parseNote(text)?.place?.seqs ?? [];
      assert.equal(read.length, places.length);
      for (const [partition, seq] of read.entries()) assert.ok(seq <= (places[partition] ?? -1));
    }),
  );
});

test('with as many partitions as rooms have, no seq is rounded', () => {
  const seqs = Array.from({ length: 256 }, (_, partition) => 10_000_000_000 + partition);
  assert.deepEqual(parseNote(formatNote({ ahead: 1, place: { epoch: EPOCH, seqs } }))?.place?.seqs, seqs);
});
