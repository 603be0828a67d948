/** `intake.topics` of a room's file. What must hold beyond it says check-topics.ts. */
import { z } from 'zod';
import { BROKERS_ALLOWED, brokers, saslOf, tlsOf } from './schema-parts.ts';

const TOPICS_MAX = 256;
const TOPIC_NAME = /^(?!\.{1,2}$)[A-Za-z0-9._-]{1,249}$/;
const GROUP_NAME = /^[A-Za-z0-9._-]{1,200}$/;

const topicSchema = z.strictObject({
  topic: z.string().regex(TOPIC_NAME).meta({
    description: 'Name of the topic. It must be there.',
    allowed: 'a topic name: up to 249 letters, digits, dots, hyphens and underscores',
    example: 'app.writes',
  }),
  brokers: brokers.optional().meta({
    description: 'Some brokers of the Kafka that has the topic, which name the others.',
    allowed: BROKERS_ALLOWED,
    defaultText: 'the Kafka of `log`, with its `sasl` and `tls`',
    example: ['127.0.0.1:9092'],
  }),
  format: z.enum(['json', 'protobuf', 'payload']).meta({
    description:
      'What a record’s value is: a write request as JSON, as over HTTP; a `wmb.v1.WriteRequest`; or only the payload of one, whose key is the record’s.',
    example: 'json',
  }),
  kind: z.string().min(1).max(64).optional().meta({
    description: 'Kind of the write requests that name none. Required for `payload`.',
    allowed: 'a kind of the topology, or cache',
    defaultText: 'each names its own',
    example: 'cache',
  }),
  group: z.string().regex(GROUP_NAME).optional().meta({
    description: 'Consumer group, in which the offsets are kept. Another group begins anew at `from`.',
    allowed: 'up to 200 letters, digits, dots, hyphens and underscores',
    defaultText: '`wmb.ROOM.TOPIC`',
    example: null,
  }),
  from: z.enum(['earliest', 'latest']).default('earliest').meta({
    description: 'Where a group begins that has taken nothing yet: at the oldest record that is kept, or with the next one.',
  }),
  sasl: saslOf('Who WMB is to these brokers; only with `brokers`.'),
  tls: tlsOf('./tls/kafka-ca.pem'),
});

export const topicsSchema = z
  .array(topicSchema)
  .max(TOPICS_MAX)
  .default([])
  .meta({ description: 'Topics of Kafka whose records are write requests of this room.', allowed: `a list of up to ${TOPICS_MAX} topics` });
