import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Topology } from '../../core/config/types.ts';
import { formatStamp, type Version, versionOf, writerId } from '../../core/stamp.ts';
import type { Horizon } from '../room.ts';
import { settledBy } from './settled.ts';
import { TOPOLOGY } from './world-kit.ts';

const NOW_MS = Date.parse('2026-11-22T20:00:00Z');
const stamp = (ms: number, room: number) => formatStamp({ ms, counter: 0, writer: writerId(room, 1) });
const version = (ms: number, room: number): Version => versionOf(stamp(ms, room), 0);

/** Rooms have the numbers 0 and 1. */
const topology: Topology = { ...TOPOLOGY, rooms: TOPOLOGY.rooms.map((room, number) => ({ ...room, number })) };

function horizon(seenMs: number): Horizon {
  const lanes = topology.rooms.flatMap(({ id, number }) =>
    Array.from({ length: topology.partitions }, (_, partition) => {
      const place = { log: 'writes', origin: id, partition, epoch: 'e', mark: 0, state: '', reason: '', lagWrites: 0 } as const;
      return { ...place, seen: stamp(seenMs, number) };
    }),
  );
  return { nowMs: NOW_MS, lanes };
}

const settled = settledBy(topology, [horizon(NOW_MS - 100), horizon(NOW_MS - 5_000)]);

test('what both rooms have seen has passed, what one of them has not is on its way', () => {
  for (const room of [0, 1]) {
    assert.equal(settled.passage(version(NOW_MS - 5_000, room)), 'passed');
    assert.equal(settled.passage(version(NOW_MS - 4_999, room)), 'ahead');
    assert.equal(settled.passage(version(NOW_MS + 60_000, room)), 'ahead', 'a clock may have been set back');
  }
});

test('what no write request can have is no lag: a text that is no version, a moment that no clock has come to', () => {
  for (const forged of ['', 'zzzz', 'ffff', `g${version(NOW_MS, 0).slice(1)}`, `${version(NOW_MS, 1)}0`])
    assert.equal(settled.passage(forged), 'passed', forged);
  for (const room of [0, 1]) assert.equal(settled.passage(version(NOW_MS + 86_400_000, room)), 'passed');
});
