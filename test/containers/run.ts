/**
 * `npm run test:it -- redis mysql`: the tests on real servers (`.it.test.ts`) whose path contains one of the words; without words, all. Those that take minutes
 * (`.slow.it.test.ts`) are run when WMB_SLOW_TESTS=1 or a word names them. Without a Docker engine nothing is run, and the last lines say so.
 */
import { spawnSync } from 'node:child_process';
import { globSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { chooseTests } from './choose.ts';
import { containersAvailable, NO_ENGINE } from './engine.ts';

const ROOT = join(import.meta.dirname, '../..');
const TIMEOUT_MS = 300_000;
/** As the test runner would have it, but two where there are only two cores: much of what a file does is waiting. `npm run test:unit` has the same. */
const FILES_AT_ONCE = Math.max(2, availableParallelism() - 1);

const say = (text: string) => process.stdout.write(`${text}\n`);

async function main(): Promise<number> {
  const files = globSync('*/**/*.it.test.ts', { cwd: ROOT, exclude: ['node_modules/**', 'dist/**'] }).sort();
  const words = process.argv.slice(2);
  const { chosen, slow } = chooseTests(files, words, process.env['WMB_SLOW_TESTS'] === '1');
  if (chosen.length === 0) {
    say(`No test on real servers has ${words.map((word) => `"${word}"`).join(' or ')} in its path. There are:\n  ${files.join('\n  ')}`);
    return 1;
  }
  if (!(await isThere())) return reportMissing(chosen);
  const run = spawnSync(
    process.execPath,
    [
      '--disable-warning=ExperimentalWarning',
      '--test',
      `--test-concurrency=${FILES_AT_ONCE}`,
      `--test-timeout=${TIMEOUT_MS}`,
      '--test-reporter=spec',
      ...chosen,
    ],
    { cwd: ROOT, stdio: 'inherit' },
  );
  if (slow.length > 0) say(`\nNot run, because they take minutes (WMB_SLOW_TESTS=1 runs them):\n  ${slow.join('\n  ')}`);
  return run.status ?? 1;
}

async function isThere(): Promise<boolean> {
  return containersAvailable().catch(() => false);
}

function reportMissing(files: readonly string[]): number {
  const required = process.env['WMB_REQUIRE_DOCKER'] === '1';
  say(`\n${required ? 'FAILED' : 'SKIPPED'}: ${files.length} files of tests on real servers were not run, because ${NO_ENGINE}:`);
  say(`  ${files.join('\n  ')}`);
  say(required ? 'WMB_REQUIRE_DOCKER=1 asks for one.' : 'Start Docker, or run .ci/images/ensure as root, and then: npm run test:it');
  return required ? 1 : 0;
}

process.exitCode = await main();
