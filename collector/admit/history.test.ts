import assert from 'node:assert/strict';
import { test } from 'node:test';
import { EPOCH, incr, TestLog, TestRoom } from './testing.ts';

const lane = { log: 'writes', origin: 'guangzhou', partition: 0, epoch: EPOCH } as const;

async function receipts(room: TestRoom): Promise<string[]> {
  return (await room.book.exceptions(lane, 0, 1_000)).map(
    (it) => `${it.seq}.${it.index} ${it.outcome}${it.code === '' ? '' : ` ${it.code}`}`,
  );
}

test('a canary takes a place in the duplicate window as any write request does, alike in a room that has just begun', async () => {
  const canary = (id: string) => ({ id, kind: 'wmb.canary', key: 'wmb.canary/0', payload: '' });
  const log = new TestLog()
    .add(incr('n', { id: 'x' }))
    .add(canary('c1'))
    .add(canary('c2'));
  const [ran, begun] = [await new TestRoom({ windowWrites: 3 }).open(), await new TestRoom({ windowWrites: 3 }).open()];
  for (const room of [ran, begun]) await room.run(log);
  begun.restart();
  log.add(incr('n', { id: 'x' }));
  for (const room of [ran, begun]) await room.run(log);
  begun.restart();
  log
    .add(canary('c3'))
    .add(canary('c4'))
    .add(canary('c5'))
    .add(incr('n', { id: 'x' }));
  for (const room of [ran, begun]) await room.run(log);
  for (const room of [ran, begun]) {
    assert.deepEqual(await receipts(room), ['3.0 duplicate']);
    assert.equal(room.cache.value('n'), '2', 'beyond the window it is a write request of its own');
  }
});
