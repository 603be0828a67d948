/** Writes what the collector says into the topic `up`: what is said while a record is on its way goes into the next one together. */
import { Wakeup } from '../../core/flow/wakeup.ts';
import type { Runtime } from '../../core/runtime.ts';
import type { KafkaCluster } from '../../kafka/cluster.ts';
import { appendRecord } from '../../kafka/topic-calls.ts';
import type { SessionUp } from '../../proto/gen/wmb/v1/link.ts';
import type { Hello } from '../link.ts';
import { type AckMessage, acksToWire } from '../wire.ts';
import { encodeUp } from './control.ts';
import { upTopic } from './topics.ts';

/** Where nothing is to be said, it is said that the collector is there. */
const IDLE_MS = 1_000;
const PENDING_MAX = 65_536;
const RECORD_MESSAGES_MAX = 4_096;

export interface UpWriterOptions {
  readonly cluster: KafkaCluster;
  readonly hello: Hello;
  readonly secret: string;
  readonly runtime: Runtime;
}

export class UpWriter {
  readonly #options: UpWriterOptions;
  readonly #wakeup = new Wakeup();
  #acks: AckMessage[] = [];
  #others: SessionUp[] = [];

  constructor(options: UpWriterOptions) {
    this.#options = options;
  }

  ack(ack: AckMessage): void {
    this.#acks.push(ack);
    this.#wakeup.wake();
  }

  say(message: SessionUp): void {
    this.#others.push(message);
    this.#wakeup.wake();
  }

  /** More is waiting than may wait: Kafka does not take it. */
  get isFull(): boolean {
    return this.#acks.length + this.#others.length > PENDING_MAX;
  }

  /** Until the signal aborts; rejects with what Kafka says. */
  async run(signal: AbortSignal): Promise<void> {
    signal.addEventListener('abort', () => this.#wakeup.wake(), { once: true });
    while (!signal.aborted) {
      await this.write('mq');
      if (this.#acks.length + this.#others.length > 0) continue;
      const idle = this.#options.runtime.after(IDLE_MS, () => this.#wakeup.wake(), true);
      await this.#wakeup.wait();
      idle.cancel();
    }
  }

  /** Writes what is left to say. */
  async flush(): Promise<void> {
    while (this.#acks.length + this.#others.length > 0) await this.write('mq');
  }

  /** Writes one record. */
  async write(transport: 'mq' | 'rpc'): Promise<void> {
    const { cluster, hello, secret, runtime } = this.#options;
    const acks = this.#acks.splice(0, RECORD_MESSAGES_MAX);
    const messages = this.#others.splice(0, RECORD_MESSAGES_MAX);
    if (acks.length > 0) messages.push(acksToWire(acks));
    const record = encodeUp({ hello, transport, messages }, secret);
    await appendRecord(cluster, upTopic(hello.to), record, runtime.nowMs());
  }
}
