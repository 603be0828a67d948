import assert from 'node:assert/strict';
import { test } from 'node:test';
import { systemRuntime } from '../core/runtime.ts';
import { formatStamp, type Stamp } from '../core/stamp.ts';
import type { StampedWrite } from '../core/words.ts';
import { encodeFrame } from '../link/frame.ts';
import { MemoryLog, MemoryLogDisk } from '../log/memory/memory.ts';
import { LogSearch } from './log-search.ts';

const PARTITIONS = 3;

function write(ms: number, requestId = `r${ms}`): StampedWrite {
  return {
    requestId,
    kind: 'cache',
    key: `k${ms}`,
    trace: '',
    payload: Buffer.from('x'),
    stamp: formatStamp({ ms, counter: 0, writer: 1 }),
  };
}

/** One frame after the other goes into the partitions in turn; write n is stamped at n. */
async function logOf(frames: readonly (readonly StampedWrite[])[]): Promise<MemoryLog> {
  const log = new MemoryLog({
    disk: new MemoryLogDisk(),
    log: 'writes',
    origin: 'beijing',
    partitions: PARTITIONS,
    runtime: systemRuntime,
  });
  await log.open();
  for (const [at, writes] of frames.entries()) await append(log, at % PARTITIONS, writes);
  return log;
}

async function append(log: MemoryLog, partition: number, writes: readonly StampedWrite[], through?: Stamp): Promise<void> {
  const lane = { log: 'writes', origin: 'beijing', partition, epoch: log.epoch } as const;
  const stamps = { stampFirst: writes[0]?.stamp ?? '', stampLast: writes.at(-1)?.stamp ?? '', ...(through && { through }) };
  await log.append([{ partition, bytes: encodeFrame(lane, writes), count: writes.length, ...stamps }]);
}

const frames = Array.from({ length: 200 }, (_, frame) => [0, 1, 2].map((n) => write(1_000 + frame * 3 + n)));

function searchOf(log: MemoryLog, more: { runtime?: typeof systemRuntime; window?: number } = {}): LogSearch {
  return new LogSearch({ log, duplicateWindowWrites: more.window ?? 10, runtime: more.runtime ?? systemRuntime });
}

test('write requests are found by their stamps, in whatever partition and frame they are', async () => {
  const log = await logOf(frames);
  const asked = [1_000, 1_001, 1_299, 1_598, 1_599].map((ms) => write(ms).stamp);
  const found = await searchOf(log).find({ by: 'stamp', stamps: asked });
  assert.deepEqual(
    found.map(({ write: it }) => it.stamp),
    asked,
  );
  assert.deepEqual(found[2]?.position, { log: 'writes', origin: 'beijing', partition: 0, epoch: log.epoch, seq: 33, index: 2 });
});

test('where several processes append, frames overlap in their stamps, and each write request is found all the same', async () => {
  const log = await logOf([]);
  // Two processes in turn: the frames of one are stamped 100 later than those of the other.
  for (let at = 0; at < 40; at += 1) {
    const ms = 1_000 + at * 10 + (at % 2 === 0 ? 100 : 0);
    await append(log, 0, [write(ms), write(ms + 1)], write(1_000 + at * 10 - 5).stamp);
  }
  const asked = Array.from({ length: 40 }, (_, at) => write(1_000 + at * 10 + (at % 2 === 0 ? 101 : 0)).stamp);
  const found = await searchOf(log).find({ by: 'stamp', stamps: asked });
  assert.deepEqual(
    found.map(({ position }) => position.seq),
    asked.map((_, at) => at),
  );
});

test('stamps that no write request has are left out: older than all, newer than all, and between two', async () => {
  const log = await logOf(frames);
  const between = formatStamp({ ms: 1_100, counter: 7, writer: 1 });
  assert.deepEqual(await searchOf(log).find({ by: 'stamp', stamps: [write(1).stamp, write(9_999).stamp, between] }), []);
  assert.deepEqual(await searchOf(await logOf([])).find({ by: 'stamp', stamps: [between] }), []);
});

test('by position a write request is found at once, and only in the same log and epoch', async () => {
  const log = await logOf(frames);
  const position = { log: 'writes', origin: 'beijing', partition: 1, epoch: log.epoch, seq: 2, index: 1 } as const;
  const strangers = [
    { ...position, index: 3 },
    { ...position, seq: 67 },
    { ...position, partition: 3 },
    { ...position, epoch: '0'.repeat(16) },
    { ...position, origin: 'guangzhou' },
    { ...position, log: 'effects' as const },
  ];
  const found = await searchOf(log).find({ by: 'position', positions: [position, ...strangers] });
  assert.deepEqual(
    found.map(({ write: it }) => it.requestId),
    [`r${1_000 + 7 * 3 + 1}`],
  );
});

/** A log of which the last frame of a partition is not known here before it has caught up. */
function late(log: MemoryLog, partition: number): MemoryLog {
  let behind = 1;
  return overridden(log, {
    extent: (asked) => {
      const extent = log.extent(asked);
      if (asked !== partition || behind === 0) return extent;
      return { ...extent, next: extent.next - behind, stampLast: write(1).stamp };
    },
    catchUp: async () => {
      behind = 0;
    },
  });
}

function overridden(log: MemoryLog, methods: Partial<MemoryLog>): MemoryLog {
  return new Proxy(log, {
    get(target, name) {
      const value: unknown = Reflect.get(methods, name) ?? Reflect.get(target, name, target);
      return typeof value === 'function' ? value.bind(target) : value;
    },
  });
}

test('what is so new that this process has not heard of it yet is found all the same, by stamp, by position and by request id', async () => {
  const log = await logOf(frames);
  await append(log, 2, [write(5_000, 'newest')]);
  const position = { log: 'writes', origin: 'beijing', partition: 2, epoch: log.epoch, seq: log.extent(2).next - 1, index: 0 } as const;
  for (const query of [
    { by: 'stamp', stamps: [write(5_000).stamp] },
    { by: 'position', positions: [position] },
    { by: 'request', requestId: 'newest', limitMs: 60_000 },
  ] as const) {
    assert.deepEqual(
      (await searchOf(late(log, 2)).find(query)).map((found) => found.position),
      [position],
      query.by,
    );
  }
});

test('positions are answered in any order, and frames that follow each other are read together', async () => {
  const log = await logOf(frames);
  const reads: string[] = [];
  const spy = overridden(log, {
    read: (partition, from, bytesMax) => {
      reads.push(`${partition}:${from}`);
      return log.read(partition, from, bytesMax);
    },
  });
  const at = (partition: number, seq: number, index: number) =>
    ({ log: 'writes', origin: 'beijing', partition, epoch: log.epoch, seq, index }) as const;
  const asked = [3, 2, 1, 0].flatMap((seq) => [at(1, seq, 2), at(0, seq, 0), at(0, seq, 1)]);
  const found = await searchOf(spy).find({ by: 'position', positions: asked });
  assert.deepEqual(new Set(found.map((it) => it.position)), new Set(asked));
  assert.deepEqual(reads, ['0:0', '0:1', '1:0', '1:1']);
});

test('what was trimmed away is not found, and what follows it is', async () => {
  const log = await logOf(frames);
  const floors = [{ partition: 0, appliedSeq: 30 }];
  await log.trim({ ageMsMin: 0, bytesMax: 0, overflow: 'keep', writesMin: 0 }, floors, systemRuntime.nowMs() + 1_000);
  assert.equal(log.extent(0).first, 31);
  const found = await searchOf(log).find({ by: 'stamp', stamps: [write(1_000).stamp, write(1_000 + 31 * 9).stamp] });
  assert.deepEqual(
    found.map(({ position }) => position.seq),
    [31],
  );
  const gone = { log: 'writes', origin: 'beijing', partition: 0, epoch: log.epoch, seq: 3, index: 0 } as const;
  assert.deepEqual(await searchOf(log).find({ by: 'position', positions: [gone] }), []);
});

test('by request id the retried write request is found as well, the original first', async () => {
  const log = await logOf(frames);
  await append(log, 2, [write(5_000), write(5_001, 'twice')]);
  await append(log, 2, [write(5_002), write(5_003, 'twice')]);
  const search = searchOf(log);
  const found = await search.find({ by: 'request', requestId: 'twice', limitMs: 60_000 });
  assert.deepEqual(
    found.map(({ write: it }) => it.stamp),
    [write(5_001).stamp, write(5_003).stamp],
  );
  const oldest = await search.find({ by: 'request', requestId: 'r1000', limitMs: 60_000 });
  assert.deepEqual(
    oldest.map(({ position }) => `${position.partition}:${position.seq}.${position.index}`),
    ['0:0.0'],
  );
  assert.deepEqual(await search.find({ by: 'request', requestId: 'never', limitMs: 60_000 }), []);
});

test('once a request id is found only its own partition is searched for its retries, as far back as the duplicate window', async () => {
  const log = await logOf(frames);
  await append(log, 2, [write(5_000, 'wanted')]);
  const read: string[] = [];
  const spy = overridden(log, {
    read: (partition, from, bytes) => {
      read.push(`${partition}:${from}`);
      return log.read(partition, from, bytes);
    },
  });
  await searchOf(spy, { window: 120 }).find({ by: 'request', requestId: 'wanted', limitMs: 60_000 });
  // The newest 32 frames, and as many of those before them as hold 120 write requests before the hit.
  assert.deepEqual(read, ['2:35', '2:26']);
});

test('a search for a request id stops when its time is over', async () => {
  let now = 0;
  const runtime = {
    ...systemRuntime,
    monotonicMs: () => {
      now += 10;
      return now;
    },
  };
  const found = await searchOf(await logOf(frames), { runtime }).find({ by: 'request', requestId: 'r1000', limitMs: 20 });
  assert.deepEqual(found, []);
});

test('a search gives others their turn while it goes on', async () => {
  let turns = 0;
  const runtime = {
    ...systemRuntime,
    turn: async () => {
      turns += 1;
    },
  };
  await searchOf(await logOf(frames), { runtime }).find({ by: 'request', requestId: 'never', limitMs: 60_000 });
  assert.ok(turns >= 6, `${turns}`);
});
