/** Makes and checks the topics of all inboxes of a room. */
import type { Config, InboxConfig } from '../../core/config/types.ts';
import { type Runtime, sleep } from '../../core/runtime.ts';
import { logsTaken } from '../../core/topology.ts';
import { KafkaCluster } from '../../kafka/cluster.ts';
import { troubleOf } from '../../kafka/trouble.ts';
import type { InboxAdministration } from '../administration.ts';
import { inboxError } from './errors.ts';
import { checkTopic, createTopic, type TopicWish, topicsOf } from './topics.ts';

const SEEN_MS_MAX = 10_000;
const SEEN_POLL_MS = 50;

export interface MqAdministrationOptions {
  readonly config: Config;
  readonly inbox: InboxConfig;
  readonly runtime: Runtime;
}

export class MqAdministration implements InboxAdministration {
  readonly #options: MqAdministrationOptions;

  constructor(options: MqAdministrationOptions) {
    this.#options = options;
  }

  async *init({ dryRun }: { readonly dryRun: boolean }): AsyncGenerator<string> {
    const { config, inbox, runtime } = this.#options;
    const { topology, room } = config;
    const cluster = new KafkaCluster({ servers: inbox, clientId: `wmb-${room.id}`, runtime });
    try {
      for (const { id: origin } of topology.rooms.filter(({ id }) => id !== room.id)) {
        const logs = logsTaken(topology, origin, room.id);
        for (const wish of topicsOf({ origin, logs, partitions: topology.partitions })) yield await this.#topic(cluster, wish, dryRun);
      }
    } catch (cause) {
      throw inboxError(cause, cluster.place, 'the inboxes cannot be made');
    } finally {
      cluster.close();
    }
  }

  async #topic(cluster: KafkaCluster, wish: TopicWish, dryRun: boolean): Promise<string> {
    const { inbox } = this.#options;
    await cluster.watch(wish.topic);
    if (cluster.partitions(wish.topic) !== undefined) {
      await checkTopic(cluster, wish);
      return `topic ${wish.topic}: is there, with the right settings`;
    }
    if (!dryRun) await this.#create(cluster, wish);
    return `topic ${wish.topic}: ${dryRun ? 'make it' : 'made'}, ${wish.partitions} partitions with ${inbox.replicas} replicas each`;
  }

  async #create(cluster: KafkaCluster, wish: TopicWish): Promise<void> {
    const { inbox, runtime } = this.#options;
    try {
      await createTopic(cluster, wish, inbox);
    } catch (cause) {
      // Another `wmb link init` may have been first.
      if (troubleOf(cause).type !== 'TOPIC_ALREADY_EXISTS')
        throw inboxError(cause, cluster.place, `the topic ${wish.topic} cannot be made`);
    }
    const startedMs = runtime.monotonicMs();
    const isSeen = () => cluster.partitions(wish.topic)?.every(({ leader }) => leader !== undefined) === true;
    for (await cluster.refresh(); !isSeen() && runtime.monotonicMs() - startedMs < SEEN_MS_MAX; await cluster.refresh())
      await sleep(runtime, SEEN_POLL_MS);
  }
}
