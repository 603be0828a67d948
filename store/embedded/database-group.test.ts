import assert from 'node:assert/strict';
import { afterEach, test } from 'node:test';
import { changesOf, EPOCH, LANE, opened, removeDirectories, rowsOf, sql, stamp, type TestDatabase } from './database-kit.ts';

const open: TestDatabase[] = [];
afterEach(async () => {
  for (const { store } of open.splice(0)) await store.close();
  removeDirectories();
});

/** One write request on lane `partition` that moves its mark from `expected` to `next`. */
function batch(partition: number, { expected = -1, next = 0, text = 'INSERT INTO plain (id) VALUES (?)' } = {}) {
  const lane = { ...LANE, partition };
  const write = { requestId: `r${partition}`, stamp: stamp(partition), seq: next, index: 0, statements: [sql(text, partition)] };
  return { lane, moves: [{ ...lane, epoch: EPOCH, expected, next }], writes: [write] };
}

async function master(): Promise<TestDatabase> {
  const made = await opened({ role: 'master', schema: 'CREATE TABLE IF NOT EXISTS plain (id INTEGER PRIMARY KEY)' });
  open.push(made);
  return made;
}

test('batches that come together share one commit and one frame of changes', async () => {
  const made = await master();
  const results = await Promise.all([1, 2, 3].map((partition) => made.store.execute(batch(partition))));
  assert.ok(results.every((result) => result.moved));
  assert.equal((await changesOf(made)).length, 1);
  assert.equal((await rowsOf(made.store, 'plain')).length, 3);
});

test('a batch whose mark is not the expected one changes nothing, and the others that came with it are committed', async () => {
  const made = await master();
  const [good, stale, other] = await Promise.all([
    made.store.execute(batch(1)),
    made.store.execute(batch(2, { expected: 7, next: 8 })),
    made.store.execute(batch(3)),
  ]);
  assert.deepEqual([good.moved, stale.moved, other.moved], [true, false, true]);
  assert.deepEqual(await rowsOf(made.store, 'plain'), [{ id: 1 }, { id: 3 }]);
});

test('a statement that rolls everything back is refused alone, in whichever batch of the group it is', async () => {
  const made = await master();
  await made.store.execute(batch(9));
  const [first, second] = await Promise.all([
    made.store.execute(batch(1)),
    made.store.execute(batch(2, { text: 'INSERT OR ROLLBACK INTO plain (id) SELECT 9 WHERE ? = 2' })),
  ]);
  assert.ok(first.moved && second.moved);
  assert.equal(first.outcomes[0]?.status, 'committed');
  assert.equal(second.outcomes[0]?.status, 'refused');
  assert.deepEqual(await rowsOf(made.store, 'plain'), [{ id: 1 }, { id: 9 }]);
});
