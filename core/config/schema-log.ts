/** `log` of a room's file. Which keys go with which adapter says check-log.ts. */
import { z } from 'zod';
import { BROKERS_ALLOWED, between, brokers, DAY_MS, MIB, saslOf, tlsOf } from './schema-parts.ts';

export const REPLICAS_DEFAULT = 3;

export const logSchema = z.strictObject({
  adapter: z
    .enum(['embedded', 'kafka'])
    .default('embedded')
    .meta({ description: 'Where the log lives: in a file of the daemon, or in topics of Kafka, which `wmb log init` makes.' }),
  brokers: brokers.optional().meta({
    description: 'Some brokers of the room’s Kafka, which name the others; only with `kafka`, and then required.',
    allowed: BROKERS_ALLOWED,
    example: null,
  }),
  replicas: between(1, 32)
    .optional()
    .meta({
      description: 'Brokers that `wmb log init` gives each partition to; only with `kafka`.',
      defaultText: `${REPLICAS_DEFAULT}`,
      example: null,
    }),
  minInSyncReplicas: between(1, 32).optional().meta({
    description:
      'Brokers that must have a frame before it is acked, and that must be there for anything to be acked; only with `kafka`. With fewer than two, what is acked can be lost with one broker.',
    defaultText: 'one less than `replicas`, at least 1',
    example: null,
  }),
  sasl: saslOf('Who WMB is to the brokers; only with `kafka`.'),
  tls: tlsOf('./tls/kafka-ca.pem'),
  retention: z
    .strictObject({
      ageMsMin: between(0, 365 * DAY_MS)
        .default(DAY_MS)
        .meta({ description: 'Frames younger than this stay, milliseconds.' }),
      bytesMax: between(MIB, Number.MAX_SAFE_INTEGER)
        .default(10 * 1024 * MIB)
        .meta({
          description: 'Size to which the log may grow; beyond it, what every peer has applied goes although it is young. Bytes.',
        }),
      overflow: z.enum(['keep', 'drop']).default('keep').meta({
        description:
          'Over `bytesMax` with frames that a peer still needs: `keep` them (the disk is the limit), or `drop` the oldest (that peer then stops on the gap).',
      }),
    })
    .prefault({})
    .meta({ description: 'What may be removed from the old end of the log.' }),
});
