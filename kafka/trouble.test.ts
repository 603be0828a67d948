import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isTooOld, protocolError } from './library.ts';
import { errorWithout, needing, RIGHTS } from './rights.ts';
import { type Trouble, troubleOf } from './trouble.ts';

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
  // A defect of the broker, which another one may not have.
  assert.equal(kindOf(-1), 'away');
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

test('which right is missing is told by what was asked, and on which topic where that is known', async () => {
  for (const right of RIGHTS) {
    const told = troubleOf(new Error('around it', { cause: protocolError(errorWithout(right, 29)) }));
    assert.deepEqual([told.kind, told.type], ['denied', 'TOPIC_AUTHORIZATION_FAILED']);
    assert.match(told.text, new RegExp(`grant it ${right} on the topic \\(TOPIC_AUTHORIZATION_FAILED\\)`));
  }
  const named = await needing('CREATE', 'wmb.log.x', Promise.reject(protocolError(29))).catch(troubleOf);
  assert.match((named as Trouble).text, /grant it CREATE on the topic wmb\.log\.x/);
  const nameless = await needing('WRITE', 'wmb.log.x', Promise.reject(protocolError(31))).catch(troubleOf);
  assert.match(
    (nameless as Trouble).text,
    /grant it WRITE on wmb\.log\.x, .*IDEMPOTENT_WRITE on the cluster \(CLUSTER_AUTHORIZATION_FAILED\)/,
  );
});

test('what is no missing right stays what it is', async () => {
  assert.equal(errorWithout('READ', 3), 3);
  assert.equal(errorWithout('READ', 0), 0);
  const away = await needing('READ', 'x', Promise.reject(protocolError(6))).catch(troubleOf);
  assert.doesNotMatch((away as Trouble).text, /grant/);
});

test('removing records fails with an error for each partition; the first one is told', async () => {
  const refused = Object.assign(new Error('deleting records failed'), {
    partitions: [{ partition: 0, error: protocolError(29), offset: '7' }],
  });
  const { kind, text } = (await needing('DELETE', 'wmb.log.x', Promise.reject(refused)).catch(troubleOf)) as Trouble;
  assert.equal(kind, 'denied');
  assert.match(text, /grant it DELETE on the topic wmb\.log\.x/);
});
