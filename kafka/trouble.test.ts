import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isTooOld, protocolError } from './library.ts';
import { troubleOf } from './trouble.ts';

test('a broker that does not know the newest request that is sent is too old, and one that says nothing of it', () => {
  assert.equal(isTooOld({ versions: { 1: { maxVersion: 11 } } }), false);
  assert.equal(isTooOld({ versions: { 1: { maxVersion: 10 } } }), true);
  assert.equal(isTooOld({ versions: {} }), true);
  const { kind, text } = troubleOf(protocolError(35));
  assert.deepEqual([kind, text], ['unfit', 'is older than 2.4; upgrade it (UNSUPPORTED_VERSION)']);
});

test('what passes is told from what does not, by Kafka’s names, also inside of other errors', () => {
  const kindOf = (code: number) => troubleOf(new Error('around it', { cause: protocolError(code) })).kind;
  assert.deepEqual([1, 3, 6, 7, 10, 19, 29, 58].map(kindOf), ['beyond', 'missing', 'away', 'away', 'unfit', 'away', 'denied', 'denied']);
  // One that is not in the table is judged by what the library says of it.
  assert.deepEqual([13, 42].map(kindOf), ['away', 'unfit']);
});

test('what is no answer of Kafka’s is a way that is not there, with what was said', () => {
  assert.deepEqual(troubleOf(new Error('connect ECONNREFUSED')), {
    kind: 'away',
    type: '',
    text: 'cannot be reached or does not answer (connect ECONNREFUSED)',
  });
  assert.match(troubleOf(new Error('self signed certificate')).text, /not signed by an authority of tls\.caFile/);
});
