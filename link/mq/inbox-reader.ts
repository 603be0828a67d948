/** Reads the inbox of one log: asks each broker for what comes next in the partitions that it leads, all at once, and waits there where there is nothing. */
import { Wakeup } from '../../core/flow/wakeup.ts';
import { leaderOf } from '../../kafka/calls.ts';
import type { KafkaCluster } from '../../kafka/cluster.ts';
import { fetchExchange } from '../../kafka/requests.ts';
import { recordsFrom } from '../../kafka/topic-calls.ts';
import { inTurn } from '../../kafka/turns.ts';
import type { Dealt, InboxLane } from './inbox-lane.ts';

const WAIT_MS = 250;
/** Where a partition waits for credit, which may come at any time. */
const HELD_WAIT_MS = 5;
const ANSWER_BYTES_MAX = 4 * 1024 * 1024;

export interface InboxReaderOptions {
  readonly cluster: KafkaCluster;
  readonly topic: string;
  readonly lanes: readonly InboxLane[];
  readonly onDealt: (lane: InboxLane, dealt: Dealt) => void;
  readonly signal: AbortSignal;
}

interface Led {
  readonly leader: number;
  readonly lanes: readonly InboxLane[];
  readonly wakeup: Wakeup;
}

export class InboxReader {
  readonly #options: InboxReaderOptions;
  readonly #led: readonly Led[];

  /** Throws what Kafka says where a partition has no leader. */
  constructor(options: InboxReaderOptions) {
    this.#options = options;
    const { cluster, topic, lanes } = options;
    const byLeader = Map.groupBy(lanes, ({ partition }) => leaderOf(cluster, topic, partition));
    this.#led = [...byLeader].map(([leader, ofLeader]) => ({ leader, lanes: ofLeader, wakeup: new Wakeup() }));
  }

  /** Until the signal aborts; rejects with what Kafka says, also when a partition has another leader. */
  async run(): Promise<void> {
    await Promise.all(this.#led.map((led) => this.#read(led)));
  }

  /** A lane may want more than before. */
  look(): void {
    for (const { wakeup } of this.#led) wakeup.wake();
  }

  async #read({ leader, lanes, wakeup }: Led): Promise<void> {
    const { cluster, topic, onDealt, signal } = this.#options;
    for (let turn = 0; !signal.aborted; turn += 1) {
      const partitions = inTurn(lanes, turn)
        .map(({ wants }) => wants)
        .filter((wants) => wants !== undefined);
      if (partitions.length === 0) {
        await wakeup.wait();
        continue;
      }
      const waitMs = lanes.some(({ isHeld }) => isHeld) ? HELD_WAIT_MS : WAIT_MS;
      const exchange = fetchExchange({ topic, partitions, waitMs, bytesMax: ANSWER_BYTES_MAX });
      for (const answer of await cluster.send(leader, exchange, `wait for ${topic}`)) {
        const lane = lanes.find(({ partition }) => partition === answer.partition);
        const from = partitions.find(({ partition }) => partition === answer.partition)?.from ?? 0;
        // It may have been resumed elsewhere while the broker was asked.
        if (lane !== undefined && lane.wants?.from === from) onDealt(lane, lane.deal(recordsFrom(answer, from, topic), answer.end));
      }
    }
  }
}
