/**
 * The reship's end of a link over mq: a session that nobody dialled. What the peer's Kafka acks gives the credit that a collector would give, and where a lane goes on is
 * what the inbox ends with, or what the collector asks for. Frames of a lane are sent in order, many at once; the producer id with its sequence numbers lets Kafka refuse what
 * would come after a hole. When anything fails the session is over, and the next one goes on from what the inbox ends with then.
 */
import { WmbError } from '../../core/errors.ts';
import { BoundedQueue } from '../../core/flow/bounded-queue.ts';
import { Wakeup } from '../../core/flow/wakeup.ts';
import type { Runtime } from '../../core/runtime.ts';
import { holds, WHOLE } from '../../core/share.ts';
import type { LogName, RoomId } from '../../core/words.ts';
import { leaderOf, REPLICAS_MS_MAX } from '../../kafka/calls.ts';
import type { KafkaCluster } from '../../kafka/cluster.ts';
import { protocolError } from '../../kafka/library.ts';
import { type FoundRecord, laterSequence } from '../../kafka/records.ts';
import { produceExchange } from '../../kafka/requests.ts';
import { appendRecord, lastRecords } from '../../kafka/topic-calls.ts';
import type { Downward, Hello, LinkFrame, ServedSession, Upward, Welcome } from '../link.ts';
import { downwardToWire, welcomeToWire } from '../wire.ts';
import { encodeDown } from './control.ts';
import { inboxError } from './errors.ts';
import { encodeRecord, ownRecord } from './record.ts';
import { downTopic, inboxTopic } from './topics.ts';

/** Sent and not acked yet: of a lane, and of all lanes together. */
const LANE_BYTES_MAX = 4 * 1024 * 1024;
const BYTES_MAX = 32 * 1024 * 1024;
const CONTROL_LIMITS = { bytesMax: 1_048_576, countMax: 1_048_576 } as const;
const PENDING_MAX = 16_384;

export interface MqServedParts {
  readonly cluster: KafkaCluster;
  readonly room: RoomId;
  readonly hello: Hello;
  readonly welcome: Welcome;
  readonly secret: string;
  readonly runtime: Runtime;
}

export class MqServedSession implements ServedSession {
  readonly hello: Hello;
  readonly control: AsyncIterable<Upward>;
  readonly closed: Promise<WmbError | undefined>;
  readonly #parts: MqServedParts;
  readonly #control = new BoundedQueue<Upward>(CONTROL_LIMITS);
  readonly #acked = new Wakeup();
  readonly #sequences = new Map<string, number>();
  readonly #runs = new Map<string, number>();
  /** Lanes that were told to go on after the inbox's end, and have not answered yet. */
  readonly #beginning = new Set<string>();
  #producer: { readonly producerId: bigint; readonly producerEpoch: number } = { producerId: -1n, producerEpoch: -1 };
  #inFlightBytes = 0;
  #pending: Downward[] = [];
  #saying: Promise<void> | undefined;
  #over = false;
  #resolveClosed: (reason: WmbError | undefined) => void = () => {};

  constructor(parts: MqServedParts) {
    this.#parts = parts;
    this.hello = parts.hello;
    this.control = this.#control;
    this.closed = new Promise((resolve) => {
      this.#resolveClosed = resolve;
    });
  }

  /** Every lane goes on after what the inbox ends with. Lanes of which it has nothing wait until the collector asks. Throws what Kafka says. */
  async begin(): Promise<void> {
    const { cluster, welcome } = this.#parts;
    this.#producer = await cluster.producerId();
    for (const { log, epoch } of welcome.logs) {
      // Behind the last frame there may be strangers' records: without it the lane would go on only when the collector is started anew, and asks.
      const own = ({ value }: FoundRecord) => ownRecord(value, { origin: welcome.room, log });
      const records = await lastRecords(cluster, inboxTopic(welcome.room, log), (record) => own(record) !== undefined);
      for (const [partition, record] of records.entries()) {
        const last = record && own(record);
        if (last === undefined || !holds(this.hello.share ?? WHOLE, partition)) continue;
        this.#runs.set(`${log}/${partition}`, last.run);
        if (last.epoch !== epoch) continue;
        this.#beginning.add(`${log}/${partition}`);
        this.#take({ type: 'resume', log, partition, epoch, after: last.seq, historyWrites: 0, creditBytes: LANE_BYTES_MAX });
      }
    }
  }

  /** The answer to the hello, whether or not there is more to say. Rejects with what Kafka says. */
  welcome(): Promise<void> {
    return this.#write([]);
  }

  /** What the collector says. */
  take(message: Upward): void {
    if (message.type === 'resume') this.#take({ ...message, creditBytes: LANE_BYTES_MAX });
    else if (message.type === 'ack') this.#take(message);
  }

  /** The peer's Kafka answers: that is the life of this session, whether or not the collector is there. */
  alive(): void {
    this.#take({ type: 'credit', log: 'writes', partition: 0, bytes: 0 });
  }

  send(message: Downward): void {
    if (this.#over) return;
    if (message.type !== 'pulse') this.#answered(message);
    // The newest pulse says all that an older one does.
    if (message.type === 'pulse') this.#pending = this.#pending.filter(({ type }) => type !== 'pulse');
    this.#pending.push(message);
    if (this.#pending.length > PENDING_MAX) {
      this.close(new WmbError('INBOX_UNAVAILABLE', `${this.#parts.cluster.place} does not take what it is told`));
      return;
    }
    this.#saying ??= this.#say().finally(() => {
      this.#saying = undefined;
    });
  }

  async sendFrames(frames: readonly LinkFrame[]): Promise<void> {
    while (!this.#over && this.#inFlightBytes >= BYTES_MAX) await this.#acked.wait();
    if (this.#over) throw new WmbError('PEER_UNREACHABLE', `the session with ${this.hello.from} is over`);
    this.#put(frames);
  }

  #put(frames: readonly LinkFrame[]): void {
    const { cluster, welcome } = this.#parts;
    try {
      for (const [log, ofLog] of Map.groupBy(frames, (frame) => frame.log)) {
        const topic = inboxTopic(welcome.room, log);
        for (const [leader, led] of Map.groupBy(ofLog, ({ partition }) => leaderOf(cluster, topic, partition)))
          this.#produce(log, leader, led);
      }
    } catch (cause) {
      this.#failed(cause);
    }
  }

  close(error?: WmbError): void {
    if (this.#over) return;
    this.#over = true;
    this.#control.end();
    this.#acked.wake();
    this.#resolveClosed(error);
  }

  /** Where a lane goes on elsewhere than after the inbox's end, also because the log has lost what the inbox ends with, a run begins. */
  #answered(message: Exclude<Downward, { type: 'pulse' }>): void {
    const { log, partition } = message;
    const lane = `${log}/${partition}`;
    const isBeginning = this.#beginning.delete(lane);
    if (message.type === 'resumed' ? isBeginning : !isBeginning) return;
    this.#runs.set(lane, (this.#runs.get(lane) ?? 0) + 1);
    const next = message.type === 'resumed' ? message.historyFrom : message.missingFrom;
    this.#put([{ log, partition, seq: next - 1, history: false, bytes: Buffer.alloc(0) }]);
  }

  #take(message: Upward): void {
    if (!this.#over && !this.#control.push(message, 1)) this.close(new WmbError('INTERNAL', 'control messages are not taken'));
  }

  /** In the order of the calls: they go over one connection. */
  #produce(log: LogName, leader: number, frames: readonly LinkFrame[]): void {
    const { cluster, welcome, runtime } = this.#parts;
    const topic = inboxTopic(welcome.room, log);
    const epoch = welcome.logs.find((offer) => offer.log === log)?.epoch ?? '';
    const byPartition = Map.groupBy(frames, ({ partition }) => partition);
    const batches = [...byPartition].map(([partition, ofLane]) => {
      const values = ofLane.map(({ seq, bytes }) =>
        encodeRecord({ log, run: this.#runs.get(`${log}/${partition}`) ?? 0, epoch, seq, bytes }),
      );
      return { partition, values, sender: { ...this.#producer, sequence: this.#sequence(`${log}/${partition}`, values.length) } };
    });
    const bytes = frames.reduce((sum, frame) => sum + frame.bytes.length, 0);
    this.#inFlightBytes += bytes;
    const exchange = produceExchange({ topic, batches, timeoutMs: REPLICAS_MS_MAX, nowMs: Math.floor(runtime.nowMs()) });
    cluster.send(leader, exchange).then(
      (answers) => {
        this.#inFlightBytes -= bytes;
        this.#acked.wake();
        const refused = answers.find(({ error }) => error !== 0);
        if (refused !== undefined || answers.length < byPartition.size) return this.#failed(protocolError(refused?.error ?? -1, topic));
        for (const [partition, ofLane] of byPartition) {
          this.#take({ type: 'credit', log, partition, bytes: ofLane.reduce((sum, frame) => sum + frame.bytes.length, 0) });
        }
      },
      (cause) => this.#failed(cause),
    );
  }

  #sequence(lane: string, records: number): number {
    const sequence = this.#sequences.get(lane) ?? 0;
    this.#sequences.set(lane, laterSequence(sequence, records));
    return sequence;
  }

  /** What is said while a record is on its way goes into the next one together. */
  async #say(): Promise<void> {
    try {
      while (this.#pending.length > 0 && !this.#over) await this.#write(this.#pending.splice(0));
    } catch (cause) {
      this.#failed(cause);
    }
  }

  async #write(said: readonly Downward[]): Promise<void> {
    const { cluster, room, hello, welcome, secret, runtime } = this.#parts;
    const wire = welcomeToWire(welcome, '').message;
    const offered = wire?.$case === 'welcome' ? wire.value : undefined;
    const record = encodeDown({ room, to: hello.from, welcome: offered, messages: said.map(downwardToWire) }, secret);
    await appendRecord(cluster, downTopic(room), record, runtime.nowMs());
  }

  #failed(cause: unknown): void {
    this.close(inboxError(cause, this.#parts.cluster.place, `frames for ${this.hello.from} cannot be put into its inbox`));
  }
}
