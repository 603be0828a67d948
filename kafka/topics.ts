/** Topics of frames: one record is one frame, which is kept until WMB removes it. How they must be set for that, and how they are made. */
import { type Runtime, sleep } from '../core/runtime.ts';
import type { KafkaCluster, TopicPartition } from './cluster.ts';
import { troubleOf } from './trouble.ts';

/** What was removed gives its space back when a whole segment is gone. */
const SEGMENT_BYTES = 64 * 1024 * 1024;
const SEEN_MS_MAX = 10_000;
const SEEN_POLL_MS = 50;

export interface TopicNeeds {
  readonly recordBytesMax: number;
  /** Undefined: whatever the topic has. */
  readonly minInSyncReplicas?: number | undefined;
  /** By setting: what would go wrong with another value. */
  readonly why: Readonly<Record<TopicSetting, string>>;
}

/** Settings that depend on what the frames are for. */
type TopicSetting = 'cleanup.policy' | 'retention.ms' | 'retention.bytes' | 'max.message.bytes' | 'min.insync.replicas';

interface Rule {
  readonly name: string;
  readonly wanted: string;
  readonly isRight: (value: string) => boolean;
  readonly why: string;
}

function rulesOf({ recordBytesMax, minInSyncReplicas, why }: TopicNeeds): readonly Rule[] {
  const exactly = (name: TopicSetting, wanted: string): Rule => ({ name, wanted, isRight: (value) => value === wanted, why: why[name] });
  const atLeast = (name: TopicSetting, least: number): Rule => ({
    name,
    wanted: String(least),
    isRight: (value) => Number(value) >= least,
    why: why[name],
  });
  return [
    exactly('cleanup.policy', 'delete'),
    exactly('retention.ms', '-1'),
    exactly('retention.bytes', '-1'),
    {
      name: 'compression.type',
      wanted: 'producer',
      isRight: (value) => value === 'producer' || value === 'uncompressed',
      why: 'frames are compressed already, and are read as they were written',
    },
    atLeast('max.message.bytes', recordBytesMax),
    ...(minInSyncReplicas === undefined ? [] : [atLeast('min.insync.replicas', minInSyncReplicas)]),
    {
      name: 'unclean.leader.election.enable',
      wanted: 'false',
      isRight: (value) => value === 'false',
      why: 'a replica that lacks acked frames could become the leader',
    },
  ];
}

/** What is wrong with the settings of a topic and the command that corrects it, to follow the topic's name; undefined: nothing. Asks once. */
export async function wrongSettings(cluster: KafkaCluster, topic: string, needs: TopicNeeds): Promise<string | undefined> {
  const rules = rulesOf(needs);
  const settings = await cluster.settings(
    topic,
    rules.map(({ name }) => name),
  );
  const wrong = rules.filter(({ name, isRight }) => !isRight(settings.get(name) ?? ''));
  if (wrong.length === 0) return undefined;
  const told = wrong.map(({ name, wanted, why }) => `${name} is ${settings.get(name)} and must be ${wanted}: ${why}`);
  const changes = wrong.map(({ name, wanted }) => `${name}=${wanted}`).join(',');
  return `is set wrongly: ${told.join('; ')}. Correct it: kafka-configs.sh --alter --entity-type topics --entity-name ${topic} --add-config ${changes}`;
}

/** To follow the topic's name where a partition has fewer replicas than a setting of the room asks for; undefined: none has. `asked`: by setting. */
export function fewReplicas(partitions: readonly TopicPartition[], asked: Readonly<Record<string, number>>): string | undefined {
  for (const [setting, least] of Object.entries(asked)) {
    const few = partitions.find(({ replicas }) => replicas < least);
    if (few === undefined) continue;
    const remedy = `give it more with kafka-reassign-partitions.sh, or lower ${setting}`;
    return `has ${few.replicas} replicas of partition ${few.partition}, and ${setting} asks for ${least}; ${remedy}`;
  }
  return undefined;
}

export interface TopicSize {
  readonly topic: string;
  readonly partitions: number;
  readonly replicas: number;
}

/** Makes the topic, unless somebody else was first, and returns when its partitions have leaders and every broker knows of it, or that is waited for in vain. */
export async function makeTopic(cluster: KafkaCluster, size: TopicSize, needs: TopicNeeds, runtime: Runtime): Promise<void> {
  const { topic, partitions, replicas } = size;
  const settings = [
    ...rulesOf(needs).map(({ name, wanted }) => ({ name, value: wanted })),
    { name: 'segment.bytes', value: `${SEGMENT_BYTES}` },
  ];
  try {
    await cluster.createTopic({ topic, numPartitions: partitions, replicationFactor: replicas, configEntries: settings });
  } catch (cause) {
    if (troubleOf(cause).type !== 'TOPIC_ALREADY_EXISTS') throw cause;
  }
  const startedMs = runtime.monotonicMs();
  while (!(await cluster.isKnownEverywhere(topic)) && runtime.monotonicMs() - startedMs < SEEN_MS_MAX) await sleep(runtime, SEEN_POLL_MS);
  await cluster.refresh();
}
