/** What every log adapter must do. `logContract` registers the suite with node:test. */
import assert from 'node:assert/strict';
import { EventEmitter, once } from 'node:events';
import { describe, test } from 'node:test';
import { setImmediate } from 'node:timers/promises';
import { systemRuntime } from '../core/runtime.ts';
import { formatStamp } from '../core/stamp.ts';
import type { Seq, StampedWrite } from '../core/words.ts';
import { encodeFrame } from '../link/frame.ts';
import type { FrameDraft, Log, LogReader, RetentionPolicy, StoredFrame } from './log.ts';

/** One log under test, with 4 partitions. */
export interface LogUnderTest {
  /** Open, empty. */
  readonly log: Log;
  /** Another reader of the same log, open; the suite closes it. */
  reader(): Promise<LogReader>;
  /** Closes the log and opens it again. */
  reopen(): Promise<Log>;
  /** Closes the log, removes all of it and makes it anew. */
  remake(): Promise<Log>;
  /** Closes and removes everything. */
  dispose(): Promise<void>;
}

export const CONTRACT_PARTITIONS = 4;
const ALL_BYTES = 64 * 1024 * 1024;

/** A draft of `count` write requests stamped `ms`, `ms` + 1, …, of about `payloadBytes` each (they do not compress). */
export function draftOf(log: LogReader, options: { partition?: number; count?: number; ms?: number; payloadBytes?: number }): FrameDraft {
  const { partition = 0, count = 1, ms = 1_700_000_000_000, payloadBytes = 20 } = options;
  const writes: StampedWrite[] = Array.from({ length: count }, (_, i) => ({
    stamp: formatStamp({ ms: ms + i, counter: 0, writer: 0x01000001 }),
    requestId: `r-${ms}-${i}`,
    kind: 'cache',
    key: `k-${i}`,
    trace: '',
    payload: systemRuntime.bytes(payloadBytes),
  }));
  const bytes = encodeFrame({ log: log.log, origin: log.origin, partition, epoch: log.epoch }, writes);
  return { partition, bytes, count, stampFirst: writes[0]?.stamp ?? '', stampLast: writes.at(-1)?.stamp ?? '' };
}

/** Reads the partition from `from` to its end. */
export async function readAll(log: LogReader, partition: number, from: Seq = 0, bytesMax = ALL_BYTES): Promise<StoredFrame[]> {
  const all: StoredFrame[] = [];
  for (;;) {
    const frames = await log.read(partition, from + all.length, bytesMax);
    if (frames.length === 0) return all;
    all.push(...frames);
  }
}

export function assertSame(frames: readonly StoredFrame[], drafts: readonly FrameDraft[], from: Seq = 0): void {
  assert.deepEqual(
    frames.map(({ seq, count }) => ({ seq, count })),
    drafts.map(({ count }, i) => ({ seq: from + i, count })),
  );
  frames.forEach((frame, i) => {
    assert.ok(Buffer.from(frame.bytes).equals(drafts[i]?.bytes ?? Buffer.alloc(0)), `bytes of frame ${frame.seq}`);
  });
}

export function logContract(name: string, make: () => Promise<LogUnderTest>): void {
  const check = (title: string, body: (under: LogUnderTest) => Promise<void>) =>
    test(title, async () => {
      const under = await make();
      try {
        await body(under);
      } finally {
        await under.dispose();
      }
    });
  describe(`${name}: appending and reading`, () => appending(check));
  describe(`${name}: lookups`, () => lookups(check));
  describe(`${name}: over restarts`, () => restarts(check));
  describe(`${name}: hearing of appends`, () => hearing(check));
  describe(`${name}: retention`, () => retention(check));
  describe(`${name}: what retention leaves`, () => retentionLimits(check));
}

type Check = (title: string, body: (under: LogUnderTest) => Promise<void>) => void;

function appending(check: Check): void {
  check('an empty log has empty extents and reads nothing', async ({ log }) => {
    assert.match(log.epoch, /^[0-9a-f]{16}$/);
    for (let partition = 0; partition < CONTRACT_PARTITIONS; partition += 1) {
      assert.deepEqual(log.extent(partition), { partition, first: 0, next: 0, writes: 0, stampLast: '', through: '' });
      assert.deepEqual(await log.read(partition, 0, ALL_BYTES), []);
    }
    assert.equal(log.bytes(), 0);
  });

  check('seqs are dense per partition, in the order of the drafts, and the bytes come back untouched', async ({ log }) => {
    const drafts = [0, 1, 0, 3, 0].map((partition, i) => draftOf(log, { partition, count: i + 1, ms: 1_000 * (i + 1) }));
    assert.deepEqual(await log.append(drafts), [0, 0, 1, 0, 2]);
    assertSame(
      await readAll(log, 0),
      drafts.filter(({ partition }) => partition === 0),
    );
    assertSame(
      await readAll(log, 3),
      drafts.filter(({ partition }) => partition === 3),
    );
    const { first, next, writes, stampLast } = log.extent(0);
    assert.deepEqual({ first, next, writes, stampLast }, { first: 0, next: 3, writes: 1 + 3 + 5, stampLast: drafts[4]?.stampLast });
    assert.equal(
      log.bytes(),
      drafts.reduce((sum, { bytes }) => sum + bytes.length, 0),
    );
  });

  check('an append of nothing resolves to nothing', async ({ log }) => {
    assert.deepEqual(await log.append([]), []);
  });

  check('appends made at the same time each get their own seqs, dense together', async ({ log }) => {
    const drafts = Array.from({ length: 200 }, (_, i) => draftOf(log, { partition: i % CONTRACT_PARTITIONS, ms: 1_000 + i }));
    const seqs = (await Promise.all(drafts.map((draft) => log.append([draft])))).flat();
    for (let partition = 0; partition < CONTRACT_PARTITIONS; partition += 1) {
      const mine = drafts.map((draft, i) => ({ draft, seq: seqs[i] as Seq })).filter(({ draft }) => draft.partition === partition);
      mine.sort((a, b) => a.seq - b.seq);
      assert.deepEqual(
        mine.map(({ seq }) => seq),
        mine.map((_, i) => i),
      );
      assertSame(
        await readAll(log, partition),
        mine.map(({ draft }) => draft),
      );
    }
  });

  check('a read gives one frame however large, and then no more than asked for', async ({ log }) => {
    const drafts = Array.from({ length: 9 }, (_, i) => draftOf(log, { payloadBytes: 10_000, ms: 1_000 + i }));
    await log.append(drafts);
    assertSame(await log.read(0, 4, 0), drafts.slice(4, 5), 4);
    const some = await log.read(0, 2, 25_000);
    assert.ok(some.length >= 1 && some.slice(1).reduce((sum, { bytes }) => sum + bytes.length, 0) <= 25_000);
    assertSame(some, drafts.slice(2, 2 + some.length), 2);
    assertSame(await readAll(log, 0, 0, 25_000), drafts);
  });

  check('a read beyond the end is a gap, a read at the end is not', async ({ log }) => {
    await log.append([draftOf(log, {}), draftOf(log, {})]);
    assert.deepEqual(await log.read(0, 2, ALL_BYTES), []);
    await assert.rejects(log.read(0, 5, ALL_BYTES), { code: 'LOG_GAP', message: /2 to 4/ });
  });
}

function lookups(check: Check): void {
  check('write requests are counted up to every seq', async ({ log }) => {
    await log.append([3, 1, 4, 1, 5].map((count, i) => draftOf(log, { count, ms: 1_000 * (i + 1) })));
    await log.append([draftOf(log, { partition: 1, count: 9 })]);
    const counted = await Promise.all([-1, 0, 1, 2, 3, 4].map((seq) => log.writesUpTo(0, seq)));
    assert.deepEqual(counted, [0, 3, 4, 8, 9, 14]);
    assert.equal(await log.writesUpTo(2, -1), 0);
  });

  check('seqBack finds the fewest newest frames that hold so many write requests', async ({ log }) => {
    await log.append([3, 1, 4, 1, 5].map((count, i) => draftOf(log, { count, ms: 1_000 * (i + 1) })));
    await log.append([draftOf(log, { partition: 1, count: 9 })]);
    assert.deepEqual(await Promise.all([1, 5, 6, 7, 10, 11, 14, 15].map((writes) => log.seqBack(0, 5, writes))), [4, 4, 3, 2, 2, 1, 0, 0]);
    assert.deepEqual(await Promise.all([1, 3, 4, 5].map((writes) => log.seqBack(0, 2, writes))), [1, 0, 0, 0]);
    assert.equal(await log.seqBack(0, 3, 0), 3);
    assert.equal(await log.seqBack(2, 0, 100), 0);
  });

  check('where each stored frame stands in the order of the stamps is known', async ({ log }) => {
    const drafts = [1, 2, 3].map((count, i) => draftOf(log, { count, ms: 1_000 * (i + 1) }));
    await log.append(drafts);
    assert.deepEqual(
      await Promise.all([0, 1, 2].map((seq) => log.stampsAt(0, seq))),
      drafts.map(({ stampLast }) => ({ greatest: stampLast, through: stampLast })),
    );
    assert.equal(await log.stampsAt(0, 3), undefined);
    assert.equal(await log.stampsAt(1, 0), undefined);
    assert.equal(await log.stampsAt(1, -1), undefined);
  });
}

function restarts(check: Check): void {
  check('a reopened log has the same epoch, frames and counts, and goes on with the next seq', async ({ log, reopen }) => {
    const drafts = [2, 3].map((count, i) => draftOf(log, { count, ms: 1_000 * (i + 1) }));
    await log.append(drafts);
    const { epoch } = log;
    const before = log.extent(0);
    const again = await reopen();
    assert.equal(again.epoch, epoch);
    assert.deepEqual(again.extent(0), before);
    assertSame(await readAll(again, 0), drafts);
    assert.deepEqual(await again.append([draftOf(again, { ms: 9_000 })]), [2]);
    assert.equal(await again.writesUpTo(0, 2), 6);
  });

  check('a log that was removed and made anew has another epoch and begins at seq 0', async ({ log, remake }) => {
    await log.append([draftOf(log, {}), draftOf(log, {})]);
    const { epoch } = log;
    const anew = await remake();
    assert.notEqual(anew.epoch, epoch);
    await assert.rejects(anew.read(0, 2, ALL_BYTES), { code: 'LOG_GAP' });
    assert.deepEqual(await anew.append([draftOf(anew, {})]), [0]);
  });

  check('a writer lease is never given twice and comes with the greatest stamp of all partitions', async ({ log, reopen }) => {
    const none = await log.leaseWriter('one');
    assert.equal(none.stampLast, '');
    const greatest = draftOf(log, { partition: 2, ms: 5_000 });
    await log.append([draftOf(log, { partition: 1, ms: 4_000 }), greatest, draftOf(log, { partition: 3, ms: 3_000 })]);
    const pair = await Promise.all([log.leaseWriter('two'), log.leaseWriter('three')]);
    const again = await reopen();
    const last = await again.leaseWriter('four');
    const leases = [none, ...pair, last].map(({ lease }) => lease);
    assert.equal(new Set(leases).size, 4);
    assert.ok(leases.every((lease) => lease >= 1 && lease < 2 ** 24));
    assert.equal(last.stampLast, greatest.stampLast);
  });

  check('a promised stamp comes with every later lease, never goes down, and is no stamp of a write request', async ({ log, reopen }) => {
    const stampOf = (ms: number) => formatStamp({ ms, counter: 0, writer: 1 });
    await log.promise(stampOf(2_000));
    await log.promise(stampOf(1_000));
    assert.equal((await log.leaseWriter('one')).stampLast, stampOf(2_000));
    await log.append([draftOf(log, { ms: 3_000 })]);
    assert.ok((await log.leaseWriter('two')).stampLast > stampOf(2_000));
    await log.promise(stampOf(4_000));
    const again = await reopen();
    assert.equal((await again.leaseWriter('three')).stampLast, stampOf(4_000));
    assert.ok(again.extent(0).stampLast < stampOf(4_000));
  });
}

function hearing(check: Check): void {
  check('whoever listens hears of each partition that was appended to, until it stops', async ({ log }) => {
    const heard: number[] = [];
    const stop = log.onAppend((partition) => heard.push(partition));
    await log.append([draftOf(log, { partition: 2 }), draftOf(log, { partition: 2 }), draftOf(log, { partition: 1 })]);
    assert.deepEqual(new Set(heard), new Set([1, 2]));
    stop();
    await log.append([draftOf(log, { partition: 3 })]);
    assert.ok(!heard.includes(3));
  });

  check('another reader hears of appends and reads them, all that came before once it has caught up', async ({ log, reader }) => {
    const drafts = Array.from({ length: 20 }, (_, i) => draftOf(log, { partition: 1, ms: 1_000 + i, count: 2 }));
    const other = await reader();
    try {
      assert.equal(other.epoch, log.epoch);
      assert.equal(other.partitions, CONTRACT_PARTITIONS);
      const bell = new EventEmitter();
      other.onAppend((partition) => bell.emit(`partition ${partition}`));
      const heard = once(bell, 'partition 1');
      for (const draft of drafts) await log.append([draft]);
      await heard;
      // It may hear of the first before it sees the last.
      while (other.extent(1).next < drafts.length) await once(bell, 'partition 1');
      assertSame(await readAll(other, 1), drafts);
      assert.deepEqual(other.extent(1), log.extent(1));
      const heardAgain = once(bell, 'partition 1');
      await log.append([draftOf(log, { partition: 1, ms: 5_000 })]);
      await heardAgain;
      assert.equal(await other.writesUpTo(1, 9), 20);
      await log.append([draftOf(log, { partition: 2 })]);
      await other.catchUp();
      assert.deepEqual(other.extent(2), log.extent(2));
    } finally {
      await other.close();
    }
  });

  check('a reader beside a busy appender sees every frame once, in order', async ({ log, reader }) => {
    const other = await reader();
    try {
      const drafts = Array.from({ length: 100 }, (_, i) => draftOf(log, { ms: 1_000 + i, payloadBytes: 500 }));
      const appending = (async () => {
        for (let i = 0; i < drafts.length; i += 4) await log.append(drafts.slice(i, i + 4));
      })();
      const seen: StoredFrame[] = [];
      while (seen.length < drafts.length) {
        seen.push(...(await other.read(0, seen.length, 2_000)));
        // A read may resolve without ever leaving the microtasks; the appender needs the event loop.
        await setImmediate();
      }
      await appending;
      assertSame(seen, drafts);
    } finally {
      await other.close();
    }
  });
}

const NOW_MS = 1_700_000_100_000;
const KEEP_ALL: RetentionPolicy = { ageMsMin: 10_000, bytesMax: ALL_BYTES, overflow: 'keep', writesMin: 0 };

/** Ten frames of two write requests and about 1 kB in partition 0: five of them 50 s old, five of them young. */
async function tenFrames(log: Log): Promise<FrameDraft[]> {
  const drafts = Array.from({ length: 10 }, (_, i) =>
    draftOf(log, { count: 2, payloadBytes: 500, ms: i < 5 ? NOW_MS - 50_000 + 10 * i : NOW_MS - 100 + 2 * i }),
  );
  await log.append(drafts);
  return drafts;
}

function retention(check: Check): void {
  check('what is old and applied by every peer goes; the rest reads on, and what went is a gap', async ({ log }) => {
    const drafts = await tenFrames(log);
    const bytes = log.bytes();
    const went = await log.trim(KEEP_ALL, [{ partition: 0, appliedSeq: 9 }], NOW_MS);
    assert.equal(went.frames, 5);
    assert.equal(log.bytes(), bytes - went.bytes);
    assert.equal(log.extent(0).first, 5);
    assert.equal(log.extent(0).writes, 20);
    assertSame(await readAll(log, 0, 5), drafts.slice(5), 5);
    await assert.rejects(log.read(0, 2, ALL_BYTES), { code: 'LOG_GAP', message: /2 to 4/ });
    assert.equal(await log.writesUpTo(0, 5), 12);
    assert.equal(await log.seqBack(0, 10, 1_000), 5);
    assert.equal(await log.stampsAt(0, 2), undefined);
  });

  check('what a peer still needs stays, however old', async ({ log }) => {
    const drafts = await tenFrames(log);
    assert.equal((await log.trim(KEEP_ALL, [{ partition: 0, appliedSeq: -1 }], NOW_MS)).frames, 0);
    assert.equal((await log.trim(KEEP_ALL, [], NOW_MS)).frames, 0);
    assert.equal((await log.trim(KEEP_ALL, [{ partition: 0, appliedSeq: 1 }], NOW_MS)).frames, 2);
    assertSame(await readAll(log, 0, 2), drafts.slice(2), 2);
  });

  check('over its size a log lets young frames go that every peer has applied, and no more of them than needed', async ({ log }) => {
    await tenFrames(log);
    const bytesMax = Math.floor(log.bytes() * 0.25);
    await log.trim({ ...KEEP_ALL, bytesMax }, [{ partition: 0, appliedSeq: 9 }], NOW_MS);
    assert.ok(log.bytes() <= bytesMax, `${log.bytes()} of ${bytesMax}`);
    assert.equal(log.extent(0).first, 8);
  });

  check('over its size a log keeps what a peer needs, unless told to drop it', async ({ log }) => {
    await tenFrames(log);
    const small = { ...KEEP_ALL, bytesMax: Math.floor(log.bytes() * 0.25) };
    await log.trim(small, [{ partition: 0, appliedSeq: 2 }], NOW_MS);
    assert.equal(log.extent(0).first, 3);
    await log.trim({ ...small, overflow: 'drop' }, [{ partition: 0, appliedSeq: 2 }], NOW_MS);
    assert.equal(log.extent(0).first, 8);
  });
}

function retentionLimits(check: Check): void {
  check('over its size the oldest frames of all partitions go first', async ({ log }) => {
    const young = draftOf(log, { partition: 0, payloadBytes: 1_000, ms: NOW_MS - 100 });
    const old = draftOf(log, { partition: 1, payloadBytes: 1_000, ms: NOW_MS - 200 });
    await log.append([young, old]);
    const floors = [
      { partition: 0, appliedSeq: 0 },
      { partition: 1, appliedSeq: 0 },
    ];
    await log.trim({ ...KEEP_ALL, bytesMax: 1_500 }, floors, NOW_MS);
    assert.deepEqual([log.extent(0).first, log.extent(1).first], [0, 1]);
  });

  check('the newest write requests of each partition always stay', async ({ log, reopen }) => {
    const drafts = await tenFrames(log);
    const policy: RetentionPolicy = { ageMsMin: 0, bytesMax: 0, overflow: 'drop', writesMin: 5 };
    await log.trim(policy, [{ partition: 0, appliedSeq: 9 }], NOW_MS + 1_000_000);
    assert.equal(log.extent(0).first, 7);
    const again = await reopen();
    assertSame(await readAll(again, 0, 7), drafts.slice(7), 7);
    assert.deepEqual(await again.append([draftOf(again, {})]), [10]);
  });

  check('what a peer needs to rebuild its duplicate window where it will resume stays', async ({ log }) => {
    await tenFrames(log);
    const policy: RetentionPolicy = { ageMsMin: 0, bytesMax: 0, overflow: 'keep', writesMin: 5 };
    await log.trim(policy, [{ partition: 0, appliedSeq: 5 }], NOW_MS + 1_000_000);
    assert.equal(log.extent(0).first, 3);
    assert.equal(await log.seqBack(0, 6, 5), 3);
  });

  check('a partition that was emptied goes on with its seq', async ({ log, reopen }) => {
    await tenFrames(log);
    await log.trim({ ...KEEP_ALL, ageMsMin: 0 }, [{ partition: 0, appliedSeq: 9 }], NOW_MS + 1_000_000);
    const again = await reopen();
    const { first, next, writes } = again.extent(0);
    assert.deepEqual({ first, next, writes }, { first: 10, next: 10, writes: 20 });
    assert.deepEqual(await again.read(0, 10, ALL_BYTES), []);
    assert.deepEqual(await again.append([draftOf(again, {})]), [10]);
  });

  check('a log of many frames is trimmed in the end to the last one that may go', async ({ log }) => {
    for (let i = 0; i < 10; i += 1) {
      await log.append(Array.from({ length: 70 }, (_, j) => draftOf(log, { partition: j % 2, ms: 1_000 + i })));
    }
    const floors = [
      { partition: 0, appliedSeq: 348 },
      { partition: 1, appliedSeq: 10 },
    ];
    assert.equal((await log.trim(KEEP_ALL, floors, NOW_MS)).frames, 349 + 11);
    assert.deepEqual([log.extent(0).first, log.extent(1).first], [349, 11]);
  });
}
