import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { after, test } from 'node:test';
import { fileURLToPath } from 'node:url';

const FIXTURE = fileURLToPath(new URL('./fixture-daemon.ts', import.meta.url));

const children: ChildProcess[] = [];
/** A test that gave up must not leave its processes behind: they would keep the runner waiting. */
after(() => {
  for (const child of children) child.kill('SIGKILL');
});

class Run {
  readonly child: ChildProcess;
  stdout = '';
  stderr = '';
  readonly #waiting: (() => void)[] = [];

  constructor(behaviour: object, channel = false) {
    this.child = spawn(process.execPath, ['--disable-warning=ExperimentalWarning', FIXTURE, JSON.stringify(behaviour)], {
      stdio: ['ignore', 'pipe', 'pipe', ...(channel ? (['ipc'] as const) : [])],
    });
    children.push(this.child);
    this.child.stdout?.on('data', (data) => this.#grow(() => (this.stdout += data)));
    this.child.stderr?.on('data', (data) => this.#grow(() => (this.stderr += data)));
  }

  async until(text: string): Promise<void> {
    while (!this.stdout.includes(text) && !this.stderr.includes(text)) await new Promise<void>((resolve) => this.#waiting.push(resolve));
  }

  async exit(): Promise<number | null> {
    const [code] = await once(this.child, 'close');
    return code;
  }

  get steps(): string[] {
    return this.stdout.trim().split('\n');
  }

  #grow(add: () => void): void {
    add();
    for (const resolve of this.#waiting.splice(0)) resolve();
  }
}

const WHOLE_LIFE = [
  ...['start one', 'start two', 'start three', 'running'],
  ...['drain three', 'drain two', 'drain one'],
  ...['stop three', 'stop two', 'stop one'],
];

for (const signal of ['SIGTERM', 'SIGINT'] as const) {
  test(`services start in order and on ${signal} drain, then stop, in reverse order, and the exit code is 0`, async () => {
    const run = new Run({});
    await run.until('running');
    run.child.kill(signal);
    assert.equal(await run.exit(), 0);
    assert.deepEqual(run.steps, WHOLE_LIFE);
  });
}

test('a daemon whose parent is gone ends by itself', async () => {
  const run = new Run({}, true);
  await run.until('running');
  // Node emits no 'close' for a child whose channel was closed from here.
  const exited = once(run.child, 'exit');
  run.child.disconnect();
  assert.deepEqual(await exited, [0, null]);
  await run.until('stop one');
  assert.deepEqual(run.steps, WHOLE_LIFE);
});

test('a daemon whose parent is gone before it has begun ends by itself too', async () => {
  const run = new Run({ beginMs: 200 }, true);
  const exited = once(run.child, 'exit');
  run.child.disconnect();
  // Long enough for a start; without an end of its own the fixture runs for ten minutes.
  const ended = await Promise.race([exited, new Promise((resolve) => setTimeout(resolve, 60_000, 'it runs on').unref())]);
  assert.deepEqual(ended, [0, null]);
});

test('drains that take longer than the limit are given up, and everything is still stopped', async () => {
  const run = new Run({ drainMs: 60_000, drainMsMax: 50 });
  await run.until('running');
  run.child.kill('SIGTERM');
  assert.equal(await run.exit(), 0);
  assert.deepEqual(run.steps.slice(-3), ['stop three', 'stop two', 'stop one']);
  assert.match(run.stderr, /drain limit reached/);
});

test('a daemon that stands still in the middle of its end has as much time for its drains as any other', async () => {
  const run = new Run({ drainMs: 200, drainMsMax: 2_000 });
  await run.until('running');
  run.child.kill('SIGTERM');
  await run.until('drain three');
  run.child.kill('SIGSTOP');
  await new Promise((resolve) => setTimeout(resolve, 2_500));
  run.child.kill('SIGCONT');
  assert.equal(await run.exit(), 0);
  assert.deepEqual(run.steps, WHOLE_LIFE);
});

test('a second Ctrl-C exits at once with 130', async () => {
  const run = new Run({ drainMs: 60_000, drainMsMax: 60_000 });
  await run.until('running');
  run.child.kill('SIGINT');
  await run.until('"cause":"SIGINT"');
  run.child.kill('SIGINT');
  assert.equal(await run.exit(), 130);
});

test('a mistake of the user at start is one line with code and remedy, no stack, and the exit code of the table', async () => {
  const run = new Run({ failCode: 'PORT_IN_USE' });
  assert.equal(await run.exit(), 6);
  assert.equal(
    run.stderr,
    'wmb fixture: PORT_IN_USE: grpc: the address 127.0.0.1:1 is used by another program — Stop the other program or choose another address.\n',
  );
  assert.deepEqual(run.steps, ['start one', 'start two', 'stop two', 'stop one']);
});

test('a daemon of which a service cannot go on ends at once with its code and remedy, without a drain', async () => {
  const run = new Run({ endCode: 'LOG_UNAVAILABLE' });
  assert.equal(await run.exit(), 4);
  assert.match(run.stderr, /^wmb fixture: LOG_UNAVAILABLE: the others have given this one up — /m);
  assert.deepEqual(
    run.steps.filter((step) => step !== 'running'),
    ['start one', 'start two', 'start three', 'stop three', 'stop two', 'stop one'],
  );
});

test('an unexpected error at start is logged with its stack and the exit code is 1', async () => {
  const run = new Run({ crash: true });
  assert.equal(await run.exit(), 1);
  const line = JSON.parse(run.stderr.trim().split('\n').at(-1) ?? '');
  assert.match(line.err.stack, /TypeError: undefined is not a function\n\s+at /);
});

test('a rejection that nobody catches is logged and ends the daemon with 1', async () => {
  const run = new Run({ reject: true });
  assert.equal(await run.exit(), 1);
  assert.match(run.stderr, /nobody catches this/);
});
