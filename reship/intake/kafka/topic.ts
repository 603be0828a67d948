/**
 * An application's topic as intake: every record becomes one write request in this room's write log, and the application changes nothing.
 *
 * Kafka delivers a record again whenever it was taken and its offset not committed: after a crash, or when partitions move between instances. That each record has
 * exactly one place in the log all the same rests on four things:
 *
 * 1. An offset is committed only when everything below it is durable in the log. So nothing is lost.
 * 2. Beside the offset it is noted up to which offset the member may go on, and from which places in the log on everything lies that it takes meanwhile (note.ts). It never
 *    goes on further without committing anew.
 * 3. Whoever gets the partition reads from those places on which of the records that are delivered again are in the log, and does not append those (found.ts). The
 *    same is done where the log did not say whether it took something.
 * 4. A member whose partitions are taken from it finishes what is in flight and commits before others get them. One that the group has not heard of for a while (no heartbeat was
 *    answered) stops appending before its session is over.
 *
 * What is left is a process that stands still between its last look at the clock and its append, for longer than its session, and goes on afterwards: then the log
 * has a record twice. Both are the same request, by its id, so in every room the second is a `duplicate` without effect.
 *
 * A record that is no write request goes into the log too, as one that every room parks (record-write.ts). Records that are gone, damaged, or compressed in an unknown way stop
 * their partition, and nothing else; they are never passed over.
 */
import type { TopicConfig } from '../../../core/config/types.ts';
import { ERRORS, type WmbError } from '../../../core/errors.ts';
import { backoffMs } from '../../../core/flow/backoff.ts';
import type { Logger } from '../../../core/logger.ts';
import { type Runtime, sleep } from '../../../core/runtime.ts';
import { fetchOnce } from '../../../kafka/calls.ts';
import { KafkaCluster } from '../../../kafka/cluster.ts';
import { Group, type Standing } from '../../../kafka/group.ts';
import type { GroupOffset } from '../../../kafka/group-requests.ts';
import { protocolError, UNKNOWN_TOPIC_OR_PARTITION } from '../../../kafka/library.ts';
import { troubleOf } from '../../../kafka/trouble.ts';
import type { LogReader } from '../../../log/log.ts';
import type { IntakeTopicStatus } from '../../../proto/gen/wmb/v1/admin.ts';
import type { Intake } from '../intake.ts';
import type { WriteRules } from '../validate.ts';
import type { TopicMeters, TopicsMetrics } from './metrics.ts';
import { parseNote } from './note.ts';
import type { PartitionIntake, PartitionOptions } from './partition.ts';
import { Share } from './share.ts';
import { CLEANUP_POLICY, compactedError, type TopicPlace, topicError } from './trouble.ts';

/** One that is silent for so long is replaced; Kafka's own least is 6 s. */
const SESSION_MS = 6_000;
const HEARTBEAT_MS = 500;
/** So long before the end of its session a member that hears nothing stops appending: longer than an append takes. */
const HELD_MARGIN_MS = 2_500;
/** Others wait for a member that finishes what is in flight at most so long. */
const REBALANCE_MS = 15_000;
/** Whether the topic has got more partitions. */
const REFRESH_MS = 5_000;
const BACKOFF = { msMin: 100, msMax: 3_000 } as const;
const NOTHING_COMMITTED = -1;

export interface TopicIntakeOptions {
  readonly config: TopicConfig;
  readonly rules: WriteRules;
  readonly instance: string;
  readonly intake: Pick<Intake, 'submit'>;
  readonly log: LogReader;
  readonly runtime: Runtime;
  readonly logger: Logger;
  readonly metrics: TopicsMetrics;
}

export class TopicIntake {
  readonly #options: TopicIntakeOptions;
  readonly #logger: Logger;
  readonly #cluster: KafkaCluster;
  readonly #group: Group;
  readonly #meters: TopicMeters;
  readonly #over = new AbortController();
  /** By what does not work. */
  readonly #troubles = new Map<string, WmbError>();
  #share: Share | undefined;
  #running: Promise<void> = Promise.resolve();

  constructor(options: TopicIntakeOptions) {
    const { config, instance, runtime, logger, metrics } = options;
    const { topic, group, kafka } = config;
    this.#options = options;
    this.#logger = logger.child({ topic, group });
    this.#cluster = new KafkaCluster({ servers: kafka, clientId: `wmb-${instance}`, runtime });
    this.#group = new Group({ cluster: this.#cluster, group, topic, runtime, sessionMs: SESSION_MS, rebalanceMs: REBALANCE_MS });
    this.#meters = metrics.of({
      topic,
      partitions: () => this.partitions.map((one) => ({ partition: one.partition, lag: one.lag, isStopped: one.stopped !== undefined })),
    });
  }

  /** Those that this instance has. */
  get partitions(): readonly PartitionIntake[] {
    return this.#share?.partitions ?? [];
  }

  get status(): IntakeTopicStatus {
    const { topic, group } = this.#options.config;
    const partitions = this.partitions.map(({ partition, offset, lag, stopped }) => ({
      partition,
      offset,
      lagWrites: lag,
      stopped: stopped?.told ?? '',
    }));
    return { topic, group, partitions, trouble: this.unready() ?? '' };
  }

  /** Rejects where the configuration, the topic or a right is wrong. A Kafka that is away is waited for: the other intakes need not. */
  async start(): Promise<void> {
    try {
      await this.#look();
    } catch (cause) {
      const error = this.#errorOf(cause);
      if (ERRORS[error.code].exit === ERRORS.CONFIG_INVALID.exit) throw error;
      this.#trouble('start', error);
    }
    this.#running = this.#run();
  }

  unready(): string | undefined {
    const [error] = this.#troubles.values();
    return error?.told;
  }

  /** Takes nothing more; what is in flight is finished and committed, and the other members get the partitions at once. */
  async drain(): Promise<void> {
    this.#over.abort();
    // Nothing is in flight: a Kafka that does not answer need not be waited for.
    if (this.#share === undefined) this.#cluster.close();
    await this.#running;
  }

  async stop(): Promise<void> {
    this.#over.abort();
    this.#cluster.close();
    await this.#running;
  }

  async #run(): Promise<void> {
    for (let failures = 0; !this.#over.signal.aborted; ) {
      try {
        await this.#look();
        await this.#serve(await this.#group.join());
        failures = 0;
      } catch (cause) {
        if (this.#over.signal.aborted) break;
        this.#trouble('group', this.#errorOf(cause));
        await sleep(this.#options.runtime, backoffMs(failures, BACKOFF, this.#options.runtime.random()), this.#over.signal);
        failures += 1;
      }
    }
    await this.#group.leave().catch(() => {});
    this.#cluster.close();
  }

  /** TOPIC_MISSING where there is no such topic; TOPIC_UNFIT where Kafka removes records of it that were not taken, which offsets do not show. */
  async #look(): Promise<void> {
    const { topic } = this.#options.config;
    await this.#cluster.watch(topic);
    if (this.#cluster.partitions(topic) === undefined) throw protocolError(UNKNOWN_TOPIC_OR_PARTITION);
    const policy = await this.#policy();
    if (policy?.includes('compact')) throw compactedError(this.#place, policy);
  }

  /** Undefined where the user may not know it: rights to read a topic are enough to take it in. */
  async #policy(): Promise<string | undefined> {
    try {
      return (await this.#cluster.settings(this.#options.config.topic, [CLEANUP_POLICY])).get(CLEANUP_POLICY);
    } catch (cause) {
      if (troubleOf(cause).kind !== 'denied') throw cause;
      this.#logger.debug({}, 'whether an intake topic is compacted cannot be seen: the user has no right DESCRIBE_CONFIGS on it');
      return undefined;
    }
  }

  get #place(): TopicPlace {
    const { topic, group } = this.#options.config;
    return { topic, group, kafka: this.#cluster.place };
  }

  /** Takes the partitions in until they are divided anew. */
  async #serve(partitions: readonly number[]): Promise<void> {
    const { config, runtime, logger } = this.#options;
    const { topic } = config;
    const starts = await this.#starts(partitions);
    const share = new Share({
      cluster: this.#cluster,
      topic,
      group: this.#group,
      runtime,
      logger,
      partitions: starts.map((start) => this.#partitionOptions(start)),
      onTrouble: (what, cause) => this.#trouble(what, cause === undefined ? undefined : this.#errorOf(cause)),
    });
    this.#troubles.clear();
    this.#logger.info(
      { partitions: partitions.join(), offsets: starts.map(({ offset }) => offset).join() },
      'partitions of an intake topic are taken in',
    );
    await share.start();
    this.#share = share;
    let standing: Standing = 'lost';
    try {
      standing = await this.#beat();
    } finally {
      await this.#whileBeating(share.finish(standing !== 'lost')).finally(() => {
        this.#share = undefined;
      });
    }
    this.#logger.info({ partitions: partitions.join(), standing }, 'partitions of an intake topic are given back');
  }

  /** Keeps the membership until it is over; `member`: because this daemon is. */
  async #beat(): Promise<Standing> {
    const { runtime, config } = this.#options;
    const known = this.#cluster.partitions(config.topic)?.length;
    for (let refreshedMs = runtime.monotonicMs(); !this.#over.signal.aborted; ) {
      await sleep(runtime, HEARTBEAT_MS, this.#over.signal);
      try {
        const standing = await this.#group.beat();
        this.#trouble('group', undefined);
        if (standing !== 'member') return standing;
        if (runtime.monotonicMs() - refreshedMs < REFRESH_MS) continue;
        refreshedMs = runtime.monotonicMs();
        await this.#cluster.refresh();
        if (this.#cluster.partitions(config.topic)?.length !== known) return 'over';
      } catch (cause) {
        this.#trouble('group', this.#errorOf(cause));
        await this.#group.locate().catch(() => {});
      }
    }
    return 'member';
  }

  /** The others wait, and do not take this member for dead, while what is in flight takes its time. */
  async #whileBeating(work: Promise<void>): Promise<void> {
    const done = new AbortController();
    const settled = work.finally(() => done.abort());
    settled.catch(() => {});
    for (;;) {
      await sleep(this.#options.runtime, HEARTBEAT_MS, done.signal);
      if (done.signal.aborted) return settled;
      await this.#group.beat().catch(() => {});
    }
  }

  /** Where each partition goes on; where nothing was committed yet, as the configuration says. */
  async #starts(partitions: readonly number[]): Promise<readonly GroupOffset[]> {
    const { topic, from } = this.#options.config;
    const committed = await this.#group.committed(partitions);
    if (committed.every(({ offset }) => offset !== NOTHING_COMMITTED)) return committed;
    const first = await this.#cluster.offsets(topic, from === 'earliest' ? 'first' : 'end');
    return committed.map((one) => (one.offset === NOTHING_COMMITTED ? { ...one, offset: first[one.partition] ?? 0 } : one));
  }

  #partitionOptions({ partition, offset, note }: GroupOffset): PartitionOptions {
    const { config, rules, intake, log, runtime } = this.#options;
    return {
      source: { config, partition, rules },
      offset,
      note: parseNote(note),
      intake,
      log,
      runtime,
      logger: this.#logger,
      meters: this.#meters,
      held: () => this.#group.heldMs > HELD_MARGIN_MS,
      commit: () => {},
      fetch: (place) => fetchOnce(this.#cluster, config.topic, place, 'committed'),
    };
  }

  #errorOf(cause: unknown): WmbError {
    return topicError(cause, this.#place);
  }

  /** Told when it comes, when it becomes another, and when it goes. */
  #trouble(what: string, error: WmbError | undefined): void {
    const before = this.#troubles.get(what);
    if (error === undefined) {
      this.#troubles.delete(what);
      if (before !== undefined) this.#logger.info({ code: before.code }, 'an intake topic is all right again');
      return;
    }
    this.#troubles.set(what, error);
    if (before?.code !== error.code)
      this.#logger.warn({ code: error.code, reason: error.message }, 'an intake topic cannot be taken in; it is tried again');
  }
}
