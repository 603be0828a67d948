import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { test } from 'node:test';
import { systemRuntime } from '../../core/runtime.ts';
import { draftOf } from '../log.contract.ts';
import { EmbeddedLog, logFile } from './embedded.ts';

test('appends made while a commit runs share the next one, and the event loop runs meanwhile', async (t) => {
  const directory = mkdtempSync(join(tmpdir(), 'wmb-log-'));
  t.after(() => rmSync(directory, { recursive: true }));
  const log = new EmbeddedLog({ directory, log: 'writes', origin: 'beijing', partitions: 1, runtime: systemRuntime, tailBytesMax: 0 });
  await log.open();
  const blocker = new DatabaseSync(logFile(directory));
  blocker.exec('BEGIN IMMEDIATE');
  let answered = 0;
  const commits = new Set<number>();
  const watch = new DatabaseSync(logFile(directory), { readOnly: true });
  const count = () => Number(watch.prepare('SELECT count(*) AS n FROM wmb_log_frames').get()?.n);
  const append = async () => {
    await log.append([draftOf(log, {})]);
    answered += 1;
    commits.add(count());
  };
  const first = append();
  // The first commit is on its way to the worker, where it waits for the blocker; the loop goes on.
  await new Promise((resolve) => setImmediate(resolve));
  const later = Array.from({ length: 20 }, append);
  await new Promise((resolve) => setImmediate(resolve));
  assert.equal(answered, 0);
  blocker.exec('COMMIT');
  await Promise.all([first, ...later]);
  // Whoever is answered sees at least its own commit; twenty appends in one commit show one count.
  assert.ok(commits.size <= 2, `commits seen: ${[...commits]}`);
  assert.ok(commits.has(21));
  blocker.close();
  watch.close();
  await log.close();
});

test('close waits for the appends that were made, and refuses later ones', async (t) => {
  const directory = mkdtempSync(join(tmpdir(), 'wmb-log-'));
  t.after(() => rmSync(directory, { recursive: true }));
  const open = async () => {
    const log = new EmbeddedLog({ directory, log: 'writes', origin: 'beijing', partitions: 1, runtime: systemRuntime, tailBytesMax: 0 });
    await log.open();
    return log;
  };
  const log = await open();
  const appends = [1, 2, 3].map(() => log.append([draftOf(log, {})]));
  const late = draftOf(log, {});
  await log.close();
  assert.deepEqual((await Promise.all(appends)).flat(), [0, 1, 2]);
  await assert.rejects(log.append([late]), { code: 'LOG_UNAVAILABLE' });
  const again = await open();
  assert.equal(again.extent(0).next, 3);
  await again.close();
});
