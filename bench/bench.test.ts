import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { test } from 'node:test';
import { promisify } from 'node:util';
import type { Row } from './report.ts';

/** No time is asserted here: a shared machine would make it a lie. */
test('a quick bench runs to its end and has every row, each with a number', async () => {
  const main = new URL('./main.ts', import.meta.url).pathname;
  const { stdout } = await promisify(execFile)(process.execPath, ['--disable-warning=ExperimentalWarning', main, '--quick', '--json']);
  const rows = JSON.parse(stdout) as Row[];
  const missing = [
    'bare SQLite upserts',
    'bare gRPC stream',
    'acked as logged',
    'applied in both',
    'of the SQLite reference',
    'of the gRPC reference',
    'CPU of beijing/reship',
    'CPU of guangzhou/collector',
    'p50',
    'p99',
    'CPU of all daemons',
    'peak memory',
    'catch-up',
    'clean round over 1,000 keys',
    'per drifted key',
    'first build of the digest tree over 1,000 keys',
    'with checkers',
    'CPU of a checker',
  ].filter((name) => !rows.some((row) => row.what.includes(name) && Number.isFinite(row.value)));
  assert.deepEqual(missing, []);
});
