/** Records of intake topics that are no write requests: every room parks them, in any topology, and they go when they are discarded. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { encodeRefusedRecord, REFUSED_RECORD_KIND } from '../../core/refused-record.ts';
import { set, TestLog, TestRoom } from './testing.ts';

const PAYLOAD = encodeRefusedRecord({
  topic: 'app.writes',
  partition: 3,
  offset: 42,
  code: 'WRITE_INVALID',
  reason: 'is not JSON',
  valueBytes: 5,
  valueBase64: 'eyJwYXk=',
});
const refused = (key: string) => ({ kind: REFUSED_RECORD_KIND, key, payload: JSON.parse(Buffer.from(PAYLOAD).toString()) as object });

for (const mode of ['independent', 'master-slave'] as const) {
  test(`a room of a topology ${mode} parks it with its place and reason, and with it only what follows of its key`, async () => {
    const room = await new TestRoom({ mode }).open();
    await room.run(new TestLog().add(set('a', '0'), refused('a'), set('a', '1'), set('b', '1')));
    assert.deepEqual([room.cache.value('a'), room.cache.value('b')], ['0', '1']);
    const { parking } = room.applier;
    const [head, behind] = await parking.list('', 10);
    assert.deepEqual([head?.code, behind?.code], ['RECORD_REFUSED', 'BEHIND_PARKED']);
    assert.match(
      head?.message ?? '',
      /offset 42 of partition 3 of the topic app\.writes is no write request \(WRITE_INVALID: is not JSON\)/,
    );
    const retried = await parking.retry({ writes: [], all: true });
    assert.equal(retried.outcomes[0]?.code, 'RECORD_REFUSED');
    await parking.discard({ writes: [head?.write.requestId ?? ''], all: false });
    assert.equal(room.cache.value('a'), '1');
    assert.equal(room.book.parkedTotal(), 0);
  });
}
