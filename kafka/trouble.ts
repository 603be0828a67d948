/** What Kafka and the client library say, told in WMB's words. The only place that looks at their names and texts. */
import { tlsTrouble } from '../core/tls-trouble.ts';
import { type MissingRight, missingRight } from './rights.ts';

/**
 * - `away`: it could not be asked, or cannot answer now; it is tried again.
 * - `missing`: there is no such topic, or it is not known yet where it was asked.
 * - `denied`: it refuses the user.
 * - `unfit`: it is too old, or set so that it does not take what it is given.
 * - `beyond`: there is nothing at that offset.
 */
export type TroubleKind = 'away' | 'missing' | 'denied' | 'unfit' | 'beyond';

export interface Trouble {
  readonly kind: TroubleKind;
  /** Kafka's own name of it; empty where it said none. */
  readonly type: string;
  /** What follows the name of the place in a sentence. */
  readonly text: string;
}

type Telling = readonly [kind: TroubleKind, text: string];

const NO_LEADER: Telling = ['away', 'has no leader for the partition at the moment'];
const DENIED_TOPIC: Telling = [
  'denied',
  'does not let the user do this with the topic; grant it READ, WRITE, DESCRIBE, DESCRIBE_CONFIGS and DELETE on it',
];
const DENIED_CLUSTER: Telling = ['denied', writingNowhere('those that it writes to')];
const TOO_LARGE: Telling = ['unfit', 'takes no record of this size; raise max.message.bytes of the topic'];

const TELLINGS: Readonly<Record<string, Telling>> = {
  OFFSET_OUT_OF_RANGE: ['beyond', 'has nothing at this offset'],
  UNKNOWN_TOPIC_OR_PARTITION: ['missing', 'knows no such topic'],
  LEADER_NOT_AVAILABLE: NO_LEADER,
  NOT_LEADER_FOR_PARTITION: NO_LEADER,
  FENCED_LEADER_EPOCH: NO_LEADER,
  UNKNOWN_LEADER_EPOCH: NO_LEADER,
  NOT_ENOUGH_REPLICAS: ['away', 'has fewer replicas in sync than min.insync.replicas asks for; start the other brokers'],
  NOT_ENOUGH_REPLICAS_AFTER_APPEND: ['away', 'has fewer replicas in sync than min.insync.replicas asks for; start the other brokers'],
  KAFKA_STORAGE_ERROR: ['away', 'cannot write to its disk; free space, or repair it'],
  UNKNOWN: ['away', 'has failed for a reason that it does not say; its own log does'],
  MESSAGE_TOO_LARGE: TOO_LARGE,
  RECORD_LIST_TOO_LARGE: TOO_LARGE,
  POLICY_VIOLATION: ['unfit', 'has a policy that does not allow this topic'],
  INVALID_REPLICATION_FACTOR: ['unfit', 'has fewer brokers than the topic shall have replicas; lower `replicas`, or start more brokers'],
  INVALID_CONFIG: ['unfit', 'does not take a setting of the topic'],
  UNSUPPORTED_VERSION: ['unfit', 'is older than 2.4; upgrade it'],
  TOPIC_AUTHORIZATION_FAILED: DENIED_TOPIC,
  CLUSTER_AUTHORIZATION_FAILED: DENIED_CLUSTER,
  SASL_AUTHENTICATION_FAILED: ['denied', 'refuses the user or its password'],
  UNSUPPORTED_SASL_MECHANISM: ['denied', 'does not know the SASL mechanism that is configured'],
  ILLEGAL_SASL_STATE: ['denied', 'does not expect SASL here; leave out `sasl`, or use the port for it'],
};

/** Why a call of KafkaCluster failed. */
export function troubleOf(cause: unknown): Trouble {
  const errors = [...chain(cause)];
  for (const error of errors) {
    const type = 'type' in error && typeof error.type === 'string' ? error.type : '';
    const missing = errors.map(missingRight).find((mark) => mark !== undefined);
    if (type !== '') return missing !== undefined && isDenial(type) ? without(missing, type) : byType(type, error);
  }
  const said = errors.map(({ message }) => message).join('; ');
  if (errors.some(({ name }) => name === 'KafkaJSSASLAuthenticationError')) {
    return { kind: 'denied', type: '', text: `refuses the user or its password (${said})` };
  }
  if (errors.some(({ name }) => name === 'KafkaJSServerDoesNotSupportApiKey'))
    return { kind: 'unfit', type: '', text: 'is older than 2.4; upgrade it' };
  return { kind: 'away', type: '', text: awayText(said) };
}

function awayText(said: string): string {
  const trouble = tlsTrouble(said);
  if (trouble !== undefined) return `${trouble} (${said.trim()})`;
  if (/before secure TLS connection/.test(said)) {
    return `closes the connection where TLS begins; if it speaks none here, leave out \`tls\`, or use its port for it (${said})`;
  }
  if (/Closed connection|closed by the server/.test(said)) {
    return `closes the connection without an answer; where it never answers it may want to know who asks (set \`sasl\`), or speak TLS (set \`tls\`) (${said})`;
  }
  return `cannot be reached or does not answer (${said})`;
}

function isDenial(type: string): boolean {
  const told = TELLINGS[type];
  return told === DENIED_TOPIC || told === DENIED_CLUSTER;
}

function without({ right, topic }: MissingRight, type: string): Trouble {
  const which = topic === undefined ? 'the topic' : `the topic ${topic}`;
  const told =
    TELLINGS[type] === DENIED_CLUSTER ? writingNowhere(topic ?? which) : `does not let the user do this; grant it ${right} on ${which}`;
  return { kind: 'denied', type, text: `${told} (${type})` };
}

/** A sender gets its name where it may write to any topic. */
function writingNowhere(topics: string): string {
  return `lets the user write to no topic; grant it WRITE on ${topics}, and on a Kafka before 2.8 IDEMPOTENT_WRITE on the cluster`;
}

function byType(type: string, error: Error): Trouble {
  const known = TELLINGS[type];
  if (known !== undefined) return { kind: known[0], type, text: `${known[1]} (${type})` };
  const isPassing = 'retriable' in error && error.retriable === true;
  return { kind: isPassing ? 'away' : 'unfit', type, text: `answers ${type}: ${error.message}` };
}

function* chain(cause: unknown): Generator<Error> {
  let next = cause;
  for (let depth = 0; depth < 8 && next instanceof Error; depth += 1) {
    yield next;
    if ('errors' in next && Array.isArray(next.errors) && next.errors[0] instanceof Error) next = next.errors[0];
    else if ('partitions' in next && Array.isArray(next.partitions)) next = next.partitions[0]?.error;
    else next = next.cause;
  }
}
