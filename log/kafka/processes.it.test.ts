/** Several processes with one log in Kafka, and a broker that dies or stands still under them. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { describe, test } from 'node:test';
import { silentLogger } from '../../core/logger.ts';
import { NO_ENGINE } from '../../test/containers/engine.ts';
import { assertSame, draftOf, readAll } from '../log.contract.ts';
import type { FrameDraft } from '../log.ts';
import { KafkaLog } from './kafka.ts';
import { drafts, succeeds, temporaryDirectory, testKafka, testRoom, until } from './kafka-kit.ts';
import { Onlooker } from './onlooker.ts';
import { KafkaLogReader } from './reader.ts';

const CHILD = new URL('./appender.child.ts', import.meta.url).pathname;

const kafka = await testKafka();
const skip = kafka === undefined && NO_ENGINE;
const address = kafka?.address ?? '';

describe('processes', { skip }, () => {
  test('after the SIGKILL of an appender every frame that was acked is there, with its seq', async (t) => {
    const { place, directory, open } = await testRoom(t, address);
    const child = spawn(process.execPath, ['--disable-warning=ExperimentalWarning', CHILD, address, place.origin, directory], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    t.after(() => child.kill('SIGKILL'));
    const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
    assert.match(String((await lines.next()).value), /^open /);
    const acks: string[] = [];
    for (let i = 0; i < 200; i += 1) acks.push(String((await lines.next()).value));
    const exit = once(child, 'exit');
    child.kill('SIGKILL');
    for (let line = await lines.next(); line.done !== true; line = await lines.next()) acks.push(line.value);
    await exit;
    const log = await open();
    const stored = [await readAll(log, 0), await readAll(log, 1)];
    for (const ack of acks.filter((line) => /^ack \d \d+ [0-9a-f]{32}$/.test(line))) {
      const [, partition, seq, ending] = ack.split(' ');
      const frame = stored[Number(partition)]?.[Number(seq)];
      assert.equal(frame && Buffer.from(frame.bytes).toString('hex', frame.bytes.length - 16), ending, ack);
    }
  });

  test('who looks things up goes on with the index of another process when the one whose index it shared is gone', async (t) => {
    const { place, directory, open } = await testRoom(t, address);
    const [first, second] = [await open(), await open()];
    await first.append(drafts(first, 3, { ms: 1_000, payloadBytes: 10 }));
    await second.catchUp();
    const reader = new KafkaLogReader({ ...place, directory });
    t.after(() => reader.close());
    await until('an index is written', () => succeeds(reader.open()));
    for (const [gone, other] of [
      [first, second],
      [second, await open()],
    ] as const) {
      await gone.close();
      await other.append(drafts(other, 3, { ms: 2_000, payloadBytes: 10 }));
      await until('it has caught up', () => succeeds(reader.catchUp()));
      assert.deepEqual(
        [0, 1].map((partition) => reader.extent(partition).next),
        [0, 1].map((partition) => other.extent(partition).next),
      );
    }
  });

  test('who looks things up where no process is at work has an index of its own, and finds what those append that are elsewhere', async (t) => {
    const { place, directory, open } = await testRoom(t, address);
    const elsewhere = await open({ directory: temporaryDirectory() });
    const append = () => elsewhere.append(drafts(elsewhere, 3, { ms: 1_000, payloadBytes: 10 }));
    await append();
    const own = () => new KafkaLog({ ...place, directory: join(directory, 'checker'), logger: silentLogger, tailBytesMax: 0 });
    const { runtime } = place;
    const onlooker = new Onlooker({ shared: new KafkaLogReader({ ...place, directory }), own, runtime, logger: silentLogger });
    t.after(() => onlooker.close());
    const sees = async (other: KafkaLog) => {
      await onlooker.catchUp();
      for (const partition of [0, 1]) {
        assert.deepEqual(onlooker.extent(partition), other.extent(partition));
        assert.deepEqual(await readAll(onlooker, partition), await readAll(other, partition));
      }
    };
    // No process was ever here.
    await onlooker.open();
    await sees(elsewhere);
    await append();
    await sees(elsewhere);
    await onlooker.close();
    // One was, and is gone.
    const gone = await open();
    await gone.close();
    await onlooker.open();
    await append();
    await sees(elsewhere);
  });

  test('several append at once: each frame has one seq, none is missing, and all see the same log', async (t) => {
    const { open } = await testRoom(t, address);
    const logs = [await open({ directory: temporaryDirectory(), tailBytesMax: 1_000_000 }), await open(), await open()];
    const appended = await Promise.all(
      logs.map(async (log, which) => {
        const mine: { readonly draft: FrameDraft; readonly seq: number }[] = [];
        for (let round = 0; round < 30; round += 1) {
          const batch = drafts(log, 3, { ms: 1_000 * (round + 1) + which, payloadBytes: 200 });
          const seqs = await log.append(batch);
          mine.push(...batch.map((draft, at) => ({ draft, seq: seqs[at] ?? -1 })));
        }
        return mine;
      }),
    );
    const all = appended.flat().sort((a, b) => a.seq - b.seq);
    assert.deepEqual(
      all.map(({ seq }) => seq),
      all.map((_, seq) => seq),
    );
    for (const mine of appended) assert.ok(mine.every(({ seq }, at) => at === 0 || seq > (mine[at - 1]?.seq ?? -1)));
    for (const log of logs) {
      await until('it has heard of all', () => log.extent(0).next === all.length);
      assert.equal(log.extent(0).writes, all.length);
      assertSame(
        await readAll(log, 0),
        all.map(({ draft }) => draft),
      );
    }
    const leases = await Promise.all(logs.map((log) => log.leaseWriter('one of several')));
    assert.equal(new Set(leases.map(({ lease }) => lease)).size, 3);
  });

  test('an index that is missing or damaged is made anew, with the same counts, also of what retention has removed', async (t) => {
    const { directory, open } = await testRoom(t, address);
    const log = await open();
    const stored = drafts(log, 10, { count: 3 });
    await log.append(stored);
    const policy = { ageMsMin: 0, bytesMax: 0, overflow: 'keep', writesMin: 0 } as const;
    await log.trim(policy, [{ partition: 0, appliedSeq: 3 }], 2_000_000_000_000);
    const extent = log.extent(0);
    const bytes = log.bytes();
    assert.equal(extent.first, 4);
    await log.close();
    const file = join(directory, 'index-0', 'index.db');
    for (const spoil of [() => rmSync(file), () => writeFileSync(file, 'no database'.repeat(1_000))]) {
      spoil();
      const again = await open();
      assert.deepEqual(again.extent(0), extent);
      assert.equal(again.bytes(), bytes);
      assert.equal(await again.writesUpTo(0, 5), 18);
      assertSame(await readAll(again, 0, 4), stored.slice(4), 4);
      await again.close();
    }
  });
});

describe('the broker', { skip }, () => {
  test('it is killed under appends: what was acked is stored once, in order, and what was on its way too', async (t) => {
    const { open } = await testRoom(t, address);
    // The broker takes its time to start on a busy machine.
    const log = await open({ appendMsMax: 120_000 });
    const appends: { readonly draft: FrameDraft; readonly seq: number }[] = [];
    let stopping = false;
    const appending = [0, 1, 2].map(async (which) => {
      for (let i = 0; !stopping; i += 1) {
        const draft = draftOf(log, { ms: 1_000 * which + i, payloadBytes: 300 });
        const [seq = -1] = await log.append([draft]);
        appends.push({ draft, seq });
      }
    });
    await until('there are some', () => appends.length > 50);
    await kafka?.container.kill();
    const before = appends.length;
    await kafka?.container.start();
    await until('there are more', () => appends.length > before + 50);
    stopping = true;
    await Promise.all(appending);
    appends.sort((a, b) => a.seq - b.seq);
    assertSame(
      await readAll(log, 0),
      appends.map(({ draft }) => draft),
    );
  });

  test('an append that it does not answer in time is rejected, and is in the log before any later one', async (t) => {
    const { open } = await testRoom(t, address);
    const log = await open({ appendMsMax: 300 });
    const appended = (draft: FrameDraft) => succeeds(log.append([draft]));
    await until('it answers', () => appended(draftOf(log, { ms: 1_000 })));
    const late = draftOf(log, { ms: 5_000 });
    const unsent = draftOf(log, { ms: 6_000 });
    await kafka?.container.freeze();
    const first = assert.rejects(log.append([late]), { code: 'LOG_UNAVAILABLE', message: /may come into the log later/ });
    await new Promise((resolve) => setTimeout(resolve, 50));
    const second = assert.rejects(log.append([unsent]), { code: 'LOG_UNAVAILABLE', message: /was not sent/ });
    await Promise.all([first, second]);
    await kafka?.container.thaw();
    const after = draftOf(log, { ms: 7_000 });
    await until('it answers again', () => appended(after));
    const stored = await readAll(log, 0);
    const placeOf = (draft: FrameDraft) => stored.findIndex(({ bytes }) => Buffer.from(bytes).equals(Buffer.from(draft.bytes)));
    assert.ok(placeOf(late) > 0 && placeOf(late) < placeOf(after), `${placeOf(late)}, ${placeOf(after)}`);
    assert.equal(placeOf(unsent), -1);
    assert.deepEqual(Buffer.from(stored.at(-1)?.bytes ?? []), Buffer.from(after.bytes));
  });
});
