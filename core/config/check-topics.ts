/** What `intake.topics` must fulfil beyond its schema: no topic and no group twice, kinds that are known, passwords that are there. */
import type { RoomCheck } from './check-room.ts';
import { checkSasl, checkTlsPair } from './check-server.ts';
import { BUILT_IN_KIND } from './check-topology.ts';
import { nearestName } from './nearest.ts';
import { type Path, quote } from './problem.ts';

/** What stands in them is not an application's: taken in, it would come back as more of it. */
const OWN_TOPIC = /^wmb\.(log|inbox)\./;

type Topic = NonNullable<NonNullable<NonNullable<RoomCheck['room']['intake']>['topics']>[number]>;

export function checkTopics(check: RoomCheck): void {
  const topics = check.room.intake?.topics ?? [];
  for (const [index, topic] of topics.entries()) {
    if (topic === undefined) continue;
    const path = ['intake', 'topics', index];
    checkOwnBrokers(check, path);
    if (topic.topic !== undefined && OWN_TOPIC.test(topic.topic))
      check.report([...path, 'topic'], `is ${quote(topic.topic)}, a topic of a log or an inbox of WMB; allowed: a topic of an application`);
    checkTwice(check, topics.slice(0, index), topic, path);
    checkKind(check, topic, path);
    checkSasl(check, path, topic.sasl);
    checkTlsPair(check, path);
  }
}

function checkOwnBrokers({ room, has, report }: RoomCheck, path: Path): void {
  if (has([...path, 'brokers'])) return;
  if (room.log?.adapter === 'embedded') {
    report([...path, 'brokers'], 'is missing, and the log is not in Kafka; allowed: a list of addresses, for example [127.0.0.1:9092]');
  }
  for (const key of ['sasl', 'tls']) {
    if (has([...path, key]))
      report([...path, key], 'is set without brokers: the topic is in the Kafka of `log`; allowed: only with brokers', 'key');
  }
}

function checkTwice({ report }: RoomCheck, before: readonly (Topic | undefined)[], topic: Topic, path: Path): void {
  const sameTopic = before.findIndex((other) => other !== undefined && other.topic === topic.topic && shareBrokers(other, topic));
  if (sameTopic >= 0 && topic.topic !== undefined)
    report([...path, 'topic'], `is ${quote(topic.topic)}, which topics[${sameTopic}] takes; allowed: each topic once`);
  const sameGroup = topic.group === undefined ? -1 : before.findIndex((other) => other?.group === topic.group);
  if (sameGroup >= 0 && topic.group !== undefined)
    report([...path, 'group'], `is ${quote(topic.group)}, the group of topics[${sameGroup}]; allowed: a group of its own for every topic`);
}

function shareBrokers(one: Topic, other: Topic): boolean {
  return one.brokers === undefined ? other.brokers === undefined : one.brokers.some((broker) => other.brokers?.includes(broker));
}

function checkKind({ topology, has, report }: RoomCheck, { kind, format }: Topic, path: Path): void {
  if (format === 'payload' && !has([...path, 'kind'])) {
    report([...path, 'kind'], 'is missing, and format: payload needs it; allowed: a kind of the topology, or cache');
  }
  const known = topology.kinds === undefined ? undefined : [BUILT_IN_KIND, ...Object.keys(topology.kinds)];
  if (kind === undefined || known === undefined || known.includes(kind)) return;
  const near = nearestName(kind, known);
  const hint = near === undefined ? '' : `; did you mean ${near}?`;
  report([...path, 'kind'], `is ${quote(kind)}, no kind of the topology; allowed: ${known.join(', ')}${hint}`);
}
