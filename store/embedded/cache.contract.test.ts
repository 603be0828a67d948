import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { systemRuntime } from '../../core/runtime.ts';
import { cacheContract } from '../cache.contract.ts';
import { CACHE_FILE, EmbeddedCache } from './cache.ts';

cacheContract('the embedded cache', async () => {
  const directory = mkdtempSync(join(tmpdir(), 'wmb-cache-'));
  const open = async () => {
    const store = new EmbeddedCache({ directory, room: 'beijing', runtime: systemRuntime });
    await store.open();
    return store;
  };
  let current = await open();
  const reopen = async () => {
    await current.close();
    current = await open();
    return current;
  };
  /** Another connection puts the rows of the copy in the place of those that are there. */
  let copies = 0;
  const copy = async () => {
    copies += 1;
    const file = join(directory, `copy-${copies}.db`);
    onFile(directory, (db) => db.prepare('VACUUM INTO ?').run(file));
    return async () =>
      onFile(directory, (db) => {
        db.prepare('ATTACH ? AS copy').run(file);
        const tables = db.prepare(`SELECT name FROM copy.sqlite_schema WHERE type = 'table'`).all();
        db.exec(
          `BEGIN; ${tables.map(({ name }) => `DELETE FROM main.${name}; INSERT INTO main.${name} SELECT * FROM copy.${name};`).join('')} COMMIT`,
        );
      });
  };
  const cleanup = async () => {
    await current.close();
    rmSync(directory, { recursive: true });
  };
  return { store: current, reopen, copy, cleanup };
});

function onFile(directory: string, task: (db: DatabaseSync) => unknown): void {
  const db = new DatabaseSync(join(directory, CACHE_FILE));
  try {
    task(db);
  } finally {
    db.close();
  }
}
