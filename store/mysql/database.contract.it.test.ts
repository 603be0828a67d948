import { test } from 'node:test';
import { NO_ENGINE } from '../../test/containers/engine.ts';
import { databaseContract } from '../database.contract.ts';
import { makeSchema, makeUsers, opened, testServer } from './database-kit.ts';

const USER = { user: 'wmb', password: 'Contract-7' };

const [mysql, mariadb] = await Promise.all([testServer('WMB_TEST_MYSQL'), testServer('WMB_TEST_MARIADB')]);
// Both are up before the first suite begins: the hooks that remove them run when no suite is left that is known of.
for (const [product, kind, server] of [
  ['MySQL', 'mysql', mysql],
  ['MariaDB', 'mariadb', mariadb],
] as const) {
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
