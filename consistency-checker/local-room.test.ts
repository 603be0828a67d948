import assert from 'node:assert/strict';
import { test } from 'node:test';
import { WmbError } from '../core/errors.ts';
import { systemRuntime } from '../core/runtime.ts';
import type { LogReader } from '../log/log.ts';
import type { CacheInspector, EntryDigest } from '../store/inspection.ts';
import { LocalRoom, type OwnCollector } from './local-room.ts';

const ENTRY: EntryDigest = { key: 'k', version: '', hash: 'a'.repeat(16), expireAtMs: 0 };
const QUERY = { by: 'stamp', stamps: ['0'.repeat(24)] } as const;

class Rig {
  readonly asked: string[] = [];
  /** What opening the log fails with, and what reading it fails with. */
  opening: WmbError | undefined;
  reading: WmbError | undefined;
  readonly room: LocalRoom;

  constructor() {
    const inspector: Partial<CacheInspector> = {
      entries: async (buckets) => buckets.map((bucket) => [{ ...ENTRY, key: `stored ${bucket}` }]),
      states: async (keys) => {
        this.asked.push(`states of ${keys.length}`);
        return keys.map(() => undefined);
      },
    };
    const log: Partial<LogReader> = {
      partitions: 1,
      open: async () => {
        this.asked.push('open');
        if (this.opening !== undefined) throw this.opening;
      },
      catchUp: async () => {},
      close: async () => void this.asked.push('close'),
      extent: () => {
        if (this.reading !== undefined) throw this.reading;
        return { partition: 0, first: 0, next: 0, writes: 0, stampLast: '', through: '' };
      },
    };
    this.room = new LocalRoom({
      room: 'beijing',
      inspector: inspector as CacheInspector,
      leaves: {
        nodes: async () => ({ digests: Buffer.alloc(0), keys: 0, built: 1 }),
        entries: async (buckets) => buckets.map(() => [{ ...ENTRY, key: 'within the share of work' }]),
        changedBehindMs: (key) => Number(key),
      },
      collector: {} as OwnCollector,
      log: log as LogReader,
      duplicateWindowWrites: 10,
      runtime: systemRuntime,
    });
  }
}

test('entries are read within the share of work that rounds have; a person’s at once', async () => {
  const rig = new Rig();
  assert.equal((await rig.room.entries([1]))[0]?.[0]?.key, 'within the share of work');
  assert.equal((await rig.room.entries([1], true))[0]?.[0]?.key, 'stored 1');
});

test('many states are read a part at a time, each with the evidence of its bucket', async () => {
  const rig = new Rig();
  const keys = Array.from({ length: 70 }, (_, n) => `${n}`);
  const answers = await rig.room.states(keys);
  assert.deepEqual(
    answers.map(({ key, changedBehindMs }) => [key, changedBehindMs]),
    keys.map((key) => [key, Number(key)]),
  );
  assert.deepEqual(rig.asked, ['states of 32', 'states of 32', 'states of 6']);
});

test('a write log that is not there yet is opened when it is', async () => {
  const rig = new Rig();
  rig.opening = new WmbError('LOG_UNAVAILABLE', 'not yet');
  await assert.rejects(rig.room.findWrites(QUERY), { code: 'LOG_UNAVAILABLE' });
  rig.opening = undefined;
  assert.deepEqual(await Promise.all([rig.room.findWrites(QUERY), rig.room.findWrites(QUERY)]), [[], []]);
  assert.deepEqual(rig.asked, ['open', 'open']);
});

test('a write log that was made anew is opened anew at the next question', async () => {
  const rig = new Rig();
  await rig.room.findWrites(QUERY);
  rig.reading = new WmbError('LOG_GAP', 'was removed or made anew');
  await assert.rejects(rig.room.findWrites(QUERY), { code: 'LOG_GAP' });
  rig.reading = undefined;
  assert.deepEqual(await rig.room.findWrites(QUERY), []);
  assert.deepEqual(rig.asked, ['open', 'close', 'open']);
});
