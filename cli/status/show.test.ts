import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { TopologyStatus } from './read.ts';
import { showStatus } from './show.ts';

test('status shows the reships of a room that has several, whom each ships to, what it takes in, and who is silent', () => {
  const members = [
    {
      instance: 'beijing-1',
      address: 'one:7101',
      silentMs: 0,
      peers: ['beijing', 'guangzhou', 'guangzhou'],
      topics: [{ topic: 'app.writes', partitions: [0, 2] }],
    },
    { instance: 'beijing-2', address: 'two:7101', silentMs: 5_200, peers: [], topics: [{ topic: 'app.writes', partitions: [1] }] },
  ];
  const reship = {
    topologyEpoch: 1,
    instance: 'beijing-1',
    uptimeMs: 1,
    nowMs: 1,
    logs: [],
    peers: [],
    intake: undefined,
    topics: [],
    members,
  };
  const silent = { address: '', error: { code: '', message: '' } };
  const status: TopologyStatus = {
    topology: { epoch: 1, mode: 'independent', partitions: 4 },
    rooms: [{ room: 'beijing', reship, collector: silent, checker: undefined, links: [] }],
    pairs: [],
    open: { drifts: 0, alarms: 0 },
  };
  const shown = showStatus(status, { columnsMax: 200 });
  assert.match(
    shown,
    /\n +beijing-1 at one:7101: ships to beijing, guangzhou \(2 shares\); takes app\.writes 0, 2\n +beijing-2 at two:7101: ships to nobody, not heard of for 5\.2 s\n/,
  );
});
