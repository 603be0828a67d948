/** A short soak with a fixed seed; `npm run soak` is the long one. */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { test } from 'node:test';
import { promisify } from 'node:util';

const MAIN = new URL('../../bench/soak/main.ts', import.meta.url).pathname;

function soak(...options: readonly string[]): Promise<{ readonly stdout: string }> {
  return promisify(execFile)(process.execPath, ['--disable-warning=ExperimentalWarning', MAIN, ...options]);
}

test('under traffic, cuts, pauses and kills no checker reports a drift; what is tampered with afterwards is found, and only that', async () => {
  const { stdout } = await soak('--minutes', '0.2', '--rate', '400', '--seed', '7');
  assert.match(stdout, /[1-9] × SIGKILL/);
  assert.match(stdout, / 0 false drifts\n/);
  assert.match(stdout, /all rooms verified, no drift\n/);
  assert.match(stdout, /\n +\d+ s {2}4 of 4 found\n/);
  assert.match(stdout, /No drift but those that were made; those were found, repaired and verified\.\n$/);
});

test('a wrong option of the soak is refused before anything is started', async () => {
  await assert.rejects(soak('--rooms', '1'), (error: { code?: number; stderr?: string }) => {
    assert.equal(error.code, 2);
    assert.match(error.stderr ?? '', /USAGE: --rooms is 1; it must be 2 to 5/);
    return true;
  });
});
