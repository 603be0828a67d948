/** `inbox` and `peers` of a room's file: the Kafkas of links over mq. */
import { z } from 'zod';
import { BROKERS_ALLOWED, between, brokers, saslOf, tlsOf } from './schema-parts.ts';

export const INBOX_REPLICAS_DEFAULT = 3;

const brokersOf = (description: string) => brokers.meta({ description, allowed: BROKERS_ALLOWED, example: ['127.0.0.1:9092'] });

export const inboxSchema = z
  .strictObject({
    brokers: brokersOf('Some brokers of the room’s Kafka, which name the others.'),
    replicas: between(1, 32).default(INBOX_REPLICAS_DEFAULT).meta({ description: 'Brokers that `wmb link init` gives each partition to.' }),
    minInSyncReplicas: between(1, 32).optional().meta({
      description: 'Brokers that must have a frame before its origin takes it for safe.',
      defaultText: 'one less than `replicas`, at least 1',
      example: null,
    }),
    sasl: saslOf('Who WMB is to the brokers.'),
    tls: tlsOf('./tls/kafka-ca.pem'),
  })
  .optional()
  .meta({
    description:
      'The room’s own Kafka, where its peers put frames for it. Without it, that of `log`; where that is embedded too, nothing comes to this room over `mq`.',
  });

export const peersSchema = z
  .record(
    z.string(),
    z.strictObject({
      kafka: z
        .strictObject({
          brokers: brokersOf('Some brokers of the peer’s Kafka, as this room reaches them.'),
          sasl: saslOf('Who WMB is to the brokers.'),
          tls: tlsOf('./tls/kafka-ca.pem'),
        })
        .meta({ description: 'The peer’s Kafka, with its inbox.' }),
    }),
  )
  .default({})
  .meta({
    description: 'Peers to which this room’s reship can send over `mq`.',
    allowed: 'a mapping from room ids to { kafka }',
    keyName: 'ROOM',
    example: 'guangzhou',
  });
