import { test } from 'node:test';
import { databaseContract } from '../database.contract.ts';
import { makeSchema, opened, testServer } from './database-kit.ts';

for (const [product, name] of [
  ['MySQL', 'WMB_TEST_MYSQL'],
  ['MariaDB', 'WMB_TEST_MARIADB'],
] as const) {
  const server = testServer(name);
  if (server === undefined) {
    test(`database contract: ${product}`, { skip: `${name} names no server` }, () => {});
    continue;
  }
  databaseContract(product, async (schema) => {
    const made = await makeSchema(server, schema);
    let store = await opened(made.options);
    return {
      store,
      async reopen() {
        await store.close();
        store = await opened(made.options);
        return store;
      },
      async remove() {
        await store.close();
        await made.remove();
      },
    };
  });
}
