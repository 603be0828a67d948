import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { IntakeTopicStatus } from '../../proto/gen/wmb/v1/admin.ts';
import type { TopologyStatus } from './read.ts';
import { topicsTable } from './topics.ts';

function table(topics: readonly Partial<IntakeTopicStatus>[]): string[] {
  const whole = topics.map((topic) => ({ topic: 'app.writes', group: 'g', partitions: [], trouble: '', ...topic }));
  const rooms = [
    { room: 'beijing', reship: { topics: whole } },
    { room: 'guangzhou', reship: { address: 'x', error: { code: 'UNREACHABLE', message: 'away' } } },
  ];
  return topicsTable({ rooms } as unknown as TopologyStatus, 200)
    .split('\n')
    .map((line) => line.trimEnd().replace(/ {2,}/g, '  '));
}

const partition = (number: number, lagWrites?: number, stopped = '') => ({ partition: number, offset: 1, lagWrites, stopped });

test('where no room takes topics in, there is no table', () => {
  assert.deepEqual(table([]), ['']);
});

test('a topic says how many partitions this instance has, how far behind they are, and why one stands still', () => {
  assert.deepEqual(
    table([
      { partitions: [partition(0, 3), partition(1, 4), partition(2)] },
      { topic: 'app.more', partitions: [partition(0, 5, 'TOPIC_GAP: offsets 1 to 4 are gone'), partition(1, 0)] },
      { topic: 'app.idle' },
      { topic: 'app.away', trouble: 'TOPIC_UNAVAILABLE: it cannot be reached' },
    ]),
    [
      'ROOM  TOPIC  PARTITIONS  STATE  LAG  REASON',
      'beijing  app.writes  3  taking  7',
      'beijing  app.more  2  stopped 1, taking 1  5  TOPIC_GAP: offsets 1 to 4 are gone',
      'beijing  app.idle  0  idle',
      'beijing  app.away  0  in trouble  TOPIC_UNAVAILABLE: it cannot be reached',
    ],
  );
});
