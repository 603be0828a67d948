/** The simulator as its tests start it. */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

/** Each hunt takes a minute or so on a machine that is free. */
export const HUNT_MS_MAX = 300_000;

/** In a process of its own: the test runner follows every promise of its own process, which takes the simulator three times as long. */
export async function simulate(args: readonly string[], signal: AbortSignal): Promise<string> {
  const main = fileURLToPath(new URL('main.ts', import.meta.url));
  const hunt = promisify(execFile)(process.execPath, [...process.execArgv, main, ...args], { signal });
  const { stdout } = await hunt.catch((cause: { readonly stdout?: string }) => assert.fail(cause.stdout || String(cause)));
  return stdout;
}
