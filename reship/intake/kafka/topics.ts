/** All topics that a room takes in, as one service: none waits for the Kafka of another. */
import type { Service } from '../../../daemon/service.ts';
import type { IntakeTopicStatus } from '../../../proto/gen/wmb/v1/admin.ts';
import type { TopicIntake } from './topic.ts';

export class Topics implements Service {
  readonly name = 'topics';
  readonly #topics: readonly TopicIntake[];

  constructor(topics: readonly TopicIntake[]) {
    this.#topics = topics;
  }

  get status(): IntakeTopicStatus[] {
    return this.#topics.map(({ status }) => status);
  }

  /** What of each topic this instance takes in. */
  get taken(): { topic: string; partitions: number[] }[] {
    const all = this.status.map(({ topic, partitions }) => ({ topic, partitions: partitions.map(({ partition }) => partition) }));
    return all.filter(({ partitions }) => partitions.length > 0);
  }

  async start(): Promise<void> {
    await Promise.all(this.#topics.map((topic) => topic.start()));
  }

  async drain(): Promise<void> {
    await Promise.all(this.#topics.map((topic) => topic.drain()));
  }

  async stop(): Promise<void> {
    await Promise.all(this.#topics.map((topic) => topic.stop()));
  }

  unready(): string | undefined {
    return this.#topics.map((topic) => topic.unready()).find((reason) => reason !== undefined);
  }
}
