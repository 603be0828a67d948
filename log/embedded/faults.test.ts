import assert from 'node:assert/strict';
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, copyFileSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { DatabaseSync } from 'node:sqlite';
import { type TestContext, test } from 'node:test';
import { systemRuntime } from '../../core/runtime.ts';
import { draftOf, readAll } from '../log.contract.ts';
import { EmbeddedLog, type EmbeddedLogOptions, logFile } from './embedded.ts';
import { EmbeddedLogReader } from './reader.ts';
import { frameId } from './schema.ts';

const CHILD = new URL('./appender.child.ts', import.meta.url).pathname;

const stacks = new WeakMap<TestContext, (() => unknown)[]>();

/** Undoes in the reverse order (t.after alone would remove a directory before its log is closed). */
function later(t: TestContext, undo: () => unknown): void {
  const stack = stacks.get(t) ?? [];
  if (stack.length === 0) {
    t.after(async () => {
      for (const each of stack.reverse()) await each();
    });
  }
  stack.push(undo);
  stacks.set(t, stack);
}

function directoryOf(t: TestContext): string {
  const directory = mkdtempSync(join(tmpdir(), 'wmb-log-'));
  later(t, () => rmSync(directory, { recursive: true, force: true }));
  return directory;
}

function logOf(directory: string, options: Partial<EmbeddedLogOptions> = {}): EmbeddedLog {
  return new EmbeddedLog({
    directory,
    log: 'writes',
    origin: 'beijing',
    partitions: 2,
    runtime: systemRuntime,
    tailBytesMax: 0,
    ...options,
  });
}

async function openLog(t: TestContext, directory: string, options: Partial<EmbeddedLogOptions> = {}): Promise<EmbeddedLog> {
  const log = logOf(directory, options);
  await log.open();
  later(t, () => log.close());
  return log;
}

/** Changes a log's tables behind its back. */
function tamper(directory: string, sql: string, ...params: (number | string)[]): void {
  const db = new DatabaseSync(logFile(directory));
  try {
    assert.ok(db.prepare(sql).run(...params).changes > 0);
  } finally {
    db.close();
  }
}

function flipByte(directory: string, id: number, at: number): void {
  const db = new DatabaseSync(logFile(directory));
  try {
    const frame = Buffer.from(db.prepare('SELECT frame FROM wmb_log_frames WHERE id = ?').get(id)?.frame as Uint8Array);
    frame[at] = (frame[at] ?? 0) ^ 1;
    db.prepare('UPDATE wmb_log_frames SET frame = ? WHERE id = ?').run(frame, id);
  } finally {
    db.close();
  }
}

function childOf(t: TestContext, directory: string, options: { mode?: string; uid?: number } = {}) {
  const args = ['--disable-warning=ExperimentalWarning', CHILD, directory, options.mode ?? 'append'];
  const user = options.uid === undefined ? {} : { uid: options.uid, gid: options.uid };
  const child: ChildProcess = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit'], ...user });
  later(t, () => child.kill('SIGKILL'));
  assert.ok(child.stdout);
  return { child, lines: createInterface({ input: child.stdout })[Symbol.asyncIterator]() };
}

test('a flipped byte in a stored frame is found, with its position, after the sound frames before it', async (t) => {
  const directory = directoryOf(t);
  const log = await openLog(t, directory);
  await log.append(Array.from({ length: 5 }, (_, i) => draftOf(log, { partition: 1, ms: 1_000 + i })));
  flipByte(directory, frameId(1, 3), 100);
  assert.equal((await log.read(1, 0, 1_000_000)).length, 3);
  await assert.rejects(log.read(1, 3, 1_000_000), (error: Error) => {
    assert.match(error.message, new RegExp(`beijing/1@${log.epoch}:3\\.0`));
    return 'code' in error && error.code === 'LOG_CORRUPT';
  });
  assert.equal((await log.read(1, 4, 1_000_000)).length, 1);
});

test('a frame that belongs to another place is found although its checksum is right', async (t) => {
  const directory = directoryOf(t);
  const log = await openLog(t, directory);
  await log.append([draftOf(log, { partition: 0 }), draftOf(log, { partition: 1 })]);
  tamper(
    directory,
    'UPDATE wmb_log_frames SET frame = (SELECT frame FROM wmb_log_frames WHERE id = ?) WHERE id = ?',
    frameId(0, 0),
    frameId(1, 0),
  );
  await assert.rejects(log.read(1, 0, 1_000_000), { code: 'LOG_CORRUPT', message: /names writes\/beijing\/0/ });
});

test('frames that vanished from the tail are a gap, and their seqs are never given again', async (t) => {
  const directory = directoryOf(t);
  const before = logOf(directory);
  await before.open();
  await before.append(Array.from({ length: 5 }, (_, i) => draftOf(before, { ms: 1_000 + i })));
  await before.close();
  tamper(directory, 'DELETE FROM wmb_log_frames WHERE id >= ?', frameId(0, 3));
  const log = await openLog(t, directory);
  assert.equal((await log.read(0, 0, 1_000_000)).length, 3);
  await assert.rejects(log.read(0, 3, 1_000_000), { code: 'LOG_GAP', message: /3 to 4/ });
  assert.deepEqual(await log.append([draftOf(log, {})]), [5]);
  await assert.rejects(log.read(0, 3, 1_000_000), { code: 'LOG_GAP', message: /3 to 4/ });
  assert.equal((await log.read(0, 5, 1_000_000)).length, 1);
});

test('a log whose counters were set back refuses to append instead of giving a seq twice', async (t) => {
  const directory = directoryOf(t);
  const log = await openLog(t, directory);
  await log.append([draftOf(log, {}), draftOf(log, {})]);
  tamper(directory, 'UPDATE wmb_log_partitions SET next = 1 WHERE partition = 0');
  await assert.rejects(log.append([draftOf(log, {})]), { code: 'LOG_CORRUPT' });
});

test('a second log on the same directory is refused, in this process too, until the first is closed', async (t) => {
  const directory = directoryOf(t);
  const log = await openLog(t, directory);
  await assert.rejects(logOf(directory).open(), { code: 'LOG_LOCKED', message: new RegExp(`\\(${process.pid}\\)`) });
  await log.close();
  await openLog(t, directory);
});

test('the directory of another process is refused with its pid; after its SIGKILL every acked frame is there', async (t) => {
  const directory = directoryOf(t);
  const { child, lines } = childOf(t, directory);
  assert.match(String((await lines.next()).value), /^open /);
  await assert.rejects(logOf(directory).open(), { code: 'LOG_LOCKED', message: new RegExp(`process ${child.pid}\\b`) });
  const acks: string[] = [];
  for (let i = 0; i < 200; i += 1) acks.push(String((await lines.next()).value));
  const exit = once(child, 'exit');
  child.kill('SIGKILL');
  for (let line = await lines.next(); line.done !== true; line = await lines.next()) acks.push(line.value);
  await exit;
  const log = await openLog(t, directory);
  const stored = [await readAll(log, 0), await readAll(log, 1)];
  for (const ack of acks.filter((line) => /^ack \d \d+ [0-9a-f]{32}$/.test(line))) {
    const [, partition, seq, ending] = ack.split(' ');
    const frame = stored[Number(partition)]?.[Number(seq)];
    assert.equal(frame && Buffer.from(frame.bytes).toString('hex', frame.bytes.length - 16), ending, ack);
  }
  const next = stored[0]?.length;
  assert.deepEqual(await log.append([draftOf(log, {})]), [next]);
});

test('a directory that cannot be written is said to be so', async (t) => {
  const directory = directoryOf(t);
  await (await openLog(t, directory)).close();
  chmodSync(directory, 0o555);
  // Root may write anywhere: the child runs as nobody then.
  const { lines } = childOf(t, directory, { mode: 'open', ...(process.getuid?.() === 0 ? { uid: 65534 } : {}) });
  assert.match(String((await lines.next()).value), new RegExp(`^failed LOG_READONLY ${directory}`));
  const { lines: below } = childOf(t, join(directory, 'new'), { mode: 'open', ...(process.getuid?.() === 0 ? { uid: 65534 } : {}) });
  assert.match(String((await below.next()).value), /^failed LOG_READONLY/);
});

test('a directory of another room, log, or partition count is refused, both sides named', async (t) => {
  const directory = directoryOf(t);
  await (await openLog(t, directory)).close();
  await assert.rejects(logOf(directory, { origin: 'guangzhou' }).open(), { code: 'LOG_FOREIGN', message: /room beijing.*room guangzhou/ });
  await assert.rejects(logOf(directory, { partitions: 8 }).open(), { code: 'LOG_FOREIGN', message: /2 partitions.*8 partitions/ });
  await assert.rejects(logOf(directory, { log: 'effects' }).open(), { code: 'LOG_FOREIGN', message: /writes log.*effects log/ });
  await openLog(t, directory);
});

test('a directory of a newer format is refused', async (t) => {
  const directory = directoryOf(t);
  await (await openLog(t, directory)).close();
  tamper(directory, 'UPDATE wmb_log_identity SET format = 99');
  await assert.rejects(logOf(directory).open(), { code: 'LOG_FOREIGN', message: /format 99.*up to 1/ });
});

test('what is not a SQLite file is refused as damaged', async (t) => {
  const directory = directoryOf(t);
  copyFileSync(CHILD, logFile(directory));
  await assert.rejects(logOf(directory).open(), { code: 'LOG_CORRUPT' });
});

test('a reader says when the log is not there yet, and when it is another one', async (t) => {
  const directory = directoryOf(t);
  const reader = (log: 'writes' | 'effects') =>
    new EmbeddedLogReader({ file: logFile(directory), log, origin: 'beijing', runtime: systemRuntime });
  await assert.rejects(reader('writes').open(), { code: 'LOG_UNAVAILABLE' });
  await (await openLog(t, directory)).close();
  await assert.rejects(reader('effects').open(), { code: 'LOG_FOREIGN' });
});

test('a reader whose log is made anew under it stops on a gap and wakes its listeners', async (t) => {
  const directory = directoryOf(t);
  await (await openLog(t, directory)).close();
  const reader = new EmbeddedLogReader({ file: logFile(directory), log: 'writes', origin: 'beijing', runtime: systemRuntime });
  await reader.open();
  later(t, () => reader.close());
  const woken = new Promise((resolve) => reader.onAppend(resolve));
  rmSync(directory, { recursive: true });
  mkdirSync(directory);
  await openLog(t, directory);
  await woken;
  await assert.rejects(reader.read(0, 0, 1_000), { code: 'LOG_GAP', message: /made anew/ });
});

test('a reader hears at once when it is told, and can trim while the log is appended to', async (t) => {
  const directory = directoryOf(t);
  const log = await openLog(t, directory);
  const reader = new EmbeddedLogReader({ file: logFile(directory), log: 'writes', origin: 'beijing', runtime: systemRuntime });
  await reader.open();
  later(t, () => reader.close());
  const heard: number[] = [];
  reader.onAppend((partition) => heard.push(partition));
  await log.append(Array.from({ length: 600 }, (_, i) => draftOf(log, { partition: 1, ms: 1_000 + i })));
  reader.notify(1);
  assert.deepEqual(heard, [1]);
  const appends = Promise.all(Array.from({ length: 50 }, () => log.append([draftOf(log, { partition: 0 })])));
  const policy = { ageMsMin: 0, bytesMax: 0, overflow: 'keep', writesMin: 10 } as const;
  const went = await reader.trim(policy, [{ partition: 1, appliedSeq: 599 }], 1_000_000);
  await appends;
  assert.equal(went.frames, 590);
  assert.deepEqual([log.extent(1).first, reader.extent(1).first], [590, 590]);
  assert.equal(log.extent(0).next, 50);
});

test('on a full disk an append is refused whole, and works again when there is space', async (t) => {
  const directory = directoryOf(t);
  try {
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=8m', 'none', directory], { stdio: 'ignore' });
  } catch {
    return t.skip('mounting a small file system needs root');
  }
  const log = logOf(directory);
  later(t, () => execFileSync('umount', [directory]));
  later(t, () => log.close());
  await log.open();
  // Takes the space that a last checkpoint may need out of the log's reach, to give it back later.
  const ballast = join(directory, 'ballast');
  execFileSync('dd', ['if=/dev/zero', `of=${ballast}`, 'bs=1M', 'count=3'], { stdio: 'ignore' });
  const append = () =>
    log.append([draftOf(log, { partition: 0, payloadBytes: 100_000 }), draftOf(log, { partition: 1, payloadBytes: 100_000 })]);
  let acked = 0;
  await assert.rejects(
    async () => {
      for (; acked < 100; acked += 1) await append();
    },
    { code: 'LOG_FULL' },
  );
  assert.ok(acked > 0);
  assert.deepEqual([log.extent(0).next, log.extent(1).next], [acked, acked]);
  assert.equal((await readAll(log, 0)).length, acked);
  assert.equal(log.trouble?.code, 'LOG_FULL');
  rmSync(ballast);
  assert.deepEqual(await append(), [acked, acked]);
  assert.equal(log.trouble, undefined);
});
