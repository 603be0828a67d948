/** `database` of a room's file. Which keys go with which adapter says check-database.ts. */
import { z } from 'zod';
import { address, addressOf, optionalText, passwordOf, path, tlsOf, USER_NAME } from './schema-parts.ts';

export const databaseSchema = z.strictObject({
  adapter: z
    .enum(['embedded', 'mysql'])
    .default('embedded')
    .meta({ description: 'What the database is; as the topology’s `databases` says.' }),
  schemaFile: path.optional().meta({
    ...path.meta(),
    description: 'SQL that creates the tables where they are missing: run at start, or with `mysql` by `wmb db init`.',
    example: './schema.sql',
  }),
  address: address.optional().meta({
    ...address.meta(),
    description: 'Where the server is; only with `mysql`, and then required, as are `name`, `user` and `password`.',
  }),
  name: optionalText(
    'Schema (database) on the server.',
    /^[A-Za-z0-9_$-]{1,64}$/,
    'up to 64 letters, digits, underscores, dollars or hyphens',
  ),
  user: optionalText('User of WMB on the server.', USER_NAME, 'a user name of up to 80 characters'),
  password: passwordOf('The user’s password.'),
  tls: tlsOf('./tls/mysql-ca.pem'),
  replication: z
    .strictObject({
      source: addressOf('The master room’s database server, as this room’s server reaches it.', '10.0.0.1:3306'),
      user: z.string().regex(USER_NAME).meta({
        description: 'User on the master room’s server with the privilege REPLICATION SLAVE.',
        allowed: 'a user name of up to 80 characters',
        example: 'wmb_replica',
      }),
      password: passwordOf('That user’s password.'),
    })
    .optional()
    .meta({
      description: 'For `wmb db replicate` and the checker, in a slave room: whom this room’s server follows, and is compared with.',
      example: null,
    }),
});
