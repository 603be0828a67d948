/** What a failure of an application's Kafka means, with its remedy. */
import { WmbError } from '../../../core/errors.ts';
import { type TroubleKind, troubleOf } from '../../../kafka/trouble.ts';

const CODES: Readonly<Record<TroubleKind, WmbError['code']>> = {
  away: 'TOPIC_UNAVAILABLE',
  missing: 'TOPIC_MISSING',
  denied: 'TOPIC_DENIED',
  unfit: 'TOPIC_UNFIT',
  beyond: 'TOPIC_GAP',
};

/** What Kafka says about groups and readers, by its own names. */
const GROUP_TELLINGS: Readonly<Record<string, readonly [code: WmbError['code'], text: string]>> = {
  TOPIC_AUTHORIZATION_FAILED: ['TOPIC_DENIED', 'does not let the user read the topic; grant it READ and DESCRIBE on it'],
  GROUP_AUTHORIZATION_FAILED: ['TOPIC_DENIED', 'does not let the user into the group; grant it READ on the group'],
  INCONSISTENT_GROUP_PROTOCOL: [
    'TOPIC_UNFIT',
    'has members of another program in the group; name a group of its own with `group` in `intake.topics`',
  ],
  INVALID_SESSION_TIMEOUT: ['TOPIC_UNFIT', 'does not take a session of this length; set group.min.session.timeout.ms to at most 6000'],
  OFFSET_METADATA_TOO_LARGE: ['TOPIC_UNFIT', 'takes no note beside an offset; set offset.metadata.max.bytes to at least 4096'],
  GROUP_MAX_SIZE_REACHED: ['TOPIC_UNFIT', 'has as many members in the group as it may; raise group.max.size'],
};

export interface TopicPlace {
  readonly topic: string;
  readonly group: string;
  /** `Kafka at HOST:PORT`. */
  readonly kafka: string;
}

/** `cause` is what a call of KafkaCluster rejected with. */
export function topicError(cause: unknown, { topic, group, kafka }: TopicPlace): WmbError {
  if (cause instanceof WmbError) return cause;
  const { kind, type, text } = troubleOf(cause);
  const told = GROUP_TELLINGS[type];
  const [code, what] = told === undefined ? [CODES[kind], text] : [told[0], `${told[1]} (${type})`];
  return new WmbError(code, `the intake topic ${topic} (group ${group}): ${kafka} ${what}`, { cause });
}

export const CLEANUP_POLICY = 'cleanup.policy';

/** What a compacted topic loses before it was taken leaves nothing behind that would tell: offsets have holes in transactions too. */
export function compactedError({ topic, group, kafka }: TopicPlace, policy: string): WmbError {
  const why = 'compaction would remove records before they are taken, and nobody could tell';
  const remedy = `kafka-configs.sh --alter --entity-type topics --entity-name ${topic} --add-config ${CLEANUP_POLICY}=delete`;
  return new WmbError(
    'TOPIC_UNFIT',
    `the intake topic ${topic} (group ${group}) of ${kafka}: ${CLEANUP_POLICY} is ${policy} and must be delete: ${why}. Correct it (${remedy}), or let the application write a topic without compaction`,
  );
}
