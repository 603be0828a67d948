import { test } from 'node:test';
import { NO_ENGINE } from '../../test/containers/engine.ts';
import { databaseContract } from '../database.contract.ts';
import { makeSchema, makeUsers, opened, testServer } from './database-kit.ts';

const USER = { user: 'wmb', password: 'Contract-7' };

for (const [product, kind, name] of [
  ['MySQL', 'mysql', 'WMB_TEST_MYSQL'],
  ['MariaDB', 'mariadb', 'WMB_TEST_MARIADB'],
] as const) {
  const server = await testServer(name);
  if (server === undefined) {
    test(`database contract: ${product}`, { skip: NO_ENGINE }, () => {});
    continue;
  }
  databaseContract(product, async (schema) => {
    // As the user whom docs/mysql.md says to make, with no privilege more.
    const made = await makeSchema(server, schema, USER);
    await makeUsers(server, kind, made.options.schema, USER.password);
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
