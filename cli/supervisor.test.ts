import assert from 'node:assert/strict';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { type Running, start } from './testing.ts';

const FIXTURE = fileURLToPath(new URL('./fixture-supervisor.ts', import.meta.url));
const POLITE = `process.on('SIGTERM', () => { console.log('drained'); process.exit(0); }); process.once('disconnect', () => process.exit(0)); console.log('up ' + process.pid); setInterval(() => {}, 1000);`;

function supervise(...scripts: string[]): Running {
  return start([FIXTURE, ...scripts]);
}

/** The second child was started once, and ends with the first one. */
async function assertOtherRanOn(running: Running): Promise<void> {
  running.kill('SIGTERM');
  const { code, stdout } = await running.ended;
  assert.equal(code, 0);
  assert.equal(stdout.match(/child1 \| up/g)?.length, 1);
}

test('output of the children is merged with their names in front, log lines readable', async () => {
  const running = supervise(
    "console.log('hello')",
    `console.error('{"level":"warn","time":"2026-01-01T10:00:00.123Z","name":"x","msg":"lag","peer":"b"}')`,
  );
  const { code, stdout } = await running.ended;
  assert.equal(code, 0);
  assert.deepEqual(stdout.trim().split('\n').sort(), ['child0 | hello', 'child1 | 10:00:00.123 warn  x lag  peer=b']);
});

test('Ctrl-C is passed on as SIGTERM, the children drain, and the exit code is 0', async () => {
  const running = supervise(POLITE, POLITE);
  await running.until('child0 | up');
  await running.until('child1 | up');
  running.kill('SIGINT');
  const { code, stdout } = await running.ended;
  assert.equal(code, 0);
  assert.equal(stdout.match(/drained/g)?.length, 2);
});

test('a child that crashes is started again; the other one runs on', async () => {
  const directory = mkdtempSync(join(tmpdir(), 'wmb-up-'));
  const flag = JSON.stringify(join(directory, 'flag'));
  const crashOnce = `const fs = require('node:fs'); if (!fs.existsSync(${flag})) { fs.writeFileSync(${flag}, ''); process.kill(process.pid, 'SIGKILL'); } else { ${POLITE} }`;
  const running = supervise(crashOnce, POLITE);
  await running.until('child0 ended (SIGKILL); it is started again in');
  await running.until('child0 | up');
  await assertOtherRanOn(running);
  rmSync(directory, { recursive: true });
});

for (const code of [2, 3, 5, 6]) {
  test(`a child that ends with ${code}, which only the user can mend, ends all with that code`, async () => {
    const running = supervise(POLITE, `process.exit(${code})`);
    const ended = await running.ended;
    assert.equal(ended.code, code);
    assert.doesNotMatch(ended.stdout, /started again/);
  });
}

test('a child that has run for a while is started again also after an end that only the user can mend, until that is mended', async () => {
  const directory = mkdtempSync(join(tmpdir(), 'wmb-up-'));
  const file = JSON.stringify(join(directory, 'starts'));
  const works = `const fs = require('node:fs'); fs.appendFileSync(${file}, '.'); const starts = fs.statSync(${file}).size;`;
  const ends = `if (starts === 1) process.exit(1); else if (starts === 2) process.exit(6); else { ${POLITE} }`;
  const running = start([FIXTURE, works + ends, POLITE], { env: { HOURS_PASS: 'yes' } });
  await running.until('child0 ended (exit code 6); it is started again in');
  await running.until('child0 | up');
  await assertOtherRanOn(running);
  rmSync(directory, { recursive: true });
});

test('a second Ctrl-C ends everything at once with 130', async () => {
  const running = supervise("process.on('SIGTERM', () => console.log('deaf')); console.log('up'); setInterval(() => {}, 1000);");
  await running.until('child0 | up');
  running.kill('SIGINT');
  await running.until('deaf');
  running.kill('SIGINT');
  assert.equal((await running.ended).code, 130);
});

test('children end by themselves when their supervisor is killed', async () => {
  const running = supervise(POLITE);
  await running.until('child0 | up');
  running.kill('SIGKILL');
  const { stdout } = await running.ended;
  const pid = Number(/up (\d+)/.exec(stdout)?.[1]);
  while (existsSync(`/proc/${pid}`)) await new Promise((resolve) => setTimeout(resolve, 10));
});
