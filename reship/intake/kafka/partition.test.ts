import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { WmbError } from '../../../core/errors.ts';
import { REFUSED_RECORD_KIND } from '../../../core/refused-record.ts';
import { AHEAD_MAX } from './batches.ts';
import { parseNote } from './note.ts';
import { message, TestRoom, waitFor } from './testing.ts';

const batchOf = (from: number, count: number, requestId?: (i: number) => string) => ({
  records: Array.from({ length: count }, (_, i) => message(from + i, requestId?.(from + i))),
});

/** The numbers in the payloads, by key, in the order of the log. */
async function byKey(room: TestRoom): Promise<ReadonlyMap<string, readonly number[]>> {
  const writes = await room.writes();
  return new Map(
    [...Map.groupBy(writes, ({ key }) => key)].map(([key, some]) => [key, some.map(({ payload }) => Number(Buffer.from(payload)))]),
  );
}

async function assertOnceInOrder(room: TestRoom, count: number): Promise<void> {
  const keys = await byKey(room);
  assert.deepEqual(
    [...keys.values()].flat().sort((a, b) => a - b),
    Array.from({ length: count }, (_, i) => i),
  );
  for (const numbers of keys.values())
    assert.deepEqual(
      numbers,
      [...numbers].sort((a, b) => a - b),
    );
}

test('records become write requests in their order, and the offset that is committed has everything below it in the log', async () => {
  const room = new TestRoom();
  room.topic.add(batchOf(0, 50));
  room.topic.add({ ...batchOf(50, 50), codec: 'gzip' });
  room.topic.add({ ...batchOf(100, 50), codec: 'zstd' });
  const member = await room.join(undefined);
  await member.caughtUp();
  member.commit();
  await assertOnceInOrder(room, 150);
  assert.equal(member.commits.at(-1)?.offset, 150);
  assert.equal(member.intake.lag, 0);
  await member.intake.finish();
  assert.deepEqual(parseNote(member.intake.lastDue()?.note ?? ''), { ahead: 150, place: undefined });
});

describe('delivered again', () => {
  for (const [what, requestId] of [
    ['ids made of their places', undefined],
    ['ids of their own', (i: number) => `r-${i}`],
    ['the same id for several of one key', (i: number) => `r-${i % 7}`],
  ] as const) {
    test(`records with ${what} that were taken and not committed are not taken twice`, async () => {
      const room = new TestRoom();
      for (let i = 0; i < 10; i += 1) room.topic.add(batchOf(i * 10, 10, requestId));
      const first = await room.join(undefined);
      first.commit();
      await first.caughtUp();
      await first.intake.finish();
      const second = await room.join(first.commits.at(-1));
      room.topic.add(batchOf(100, 10, requestId));
      await second.caughtUp();
      await assertOnceInOrder(room, 110);
      second.commit();
      assert.equal(second.commits.at(-1)?.offset, 110);
      await second.intake.finish();
    });
  }

  test('a member that dies again and again, wherever it is, leaves each record in the log once', async () => {
    const room = new TestRoom();
    let committed: Parameters<TestRoom['join']>[0];
    for (let life = 0; life < 30; life += 1) {
      room.topic.add(batchOf(life * 20, 20));
      const member = await room.join(committed);
      member.pump();
      if (life % 3 === 0) member.commit();
      await waitFor(() => member.intake.offset > (committed?.offset ?? 0) || life % 4 === 0);
      if (life % 5 === 0) member.commit();
      await member.intake.finish();
      committed = member.commits.at(-1);
    }
    const last = await room.join(committed);
    await last.caughtUp();
    await assertOnceInOrder(room, 600);
    await last.intake.finish();
  });

  for (const [what, fails] of [
    ['of a log that says nothing', true],
    ['of an intake that is full', false],
  ] as const) {
    test(`a member that gives its partition up in the middle ${what} leaves word of where what it took lies`, async () => {
      const room = new TestRoom({ pendingWritesMax: 7 });
      room.topic.add(batchOf(0, 100));
      let committed: Parameters<TestRoom['join']>[0];
      for (let life = 0; life < 4; life += 1) {
        let appends = 0;
        room.append = async (drafts) => {
          appends += 1;
          const seqs = await room.log.append(drafts);
          if (fails && appends > 1) throw new WmbError('LOG_UNAVAILABLE', 'it did not answer');
          return seqs;
        };
        const member = await room.join(committed);
        member.pump();
        member.commit();
        await waitFor(() => appends > 1);
        await member.intake.finish();
        committed = member.intake.lastDue() ?? member.commits.at(-1);
      }
      room.append = undefined;
      const last = await room.join(committed);
      await last.caughtUp();
      await assertOnceInOrder(room, 100);
      await last.intake.finish();
    });
  }

  test('one that dies again before it has passed what an earlier member took leaves word of where that lies', async () => {
    const room = new TestRoom();
    for (let i = 0; i < 5; i += 1) room.topic.add(batchOf(i * 10, 10));
    const first = await room.join(undefined);
    first.commit();
    await first.caughtUp();
    await first.intake.finish();
    const second = await room.join(first.commits[0]);
    second.intake.take(room.topic.fetch({ partition: 0, from: 0, bytesMax: 1 }), 0);
    await waitFor(() => second.intake.offset === 10);
    second.commit();
    await second.intake.finish();
    const third = await room.join(second.commits.at(-1));
    await third.caughtUp();
    await assertOnceInOrder(room, 50);
    await third.intake.finish();
  });

  test('where an earlier member left something, nobody says that nothing lies beyond before that is passed', async () => {
    const room = new TestRoom();
    room.topic.add(batchOf(0, 10));
    const first = await room.join(undefined);
    await first.caughtUp();
    await first.intake.finish();
    const second = await room.join(first.commits[0]);
    await second.intake.finish();
    const last = second.intake.lastDue();
    assert.equal(last?.offset, 0);
    const third = await room.join(last);
    await third.caughtUp();
    await assertOnceInOrder(room, 10);
    await third.intake.finish();
  });
});

describe('a log that fails', () => {
  test('what it took without saying so is not appended twice, and what it did not take is', async () => {
    const room = new TestRoom();
    let appends = 0;
    room.append = async (drafts) => {
      appends += 1;
      if (appends % 4 === 1) throw new WmbError('LOG_UNAVAILABLE', 'it is away');
      const seqs = await room.log.append(drafts);
      if (appends % 4 === 3) throw new WmbError('LOG_UNAVAILABLE', 'it did not answer');
      return seqs;
    };
    for (let i = 0; i < 5; i += 1) room.topic.add(batchOf(i * 20, 20));
    const member = await room.join(undefined);
    await member.caughtUp();
    await assertOnceInOrder(room, 100);
    assert.ok(appends > 6);
    await member.intake.finish();
  });

  test('what comes into the log after its append has failed is found, and not appended again', async () => {
    const room = new TestRoom();
    const late: Parameters<typeof room.log.append>[0][] = [];
    let appends = 0;
    room.append = async (drafts) => {
      appends += 1;
      if (appends === 2) {
        late.push(drafts);
        throw new WmbError('LOG_UNAVAILABLE', 'it did not answer');
      }
      for (const earlier of late.splice(0)) await room.log.append(earlier);
      return room.log.append(drafts);
    };
    room.topic.add(batchOf(0, 20));
    room.topic.add(batchOf(20, 20));
    const member = await room.join(undefined);
    await member.caughtUp();
    await assertOnceInOrder(room, 40);
    await member.intake.finish();
  });

  test('an intake that is full gets the rest later, in order', async () => {
    const room = new TestRoom({ pendingWritesMax: 7 });
    room.topic.add(batchOf(0, 100));
    const member = await room.join(undefined);
    await member.caughtUp();
    await assertOnceInOrder(room, 100);
    await member.intake.finish();
  });
});

test('nothing is taken further ahead of what is committed than was noted there', async () => {
  const room = new TestRoom({ pendingWritesMax: 100_000, pendingBytesMax: 100_000_000 });
  for (let i = 0; i < 25; i += 1) room.topic.add(batchOf(i * 1_000, 1_000));
  const asked: number[] = [];
  const member = await room.join(undefined, { commit: () => asked.push(1) });
  await new Promise((resolve) => setTimeout(resolve, 50));
  assert.equal((await room.writes()).length, 0);
  member.commit();
  await waitFor(() => {
    member.pump();
    return member.intake.offset > AHEAD_MAX - 2_048;
  });
  await new Promise((resolve) => setTimeout(resolve, 50));
  assert.ok((await room.writes()).length <= AHEAD_MAX);
  assert.ok(asked.length > 0);
  await member.intake.finish();
});

test('a member that is not sure of its partition appends nothing until it is', async () => {
  const room = new TestRoom();
  room.topic.add(batchOf(0, 10));
  room.held = false;
  const member = await room.join(undefined);
  member.pump();
  await new Promise((resolve) => setTimeout(resolve, 100));
  assert.equal((await room.writes()).length, 0);
  room.held = true;
  await member.caughtUp();
  await assertOnceInOrder(room, 10);
  await member.intake.finish();
});

test('what is no write request goes into the log as what it is, in its place, and what follows goes on', async () => {
  const room = new TestRoom();
  room.topic.add({ records: [message(0), { key: 'k0', value: '{"pay' }, message(7)] });
  const member = await room.join(undefined);
  await member.caughtUp();
  const ofKey = (await room.writes()).filter(({ key }) => key === 'k0');
  assert.deepEqual(
    ofKey.map(({ kind }) => kind),
    ['message', REFUSED_RECORD_KIND, 'message'],
  );
  await member.intake.finish();
});

test('an answer that comes twice, because the partition moved from one broker to another, counts once', async () => {
  const room = new TestRoom();
  room.topic.add(batchOf(0, 10));
  room.topic.add(batchOf(10, 10));
  const member = await room.join(undefined);
  const one = room.topic.fetch({ partition: 0, from: 0, bytesMax: 1 });
  member.intake.take(room.topic.fetch({ partition: 0, from: 0, bytesMax: 1_000_000 }), 0);
  member.intake.take(one, 0);
  assert.equal(member.intake.place()?.from, 20);
  await member.caughtUp();
  await assertOnceInOrder(room, 20);
  await member.intake.finish();
});

describe('transactions', () => {
  test('what is aborted is not taken; what is committed is', async () => {
    const room = new TestRoom();
    room.topic.add({ records: [message(900), message(901)], producerId: 5 });
    room.topic.add({ records: [message(0)], producerId: 6 });
    room.topic.add({ records: [], producerId: 5, end: 'abort' });
    room.topic.aborted.push({ producerId: 5n, firstOffset: 0 });
    room.topic.add({ records: [message(1)], producerId: 5 });
    room.topic.add({ records: [], producerId: 6, end: 'commit' });
    room.topic.add({ records: [], producerId: 5, end: 'commit' });
    room.topic.add({ records: [message(2)] });
    const member = await room.join(undefined);
    await member.caughtUp();
    await assertOnceInOrder(room, 3);
    assert.equal(member.intake.offset, 8);
    await member.intake.finish();
  });
});

describe('stops, and passes over nothing', () => {
  for (const [codec, what] of [
    ['unknown', /at offset 3: records are compressed in a way that is not known here/],
    ['lz4', /at offset 3: a batch cannot be unpacked/],
  ] as const) {
    test(`at records that are compressed as ${codec} and cannot be unpacked`, async () => {
      const room = new TestRoom();
      room.topic.add(batchOf(0, 3));
      room.topic.add({ ...batchOf(3, 3), codec });
      room.topic.add(batchOf(6, 3));
      const member = await room.join(undefined);
      member.pump();
      await waitFor(() => {
        member.commit();
        return member.intake.stopped !== undefined;
      });
      assert.equal(member.intake.stopped?.code, 'TOPIC_UNFIT');
      assert.match(member.intake.stopped.message, what);
      assert.equal(member.intake.place(), undefined);
      await assertOnceInOrder(room, 3);
      member.commit();
      assert.equal(member.commits.at(-1)?.offset, 3);
      await member.intake.finish();
    });
  }

  test('at a batch that is damaged', async () => {
    const room = new TestRoom();
    const bytes = Buffer.concat([Buffer.alloc(61), Buffer.alloc(40)]);
    bytes.writeInt32BE(bytes.length - 12, 8);
    bytes[16] = 2;
    room.topic.addBytes(bytes, 1);
    const member = await room.join(undefined);
    member.pump();
    await waitFor(() => member.intake.stopped !== undefined);
    assert.match(member.intake.stopped?.message ?? '', /checksum/);
    await member.intake.finish();
  });

  test('at records that are gone, with their range', async () => {
    const room = new TestRoom();
    const member = await room.join({ partition: 0, offset: 5, note: '' });
    member.intake.stopAtGap(9);
    assert.equal(member.intake.stopped?.code, 'TOPIC_GAP');
    assert.match(member.intake.stopped.message, /offsets 5 to 8 are gone/);
    await member.intake.finish();
  });
});
