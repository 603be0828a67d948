/**
 * The partitions that a member has been given, from one division of the group to the next: each is taken in, and what has become of them is committed together.
 */
import { Wakeup } from '../../../core/flow/wakeup.ts';
import type { Logger } from '../../../core/logger.ts';
import { type Runtime, sleep } from '../../../core/runtime.ts';
import type { KafkaCluster } from '../../../kafka/cluster.ts';
import type { Group } from '../../../kafka/group.ts';
import type { GroupOffset } from '../../../kafka/group-requests.ts';
import { Fetchers } from './fetchers.ts';
import { PartitionIntake, type PartitionOptions } from './partition.ts';

const COMMIT_MS = 500;

export interface ShareOptions {
  readonly cluster: KafkaCluster;
  readonly topic: string;
  readonly group: Group;
  readonly runtime: Runtime;
  readonly logger: Logger;
  readonly partitions: readonly PartitionOptions[];
  /** Something does not work (`cause`), or works again (undefined). */
  readonly onTrouble: (what: string, cause: unknown) => void;
}

export class Share {
  readonly partitions: readonly PartitionIntake[];
  readonly #options: ShareOptions;
  readonly #fetchers: Fetchers;
  readonly #asked = new Wakeup();
  readonly #over = new AbortController();
  #committing: Promise<void> | undefined;
  #isMember = true;

  constructor(options: ShareOptions) {
    const { cluster, topic, runtime, partitions, onTrouble } = options;
    this.#options = options;
    this.partitions = partitions.map((one) => new PartitionIntake({ ...one, commit: () => this.#asked.wake() }));
    this.#fetchers = new Fetchers({
      cluster,
      topic,
      partitions: this.partitions,
      runtime,
      onTrouble: (cause) => onTrouble('fetch', cause),
    });
  }

  /** What was resolved for the first time is the group's before anything is taken, so that it stays where it was. */
  async start(): Promise<void> {
    await this.#commit((partition) => partition.due());
    for (const partition of this.partitions) partition.start();
    this.#fetchers.start();
    this.#committing = this.#keepCommitting();
  }

  /** Takes nothing more, waits for what is in flight, and commits it where the partitions are still this member's. */
  async finish(isMember: boolean): Promise<void> {
    this.#over.abort();
    this.#asked.wake();
    await Promise.all([this.#fetchers.stop(), this.#committing, ...this.partitions.map((partition) => partition.finish())]);
    if (isMember && this.#isMember) await this.#commit((partition) => partition.lastDue());
  }

  async #keepCommitting(): Promise<void> {
    const { runtime, onTrouble } = this.#options;
    while (!this.#over.signal.aborted) {
      const timer = runtime.after(COMMIT_MS, () => this.#asked.wake(), true);
      await this.#asked.wait();
      timer.cancel();
      if (this.#over.signal.aborted) return;
      try {
        await this.#commit((partition) => partition.due());
        onTrouble('commit', undefined);
      } catch (cause) {
        onTrouble('commit', cause);
        await sleep(runtime, COMMIT_MS, this.#over.signal);
      }
    }
  }

  async #commit(of: (partition: PartitionIntake) => GroupOffset | undefined): Promise<void> {
    const due = this.partitions.flatMap((partition) => {
      const offset = of(partition);
      return offset === undefined ? [] : [{ partition, offset }];
    });
    const standing = await this.#options.group.commit(due.map(({ offset }) => offset));
    if (standing === 'lost') this.#isMember = false;
    if (standing === 'member') for (const { partition, offset } of due) partition.committed(offset);
  }
}
