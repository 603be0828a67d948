import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { PassThrough } from 'node:stream';
import { test } from 'node:test';
import type { ServerDuplexStream } from '@grpc/grpc-js';
import { VirtualTime } from '../core/flow/virtual-time.testing.ts';
import type { SubmitRequest, SubmitResponse, WriteRequest, WriteResult } from '../proto/gen/wmb/v1/writes.ts';
import { Clients } from './clients.ts';
import { Sender } from './replay/sender.ts';
import { type FakeRooms, fakeRooms, startWmb, wmb } from './testing.ts';

type Stream = ServerDuplexStream<SubmitRequest, SubmitResponse>;
type Judge = (write: WriteRequest) => Partial<WriteResult>;

const taken: Judge = () => ({ stamp: 'ab', position: 'p' });
const refusedWith = (code: string, retry: string, retryAfterMs = 0): Partial<WriteResult> => ({
  stamp: '',
  error: { code, message: code, retry, retryAfterMs },
});

/** Intake that judges each write request, and remembers those it took. */
function intake(judge: Judge) {
  const seen: string[] = [];
  const submitStream = (stream: Stream) => {
    stream.on('data', ({ writes, batchId }: SubmitRequest) => {
      const results = writes.map(
        (write) => ({ requestId: write.requestId, stamp: '', position: '', outcome: 0, ...judge(write) }) as WriteResult,
      );
      for (const { requestId, stamp } of results) if (stamp !== '') seen.push(requestId);
      stream.write({ results, batchId });
    });
    stream.on('end', () => stream.end());
    stream.on('error', () => {});
  };
  return { seen, room: { writes: { submitStream } } };
}

function lines(count: number): string {
  return Array.from({ length: count }, (_, i) =>
    JSON.stringify({ requestId: `r${i}`, kind: 'cache', key: `k${i % 7}`, payload: [['SET', `k${i % 7}`, i]] }),
  ).join('\n');
}

async function withRooms(rooms: Parameters<typeof fakeRooms>[0], use: (rooms: FakeRooms, file: string) => Promise<void>): Promise<void> {
  const fake = await fakeRooms(rooms);
  try {
    await use(fake, join(fake.directory, 'writes.txt'));
  } finally {
    fake.stop();
  }
}

function ids(from: number, to: number): string[] {
  return Array.from({ length: to - from }, (_, i) => `r${from + i}`);
}

test('every line of a file is submitted once, in order, in batches, and the summary counts them', async () => {
  const { seen, room } = intake(taken);
  await withRooms([room], async ({ configFile }, file) => {
    writeFileSync(file, `${lines(5_000)}\n\n`);
    const { code, stdout } = await wmb(['replay', file, '--json', '--config', configFile]);
    assert.equal(code, 0);
    assert.deepEqual(seen, ids(0, 5_000));
    const { read, taken: count, refused, retried, stopped } = JSON.parse(stdout);
    assert.deepEqual({ read, count, refused, retried, stopped }, { read: 5_000, count: 5_000, refused: 0, retried: 0, stopped: false });
  });
});

test('what an overloaded room puts off is submitted again until it is taken', async () => {
  const tries = new Map<string, number>();
  const { seen, room } = intake(({ requestId }) => {
    tries.set(requestId, (tries.get(requestId) ?? 0) + 1);
    return tries.get(requestId) === 1 && requestId.endsWith('3') ? refusedWith('OVERLOADED', 'later', 20) : taken({} as WriteRequest);
  });
  await withRooms([room], async ({ configFile }, file) => {
    writeFileSync(file, lines(600));
    const { code, stdout } = await wmb(['replay', file, '--json', '--config', configFile]);
    assert.equal(code, 0);
    assert.deepEqual([...seen].sort(), ids(0, 600).sort());
    assert.equal(JSON.parse(stdout).retried, 60);
  });
});

test('a stream that breaks is opened again, and what was on its way is submitted again', async () => {
  const { seen, room } = intake(taken);
  let broken = false;
  const { submitStream } = room.writes;
  room.writes.submitStream = (stream) => {
    if (broken) return submitStream(stream);
    broken = true;
    stream.once('data', () => stream.emit('error', Object.assign(new Error('restarting'), { code: 14 })));
  };
  await withRooms([room], async ({ configFile }, file) => {
    writeFileSync(file, lines(1_000));
    const { code } = await wmb(['replay', file, '--config', configFile]);
    assert.equal(code, 0);
    assert.deepEqual(seen, ids(0, 1_000));
  });
});

test('a refused line is reported with its number and the rest goes on; the exit code is that of the refusal', async () => {
  const { seen, room } = intake(({ requestId }) =>
    requestId === 'r4' ? refusedWith('COMMAND_UNSUPPORTED', 'never') : taken({} as WriteRequest),
  );
  await withRooms([room], async ({ configFile }, file) => {
    writeFileSync(file, lines(10));
    const { code, stdout, stderr } = await wmb(['replay', file, '--config', configFile]);
    assert.equal(code, 5);
    assert.equal(seen.length, 9);
    assert.match(stdout, /9 write requests taken in .*1 refused\n {2}line 5: COMMAND_UNSUPPORTED/);
    assert.match(stderr, /^wmb: COMMAND_UNSUPPORTED: 1 write requests were refused, the first in line 5/);
  });
});

test('a reader module turns lines into write requests, skips what it wants and says the room', async () => {
  const [beijing, guangzhou] = [intake(taken), intake(taken)];
  await withRooms([beijing.room, guangzhou.room], async ({ configFile, directory }, file) => {
    const reader = join(directory, 'reader.mjs');
    writeFileSync(
      reader,
      `
      export const read = (line, number) => number === 1 ? undefined : { requestId: 'r' + line, kind: 'cache', key: line, payload: [['DEL', line]] };
      export const roomOf = (write, rooms) => rooms[Number(write.key) % rooms.length];`,
    );
    writeFileSync(file, 'header\n1\n2\n3\n4');
    assert.equal((await wmb(['replay', file, '--reader', reader, '--config', configFile])).code, 0);
    assert.deepEqual(
      [beijing.seen, guangzhou.seen],
      [
        ['r2', 'r4'],
        ['r1', 'r3'],
      ],
    );
    assert.equal((await wmb(['replay', file, '--reader', reader, '--room', 'guangzhou', '--config', configFile])).code, 0);
    assert.deepEqual(guangzhou.seen.slice(2), ['r1', 'r2', 'r3', 'r4']);
  });
});

test('Ctrl-C stops cleanly and says how far it came', async () => {
  const { seen, room } = intake(taken);
  await withRooms([room], async ({ configFile, directory }, file) => {
    writeFileSync(file, lines(100_000));
    const running = startWmb(['replay', file, '--rate', '200', '--config', configFile]);
    while (seen.length < 20) await new Promise((resolve) => setTimeout(resolve, 20));
    running.kill('SIGINT');
    const { code, stdout, stderr } = await running.ended;
    assert.equal(code, 130);
    assert.match(stdout, new RegExp(`^${seen.length} write requests taken`));
    assert.match(stderr, new RegExp(`stopped after line ${seen.length}\n`), directory);
  });
});

test('a rate is kept', async () => {
  const { seen, room } = intake(taken);
  await withRooms([room], async ({ configFile }, file) => {
    writeFileSync(file, lines(100));
    const { stdout } = await wmb(['replay', file, '--rate', '200', '--json', '--config', configFile]);
    assert.equal(seen.length, 100);
    assert.ok(JSON.parse(stdout).durationMs >= 450, stdout);
  });
});

test('a directory is no file of write requests', async () => {
  await withRooms([{}], async ({ configFile }, file) => {
    const { code, stderr } = await wmb(['replay', dirname(file), '--config', configFile]);
    assert.equal(code, 2);
    assert.match(stderr, /wmb: USAGE: .* is a directory; name a file, or - for stdin/);
  });
});

test('a room that takes nothing is given up with what it says, and with what is to be done about that', async () => {
  const time = new VirtualTime();
  const stream = new PassThrough({ objectMode: true });
  const write = ({ writes, batchId }: SubmitRequest) => {
    const results = writes.map(({ requestId }) => ({
      requestId,
      stamp: '',
      position: '',
      outcome: 0,
      ...refusedWith('LOG_FULL', 'later'),
    }));
    stream.emit('data', { results, batchId });
  };
  const writesClient = () => ({ submitStream: () => Object.assign(stream, { write }) });
  const clients = Object.assign(Object.create(Clients.prototype) as Clients, { writesClient });
  const sender = new Sender({ clients, runtime: time, room: 'beijing', wait: 0, deadlineMs: 0, onResult: () => {}, onRetry: () => {} });
  const given = { requestId: 'r1', kind: 'cache', key: 'k', payload: Buffer.alloc(0), traceparent: '' };
  await sender.add({ lineNumber: 1, write: given, room: undefined });
  const over = assert.rejects(sender.finish(new AbortController().signal), {
    code: 'LOG_FULL',
    message: /beijing has taken nothing for too long: LOG_FULL/,
  });
  await time.advance(40_000);
  await over;
});

test('a room that is not there is given up after a few seconds, with the reason', async () => {
  await withRooms([{}], async ({ configFile }, file) => {
    writeFileSync(file, lines(10));
    const { code, stderr } = await wmb(['replay', file, '--config', configFile]);
    assert.equal(code, 4);
    assert.match(stderr, /wmb: UNREACHABLE: reship of beijing has taken nothing for too long: .*ECONNREFUSED/);
  });
});
