/** What a cache store must do when its data come back from an older copy, or are emptied, while it is open. */
import assert from 'node:assert/strict';
import { BUCKETS } from '../core/converge/bucket.ts';
import { WmbError } from '../core/errors.ts';
import { apply, type Each, marksOf, move, NOW, stamp, sweep, value, write } from './cache-kit.ts';

const FLOOR = stamp(5_000);
const isMarkMoved = (error: unknown) => error instanceof WmbError && error.code === 'MARK_MOVED';

export function restoreContract(each: Each): void {
  refusing(each);
  goingOn(each);
}

function refusing(each: Each): void {
  each('begins a new generation, with the marks that it brought back', async ({ store, copy }) => {
    await apply(store, [], { moves: [move(0, -1, 4)] });
    const putBack = await copy();
    await apply(store, [write(1_000, ['SET', 'k', 'v'])], { moves: [move(0, 4, 7)] });
    const before = await store.marks();
    await putBack();
    const after = await store.marks();
    assert.ok(after.generation > before.generation);
    assert.deepEqual(
      after.marks.map(({ seq }) => seq),
      [4],
    );
    assert.equal(await value(store, 'k'), undefined);
    assert.deepEqual(await store.marks(), after, 'and stays in it');
  });

  each('refuses whatever was made for the one before, whether it moves a mark or not', async ({ store, copy }) => {
    await apply(store, [], { moves: [move(0, -1, 4), move(1, -1, 2)] });
    const putBack = await copy();
    await apply(store, [write(1_000, ['SET', 'k', 'v'])]);
    const { generation, marks } = await store.marks();
    await putBack();
    for (const moves of [[], [move(0, 4, 5)]]) {
      const result = await store.apply({ generation, moves, writes: [write(6_000, ['SET', 'k', 'w'])], floor: FLOOR, nowMs: NOW });
      assert.deepEqual(result, { moved: false, generation: generation + 1, stored: undefined });
    }
    await assert.rejects(store.sweep({ generation, floor: FLOOR, nowMs: NOW }), isMarkMoved);
    assert.deepEqual(await marksOf(store), marks);
    assert.equal(await value(store, 'k'), undefined);
    assert.deepEqual(await apply(store, [write(2_000, ['SET', 'k', 'v'])]), ['applied'], 'and no floor was raised by it');
  });
}

function goingOn(each: Each): void {
  each('settles only as far as it had settled', async ({ store, copy }) => {
    await apply(store, [write(1_000, ['SET', 'a', 'v'])]);
    const putBack = await copy();
    await apply(store, [write(2_000, ['SET', 'k', 'v'])]);
    await sweep(store, FLOOR);
    assert.deepEqual(await apply(store, [write(3_000, ['SET', 'l', 'v'])]), ['late']);
    await putBack();
    assert.deepEqual(await apply(store, [write(2_000, ['SET', 'k', 'v']), write(3_000, ['SET', 'l', 'v'])]), ['applied', 'applied']);
  });

  each('leaves no bucket for clean, whatever the copy says of it', async ({ store, reopen, copy }) => {
    const putBack = await copy();
    await apply(store, [write(1_000, ['SET', 'k', 'v'])]);
    await store.takeDirty(BUCKETS);
    await putBack();
    await store.marks();
    const half = await store.takeDirty(BUCKETS / 2);
    const rest = await (await reopen()).takeDirty(BUCKETS);
    assert.equal(new Set([...half, ...rest]).size, BUCKETS);
  });

  each('goes on from there, and may come back again', async ({ store, copy }) => {
    const empty = await copy();
    await apply(store, [write(1_000, ['SET', 'k', 'v'])], { moves: [move(0, -1, 1)] });
    const putBack = await copy();
    await apply(store, [write(2_000, ['SET', 'k', 'w'])], { moves: [move(0, 1, 2)] });
    await empty();
    const first = await store.marks();
    assert.deepEqual(first.marks, []);
    await apply(store, [write(1_000, ['SET', 'k', 'v'])], { moves: [move(0, -1, 1)] });
    await putBack();
    const second = await store.marks();
    assert.ok(second.generation > first.generation, 'the copy holds the same, but it is not what was left');
    await apply(store, [write(2_000, ['SET', 'k', 'w'])], { moves: [move(0, 1, 2)] });
    assert.deepEqual(await value(store, 'k'), { type: 'string', value: 'w' });
    assert.equal((await store.marks()).generation, second.generation);
  });
}
