/** Makes and checks the topics of a log in Kafka. */
import { WmbError } from '../../core/errors.ts';
import type { LogEpoch } from '../../core/words.ts';
import { KafkaCluster } from '../../kafka/cluster.ts';
import { makeTopic } from '../../kafka/topics.ts';
import type { LogAdministration, LogView } from '../administration.ts';
import { tryAgain } from './calls.ts';
import { kafkaError } from './errors.ts';
import { lostTail } from './known.ts';
import { checkTopic, endsOf, type LogPlace, requireSame } from './open.ts';
import { checkShares } from './receipts.ts';
import { type LogState, Registry } from './registry.ts';
import {
  framesTopic,
  hasTalk,
  needsOf,
  REGISTRY_PARTITIONS,
  receiptsTalkTopic,
  receiptsTopic,
  type TopicWish,
  talkTopic,
} from './topics.ts';

const CALL_MS_MAX = 5_000;

export interface AdministeredLog extends LogPlace {
  /** Of a room that keeps its receipts beside this log: in how many shares. */
  readonly receiptShares?: number | undefined;
}

export class KafkaLogAdministration implements LogAdministration {
  readonly #place: AdministeredLog;

  constructor(place: AdministeredLog) {
    this.#place = place;
  }

  async *init({ dryRun, newEpoch }: { readonly dryRun: boolean; readonly newEpoch: boolean }): AsyncGenerator<string> {
    const cluster = this.#cluster();
    try {
      const registry = new Registry({ cluster, room: this.#place.origin, log: this.#place.log, runtime: this.#place.runtime });
      yield* this.#topic(cluster, this.#wish(registry.topic, REGISTRY_PARTITIONS), dryRun);
      if (hasTalk(this.#place.log)) yield* this.#topic(cluster, this.#wish(talkTopic(this.#place.origin, this.#place.log), 1), dryRun);
      yield* this.#receipts(cluster, dryRun);
      const state = cluster.partitions(registry.topic) && (await registry.load());
      if (state !== undefined) requireSame(state, this.#place, registry.topic);
      if (state === undefined || newEpoch) yield* this.#begin(cluster, registry, { state, dryRun });
      else yield* this.#check(cluster, state);
    } finally {
      cluster.close();
    }
  }

  async inspect(): Promise<LogView> {
    const cluster = this.#cluster();
    const { origin, log, runtime } = this.#place;
    try {
      const registry = new Registry({ cluster, room: origin, log, runtime });
      const state = (await registry.exists()) ? await registry.load() : undefined;
      if (state === undefined)
        throw new WmbError('LOG_UNPREPARED', `${cluster.place} has no ${log} log of room ${origin}; run \`wmb log init\``);
      const topic = framesTopic(origin, log, state.epoch);
      const trouble = await checkTopic(cluster, this.#wish(topic, state.partitions), runtime).then(
        () => '',
        (cause: unknown) => kafkaError(cause, cluster.place, topic).message,
      );
      const ends = await endsOf(cluster, runtime, topic);
      const partitions = (cluster.partitions(topic) ?? []).map(({ partition, leader, replicas, inSync }) => ({
        partition,
        first: ends.first[partition] ?? 0,
        next: ends.end[partition] ?? 0,
        noted: state.next[partition] ?? 0,
        leader,
        replicas,
        inSync,
      }));
      return { log, epoch: state.epoch, topic, trouble, partitions };
    } finally {
      cluster.close();
    }
  }

  async *#receipts(cluster: KafkaCluster, dryRun: boolean): AsyncGenerator<string> {
    const { origin: room, receiptShares: shares, runtime } = this.#place;
    if (shares === undefined) return;
    const topic = receiptsTopic(room);
    await tryAgain({ cluster, runtime, doing: `the topic ${topic} cannot be looked for`, msMax: CALL_MS_MAX }, () => cluster.watch(topic));
    checkShares(cluster, { room, shares }, topic);
    yield* this.#topic(cluster, this.#wish(topic, shares), dryRun);
    yield* this.#topic(cluster, this.#wish(receiptsTalkTopic(room), 1), dryRun);
  }

  /** Makes the topic, or checks the one that is there. */
  async *#topic(cluster: KafkaCluster, wish: TopicWish, dryRun: boolean): AsyncGenerator<string> {
    const { runtime } = this.#place;
    await tryAgain({ cluster, runtime, doing: `the topic ${wish.topic} cannot be looked for`, msMax: CALL_MS_MAX }, () =>
      cluster.watch(wish.topic),
    );
    const size = `${wish.partitions} partitions with ${wish.replicas} replicas each`;
    if (cluster.partitions(wish.topic) !== undefined) {
      await checkTopic(cluster, wish, runtime);
      yield `topic ${wish.topic}: is there, ${size}, with the right settings`;
      return;
    }
    yield `topic ${wish.topic}: make it, ${size}`;
    if (dryRun) return;
    await makeTopic(cluster, wish, needsOf(wish), runtime).catch((cause: unknown) => {
      throw kafkaError(cause, cluster.place, `the topic ${wish.topic} cannot be made`);
    });
  }

  async *#begin(
    cluster: KafkaCluster,
    registry: Registry,
    { state, dryRun }: { readonly state: LogState | undefined; readonly dryRun: boolean },
  ): AsyncGenerator<string> {
    const { origin: room, log, partitions, runtime } = this.#place;
    const epoch = Buffer.from(runtime.bytes(8)).toString('hex');
    if (dryRun) {
      yield `log ${log}: begin a new epoch, with a topic of its own`;
      return;
    }
    yield* this.#topic(cluster, this.#wish(framesTopic(room, log, epoch), partitions), false);
    const made = await registry.make(firstState({ room, log, partitions, epoch, generation: (state?.generation ?? 0) + 1 }));
    if (made.epoch !== epoch) {
      await cluster.deleteTopic(framesTopic(room, log, epoch));
      yield `log ${log}: epoch ${made.epoch}, which another command has begun at the same time`;
      return;
    }
    yield `log ${log}: epoch ${epoch} has begun`;
    if (state !== undefined)
      yield `topic ${framesTopic(room, log, state.epoch)}: has the frames of the epoch before, and is of no more use to WMB; delete it when nobody needs it`;
  }

  async *#check(cluster: KafkaCluster, state: LogState): AsyncGenerator<string> {
    const { origin, log, partitions, runtime } = this.#place;
    const topic = framesTopic(origin, log, state.epoch);
    await checkTopic(cluster, this.#wish(topic, partitions), runtime);
    const { end } = await endsOf(cluster, runtime, topic);
    const home = { log, origin, epoch: state.epoch };
    for (const [partition, next] of state.next.entries()) {
      if ((end[partition] ?? 0) < next) throw lostTail(home, { partition, end: end[partition] ?? 0, next });
    }
    yield `topic ${topic}: is there, ${partitions} partitions, with the right settings`;
    yield `log ${log}: epoch ${state.epoch}`;
  }

  #wish(topic: string, partitions: number): TopicWish {
    const { replicas, minInSyncReplicas } = this.#place.kafka;
    return { topic, partitions, replicas, minInSyncReplicas };
  }

  #cluster(): KafkaCluster {
    const { kafka, runtime, origin } = this.#place;
    return new KafkaCluster({ servers: kafka, clientId: `wmb-${origin}`, runtime });
  }
}

function firstState({
  partitions,
  ...identity
}: Pick<LogState, 'room' | 'log' | 'partitions' | 'generation'> & { epoch: LogEpoch }): LogState {
  const each = Array.from({ length: partitions }, (_, partition) => partition);
  return { ...identity, partitions, promised: '', stampLast: '', next: each.map(() => 0), first: each.map(() => ({ seq: 0, writes: 0 })) };
}
