import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { Arrivals } from './arrivals.ts';

const ROOMS = ['beijing', 'guangzhou', 'cloud'];
const FOLLOWING = { master: 'beijing', slaves: new Set(['guangzhou']) };

describe('how far every room is', () => {
  it('is the least seq that any room has acked', () => {
    const arrivals = new Arrivals(ROOMS, undefined);
    for (const [room, seq] of [
      ['beijing', 9],
      ['guangzhou', 7],
      ['cloud', 8],
    ] as const)
      arrivals.take({ room, partition: 0, seq });
    assert.equal(arrivals.everywhere(0), 7);
    assert.equal(arrivals.everywhere(1), -1);
  });

  it('is held back by a slave whose database lacks statements that the master has run', () => {
    const arrivals = new Arrivals(ROOMS, FOLLOWING);
    arrivals.take({ room: 'cloud', partition: 0, seq: 9 });
    arrivals.take({ room: 'beijing', partition: 0, seq: 9, databaseSeq: 6 });
    arrivals.take({ room: 'guangzhou', partition: 0, seq: 9 });
    assert.equal(arrivals.everywhere(0), -1);
    arrivals.take({ room: 'guangzhou', partition: 0, seq: 9, databaseSeq: 4 });
    assert.equal(arrivals.everywhere(0), 4);
    arrivals.take({ room: 'guangzhou', partition: 0, seq: 9, databaseSeq: 6 });
    assert.equal(arrivals.everywhere(0), 9, 'behind 6 the master ran nothing, so its mark in the slave may stay where it is');
  });

  it('does not take a slave’s database for complete before the master has said what it ran', () => {
    const arrivals = new Arrivals(ROOMS, FOLLOWING);
    for (const room of ['cloud', 'guangzhou']) arrivals.take({ room, partition: 0, seq: 9, databaseSeq: 2 });
    arrivals.take({ room: 'beijing', partition: 0, seq: 5, databaseSeq: 5 });
    assert.equal(arrivals.everywhere(0), 2);
  });

  it('does not go back when an ack does', () => {
    const arrivals = new Arrivals(['beijing'], undefined);
    assert.equal(arrivals.take({ room: 'beijing', partition: 0, seq: 5 }), true);
    assert.equal(arrivals.take({ room: 'beijing', partition: 0, seq: 3 }), false);
    assert.equal(arrivals.everywhere(0), 5);
  });
});
