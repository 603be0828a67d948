/** `cache` of a room's file. Which keys go with which adapter says check-cache.ts. */
import { z } from 'zod';
import { addressOf, between, optionalText, passwordOf, tlsOf, USER_NAME } from './schema-parts.ts';

const NODES_MAX = 64;

export const cacheSchema = z.strictObject({
  adapter: z
    .enum(['embedded', 'redis'])
    .default('embedded')
    .meta({ description: 'What the cache is: a file of the collector, or servers of Redis or Valkey.' }),
  nodes: z
    .array(z.strictObject({ address: addressOf('Where the server is.', '127.0.0.1:6379') }))
    .min(1)
    .max(NODES_MAX)
    .optional()
    .meta({
      description: 'The servers, over which the keys are spread; only with `redis`, and then required.',
      allowed: `a list of 1 to ${NODES_MAX} servers, each { address: host:port }`,
      example: null,
    }),
  user: optionalText(
    'User of WMB on the servers; only with `redis`, and with `password`.',
    USER_NAME,
    'a user name of up to 80 characters',
  ),
  password: passwordOf('The password of the servers, or of the user; only with `redis`.'),
  tls: tlsOf('./tls/redis-ca.pem'),
  database: between(0, 1_023)
    .optional()
    .meta({ description: 'Number of the logical database on the servers; only with `redis`.', defaultText: '0', example: null }),
});
