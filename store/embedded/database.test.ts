import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { systemRuntime } from '../../core/runtime.ts';
import { databaseContract } from '../database.contract.ts';
import { EmbeddedDatabase } from './database.ts';

databaseContract('embedded', async (schema) => {
  const directory = mkdtempSync(join(tmpdir(), 'wmb-database-'));
  const schemaFile = join(directory, 'schema.sql');
  writeFileSync(schemaFile, schema);
  const make = () =>
    new EmbeddedDatabase({
      directory,
      room: 'beijing',
      role: 'master',
      master: 'beijing',
      schemaFile,
      runtime: systemRuntime,
      onChanges: undefined,
    });
  let store = make();
  await store.open();
  return {
    store,
    async reopen() {
      await store.close();
      store = make();
      await store.open();
      return store;
    },
    async remove() {
      await store.close();
      rmSync(directory, { recursive: true });
    },
  };
});
