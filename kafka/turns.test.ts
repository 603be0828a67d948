import assert from 'node:assert/strict';
import { test } from 'node:test';
import { VirtualTime } from '../core/flow/virtual-time.testing.ts';
import { FAILED_MS, TURN_MS, Turns } from './turns.ts';

const ONE = { host: '10.0.0.1', port: 9_001 };
const TWO = { host: '10.0.0.1', port: 9_002 };
const THREE = { host: '10.0.0.1', port: 9_003 };

test('each is asked first for a while, and a place that is named twice is asked once', async () => {
  const time = new VirtualTime(0);
  const turns = new Turns(time);
  const order = () => turns.inOrder([ONE, TWO, { ...ONE }, THREE]).map(({ port }) => port - 9_000);
  const orders: number[][] = [];
  for (let turn = 0; turn < 4; turn += 1) {
    orders.push(order());
    await time.advance(TURN_MS);
  }
  assert.deepEqual(orders, [
    [1, 2, 3],
    [2, 3, 1],
    [3, 1, 2],
    [1, 2, 3],
  ]);
});

test('who has failed comes last until that is long ago, and is asked all the same', async () => {
  const time = new VirtualTime(0);
  const turns = new Turns(time);
  turns.failed(ONE);
  assert.deepEqual(turns.inOrder([ONE, TWO, THREE]), [TWO, THREE, ONE]);
  turns.failed(TWO);
  assert.deepEqual(turns.inOrder([ONE, TWO, THREE]), [THREE, ONE, TWO]);
  assert.deepEqual(turns.inOrder([ONE]), [ONE]);
  await time.advance(FAILED_MS);
  assert.equal(turns.inOrder([ONE, TWO, THREE])[0], THREE);
  await time.advance(TURN_MS);
  assert.equal(turns.inOrder([ONE, TWO, THREE])[0], ONE);
});
