import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { after, test } from 'node:test';
import { driftBookContract } from './book.contract.ts';
import { DRIFT } from './drift.fixture.ts';
import { EmbeddedDriftBook } from './embedded-book.ts';
import { MemoryDriftBook } from './memory-book.ts';

const directory = mkdtempSync(join(tmpdir(), 'wmb-book-'));
after(() => rmSync(directory, { recursive: true, force: true }));
let files = 0;

function newFile(): string {
  files += 1;
  return join(directory, `${files}`, 'checker.db');
}

async function opened(file: string, more: { closedKept?: number; auditsKept?: number } = {}): Promise<EmbeddedDriftBook> {
  const book = new EmbeddedDriftBook({ file, room: 'beijing', ...more });
  await book.open();
  return book;
}

driftBookContract('embedded drift book', () => opened(newFile()));
driftBookContract('drift book in memory', async () => new MemoryDriftBook());

test('what was recorded is there after the process has ended, an audit entry that was begun among it', async () => {
  const file = newFile();
  const book = await opened(file);
  await book.put([DRIFT]);
  await book.audit({ atMs: 1.5, driftId: DRIFT.id, action: 'push', subject: 'k', result: 'begun', by: 'li', detail: '' });
  await book.close();
  const again = await opened(file);
  assert.deepEqual(await again.get(DRIFT.id), DRIFT);
  assert.equal((await again.audits(1))[0]?.result, 'begun');
  await again.close();
});

test('a book of another room, of a newer WMB, in use, or damaged is refused with its file', async () => {
  const file = newFile();
  const book = await opened(file);
  await assert.rejects(opened(file), { code: 'STORE_LOCKED', message: /one room has one checker/ });
  await book.close();
  await assert.rejects(new EmbeddedDriftBook({ file, room: 'guangzhou' }).open(), { code: 'STORE_FOREIGN', message: /room beijing/ });
  const db = new DatabaseSync(file);
  db.exec('UPDATE checker SET format = 9');
  db.close();
  await assert.rejects(opened(file), { code: 'STORE_FOREIGN', message: /newer WMB \(format 9\)/ });
  writeFileSync(file, 'no database at all, but long enough to be taken for the header of one '.repeat(20));
  await assert.rejects(opened(file), { code: 'STORE_CORRUPT', message: new RegExp(file) });
});

test('of closed drifts and of the audit the newest are kept; what is open is never forgotten', async () => {
  const file = newFile();
  const book = await opened(file, { closedKept: 2, auditsKept: 2 });
  for (let n = 0; n < 5; n += 1) {
    await book.put([
      { ...DRIFT, id: `open${n}` },
      { ...DRIFT, id: `closed${n}`, status: 'healed', closedMs: 100 + n },
    ]);
    await book.audit({ atMs: n, driftId: `${n}`, action: 'push', subject: 'k', result: 'repaired', by: 'li', detail: '' });
  }
  await book.close();
  const again = await opened(file, { closedKept: 2, auditsKept: 2 });
  assert.deepEqual(await again.counts(), { open: 5, repaired: 0, healed: 2 });
  const closed = await again.list({ status: 'healed', limit: 10 });
  assert.deepEqual(closed.map(({ id }) => id).sort(), ['closed3', 'closed4']);
  assert.deepEqual(
    (await again.audits(10)).map(({ driftId }) => driftId),
    ['4', '3'],
  );
  await again.close();
});
