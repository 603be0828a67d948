import assert from 'node:assert/strict';
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { WmbError } from '../../core/errors.ts';
import { systemRuntime } from '../../core/runtime.ts';
import { formatStamp } from '../../core/stamp.ts';
import type { FrameDraft } from '../log.ts';
import { FrameIndex } from './frame-index.ts';
import { temporaryDirectory } from './kafka-kit.ts';
import { Known } from './known.ts';

const EPOCH = '0a0a0a0a0a0a0a0a';

function draft(ms: number): FrameDraft {
  const stamp = formatStamp({ ms, counter: 0, writer: 1 });
  return { partition: 0, bytes: Buffer.from('frame'), count: 1, stampFirst: stamp, stampLast: stamp };
}

/** One that has the seqs 0 to 2, of which 0 and 1 were removed. */
async function trimmed(t: TestContext, onWaiting = () => {}): Promise<Known> {
  const directory = temporaryDirectory();
  const shared = { partitions: 1, runtime: systemRuntime };
  const index = new FrameIndex({ ...shared, file: join(directory, 'index.db'), epoch: EPOCH, onTrouble: assert.fail });
  t.after(() => {
    index.close();
    rmSync(directory, { recursive: true });
  });
  const unheard = { onPurged: () => {}, onFound: () => {}, onWaiting };
  const home = { log: 'writes', origin: 'beijing', epoch: EPOCH } as const;
  const known = new Known({ ...shared, home, index, tailBytesMax: 1_000, ...unheard });
  await known.placed(0, 0, [draft(1), draft(2), draft(3)]);
  known.forget(0, 2);
  return known;
}

test('an append that the follower saw first is known once', async (t) => {
  const known = await trimmed(t);
  await known.placed(0, 2, [draft(3)]);
  assert.equal(known.next(0), 3);
});

test('an append to a topic that was made anew is not answered, also where retention had removed the seq that it was given', async (t) => {
  const known = await trimmed(t);
  await assert.rejects(known.placed(0, 0, [draft(4)]), { code: 'LOG_GAP', message: /frames 0 to 1 are missing/ });
  await assert.rejects(known.placed(0, 2, [draft(4)]), {
    code: 'LOG_GAP',
    message: /frames 2 to 2 were acked and are no longer in the topic/,
  });
  assert.equal(known.next(0), undefined);
});

test('a partition that has stopped still gives what is in memory, and says why behind it', async (t) => {
  const known = await trimmed(t);
  known.stop(0, new WmbError('LOG_GAP', 'the topic is another one'));
  assert.deepEqual(
    known.newest(0, 2, 1_000)?.map(({ seq }) => seq),
    [2],
  );
  for (const from of [1, 3]) assert.throws(() => known.newest(0, from, 1_000), { code: 'LOG_GAP', message: 'the topic is another one' });
});

test('an append behind frames that are not known yet has the follower fetch them at once', async (t) => {
  let asked = 0;
  const known = await trimmed(t, () => {
    asked += 1;
  });
  assert.equal(known.isAwaited, false);
  const placed = known.placed(0, 4, [draft(5)]);
  assert.deepEqual([asked, known.isAwaited], [1, true]);
  known.stop(0, new WmbError('LOG_GAP', 'the topic is another one'));
  await assert.rejects(placed, { code: 'LOG_GAP' });
  assert.equal(known.isAwaited, false);
});
