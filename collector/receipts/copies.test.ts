import assert from 'node:assert/strict';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { openCopies } from './copies.ts';

function parentOf(context: TestContext): string {
  const parent = mkdtempSync(join(tmpdir(), 'wmb-copies-'));
  context.after(() => rmSync(parent, { recursive: true, force: true }));
  return parent;
}

test('what a dead process has left goes with the next start, and what a live one works with stays', (context) => {
  const parent = parentOf(context);
  const live = openCopies(parent, 'live');
  writeFileSync(join(live.directory, 'book.db'), 'a copy');
  mkdirSync(join(parent, 'dead'));
  writeFileSync(join(parent, 'dead', 'book.db'), 'a copy');
  const next = openCopies(parent, 'next');
  assert.deepEqual(readdirSync(parent).sort(), ['live', 'next']);
  assert.ok(existsSync(join(live.directory, 'book.db')));
  for (const copies of [live, next]) copies.remove();
  assert.deepEqual(readdirSync(parent), []);
});

test('what another process that starts has removed meanwhile does not keep this one from starting', (context) => {
  const parent = parentOf(context);
  // It has a name, and nothing is behind it.
  symlinkSync(join(parent, 'removed'), join(parent, 'dead'));
  const copies = openCopies(parent, 'next');
  assert.ok(existsSync(copies.directory));
  copies.remove();
});
