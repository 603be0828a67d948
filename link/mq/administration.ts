/** Makes and checks the topics of all inboxes of a room. */
import type { Config, InboxConfig } from '../../core/config/types.ts';
import type { Runtime } from '../../core/runtime.ts';
import { logsTaken } from '../../core/topology.ts';
import { KafkaCluster } from '../../kafka/cluster.ts';
import { makeTopic } from '../../kafka/topics.ts';
import type { InboxAdministration } from '../administration.ts';
import { inboxError } from './errors.ts';
import { checkTopic, needsOf, type TopicWish, topicsOf } from './topics.ts';

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
    const { inbox, runtime } = this.#options;
    await cluster.watch(wish.topic);
    if (cluster.partitions(wish.topic) !== undefined) {
      await checkTopic(cluster, wish, inbox);
      return `topic ${wish.topic}: is there, with the right settings`;
    }
    if (!dryRun) {
      await makeTopic(cluster, { ...wish, replicas: inbox.replicas }, needsOf(inbox.minInSyncReplicas), runtime).catch((cause: unknown) => {
        throw inboxError(cause, cluster.place, `the topic ${wish.topic} cannot be made`);
      });
    }
    return `topic ${wish.topic}: ${dryRun ? 'make it' : 'made'}, ${wish.partitions} partitions with ${inbox.replicas} replicas each`;
  }
}
