/**
 * The collector's end of a link over mq. It reads the inbox, which may have more than the collector takes and goes on giving when the origin is away. Where the inbox
 * does not have what a lane needs, the origin is asked to put it there.
 */
import { WmbError } from '../../core/errors.ts';
import { BoundedQueue } from '../../core/flow/bounded-queue.ts';
import type { Logger } from '../../core/logger.ts';
import { type Runtime, sleep, type Timer } from '../../core/runtime.ts';
import type { KafkaCluster } from '../../kafka/cluster.ts';
import type { FoundRecord } from '../../kafka/records.ts';
import { followTopic } from '../../kafka/topic-calls.ts';
import type { Downward, Hello, LinkFrame, LinkSession, Upward, Welcome } from '../link.ts';
import { type AckMessage, downwardFromWire, upwardToWire } from '../wire.ts';
import { inboxError } from './errors.ts';
import type { Dealt, InboxLane, Resume } from './inbox-lane.ts';
import { InboxReader } from './inbox-reader.ts';
import { readOffer } from './offer.ts';
import { CHECKPOINT_WRITES } from './runs.ts';
import { downTopic, inboxTopic } from './topics.ts';
import type { UpWriter } from './up-writer.ts';

const DOWN_WAIT_MS = 250;
const TRIM_MS = 5_000;
/** How long a closed session may take to hand over its last acks. */
const FLUSH_MS_MAX = 500;
/** What bounds them is the credit of the lanes; this is for what goes wrong. */
const FRAMES_LIMITS = { bytesMax: 1024 * 1024 * 1024, countMax: 1_048_576 } as const;
const CONTROL_LIMITS = { bytesMax: 65_536, countMax: 65_536 } as const;

export interface MqSessionParts {
  readonly cluster: KafkaCluster;
  readonly hello: Hello;
  readonly secret: string;
  readonly welcome: Welcome;
  /** Offset of the record of `down` that has the welcome. */
  readonly from: number;
  readonly lanes: readonly InboxLane[];
  readonly up: UpWriter;
  /** So much history stays in the inbox, so that a collector can be started anew while the origin is away. */
  readonly historyWrites: number;
  readonly runtime: Runtime;
  readonly logger: Logger;
}

export class MqSession implements LinkSession {
  readonly welcome: Welcome;
  readonly closed: Promise<WmbError | undefined>;
  readonly frames: AsyncIterable<readonly LinkFrame[]>;
  readonly control: AsyncIterable<Downward>;
  readonly #parts: MqSessionParts;
  readonly #frames = new BoundedQueue<readonly LinkFrame[]>(FRAMES_LIMITS);
  readonly #control = new BoundedQueue<Downward>(CONTROL_LIMITS);
  readonly #lanes: ReadonlyMap<string, InboxLane>;
  readonly #readers: readonly InboxReader[];
  readonly #over = new AbortController();
  /** By lane, for an origin that was started anew and knows none. */
  readonly #acks = new Map<string, AckMessage>();
  #originInstance: string;
  #pulse: Downward | undefined;
  #saying: Promise<void> = Promise.resolve();
  #trimming: Timer | undefined;
  #resolveClosed: (reason: WmbError | undefined) => void = () => {};

  /** Throws what Kafka says where a partition has no leader. */
  constructor(parts: MqSessionParts) {
    this.#parts = parts;
    const { cluster, hello, welcome, lanes } = parts;
    this.welcome = welcome;
    this.#originInstance = welcome.instance;
    this.closed = new Promise((resolve) => {
      this.#resolveClosed = resolve;
    });
    this.frames = this.#frames;
    this.control = this.#control;
    this.#lanes = new Map(lanes.map((lane) => [`${lane.log}/${lane.partition}`, lane]));
    const onDealt = (lane: InboxLane, dealt: Dealt) => this.#dealt(lane, dealt);
    this.#readers = [...Map.groupBy(lanes, ({ log }) => log)].map(
      ([log, ofLog]) => new InboxReader({ cluster, topic: inboxTopic(hello.to, log), lanes: ofLog, onDealt, signal: this.#over.signal }),
    );
  }

  start(): void {
    const { up } = this.#parts;
    this.#saying = up.run(this.#over.signal);
    const loops = [this.#saying, this.#down(), ...this.#readers.map((reader) => reader.run())];
    for (const loop of loops) loop.catch((cause) => this.#failed(cause));
    this.#scheduleTrim();
  }

  send(message: Upward): void {
    if (this.#over.signal.aborted) return;
    if (message.type === 'ack') {
      this.#acks.set(`${message.log}/${message.partition}`, message);
      this.#parts.up.ack(message);
      if (this.#parts.up.isFull)
        this.#finish(new WmbError('INBOX_UNAVAILABLE', `${this.#parts.cluster.place} does not take the acks for ${this.#parts.hello.to}`));
      return;
    }
    if (message.type !== 'resume' && message.type !== 'credit' && message.type !== 'halt') return;
    const lane = this.#lanes.get(`${message.log}/${message.partition}`);
    if (message.type === 'resume') lane?.resume(message);
    else if (message.type === 'credit') lane?.credit(message.bytes);
    else lane?.halt();
    for (const reader of this.#readers) reader.look();
  }

  close(): void {
    this.#finish(undefined);
  }

  #dealt(lane: InboxLane, { frames, resumed, ask, gap }: Dealt): void {
    if (resumed !== undefined) this.#control.push(resumed, 1);
    if (ask !== undefined) this.#ask(ask);
    if (gap !== undefined) this.#control.push(gap, 1);
    if (frames.length > 0)
      this.#frames.push(
        frames,
        frames.reduce((sum, { bytes }) => sum + bytes.length, 0),
      );
    if (resumed !== undefined) this.#parts.logger.debug({ log: lane.log, partition: lane.partition }, 'the inbox has what the lane needs');
  }

  /** The inbox is to have the whole history, also where this collector needs none of it now, and enough of it for a collector that is started later while the origin is away. */
  #ask(resume: Resume): void {
    const { up, historyWrites } = this.#parts;
    this.#parts.logger.info(
      { log: resume.log, partition: resume.partition, after: resume.after },
      'the origin is asked to put frames into the inbox',
    );
    up.say(upwardToWire({ ...resume, historyWrites: historyWrites + CHECKPOINT_WRITES }));
  }

  /** What the origin says; where it says nothing, its last pulse stands for the life of the inbox. */
  async #down(): Promise<void> {
    const { cluster, hello, from } = this.#parts;
    for await (const records of followTopic(cluster, { topic: downTopic(hello.to), from, waitMs: DOWN_WAIT_MS })) {
      if (this.#over.signal.aborted) return;
      for (const record of records) this.#said(record, record.offset === from);
      if (records.length === 0 && this.#pulse !== undefined) this.#control.push(this.#pulse, 1);
    }
  }

  /** Of the record with the welcome only the pulse counts: what else it says was meant for an earlier session. */
  #said(record: FoundRecord, isFirst: boolean): void {
    const { hello, secret } = this.#parts;
    const { welcome, messages } = readOffer(record, { hello, secret });
    // A refusal throws itself.
    const said = messages.map(downwardFromWire);
    if (welcome === undefined || !offersTheSame(welcome, this.welcome)) {
      this.#finish(new WmbError('DRAINING', `room ${hello.to} offers other logs than before`));
      return;
    }
    if (welcome.instance !== this.#originInstance) this.#startedAnew(welcome.instance);
    for (const message of said) {
      if (message.type === 'pulse') {
        this.#pulse = message;
        this.#control.push(message, 1);
        continue;
      }
      if (isFirst) continue;
      const lane = this.#lanes.get(`${message.log}/${message.partition}`);
      if (message.type === 'gap') lane?.broken(message);
      else lane?.answered(message);
    }
  }

  /** The new process knows neither this room's marks nor what it was asked for. */
  #startedAnew(instance: string): void {
    this.#originInstance = instance;
    for (const ack of this.#acks.values()) this.#parts.up.ack(ack);
    for (const lane of this.#lanes.values()) {
      lane.mended();
      if (lane.asked !== undefined) this.#ask(lane.asked);
    }
  }

  #scheduleTrim(): void {
    this.#trimming = this.#parts.runtime.after(
      TRIM_MS,
      () => {
        this.#trim().then(
          () => this.#over.signal.aborted || this.#scheduleTrim(),
          (cause) => this.#failed(cause),
        );
      },
      true,
    );
  }

  /** Removes what this room has applied, but for the history that a later start needs. */
  async #trim(): Promise<void> {
    const { cluster, hello, historyWrites } = this.#parts;
    for (const [log, lanes] of Map.groupBy(this.#lanes.values(), (lane) => lane.log)) {
      const before = new Map<number, number>();
      for (const lane of lanes) {
        const ack = this.#acks.get(`${log}/${lane.partition}`);
        const offset = ack && lane.needlessBefore(ack.epoch, ack.seq, historyWrites);
        if (offset !== undefined && offset > 0) before.set(lane.partition, offset);
      }
      if (before.size > 0) await cluster.deleteBefore(inboxTopic(hello.to, log), before);
    }
  }

  #failed(cause: unknown): void {
    const { cluster, hello } = this.#parts;
    this.#finish(inboxError(cause, cluster.place, `the inbox of frames from ${hello.to} cannot be used`));
  }

  #finish(reason: WmbError | undefined): void {
    if (this.#over.signal.aborted) return;
    this.#over.abort();
    this.#trimming?.cancel();
    for (const reader of this.#readers) reader.look();
    this.#frames.end();
    this.#control.end();
    this.#resolveClosed(reason);
    if (reason === undefined) void this.#flush();
    else this.#parts.cluster.close();
  }

  /** What was sent before close() still reaches the origin, if Kafka answers. */
  async #flush(): Promise<void> {
    const { cluster, up, runtime } = this.#parts;
    const done = new AbortController();
    const flushed = this.#saying.then(() => up.flush()).catch(() => {});
    await Promise.race([flushed.finally(() => done.abort()), sleep(runtime, FLUSH_MS_MAX, done.signal)]);
    cluster.close();
  }
}

function offersTheSame(one: Welcome, other: Welcome): boolean {
  const told = ({ topologyEpoch, logs }: Welcome) =>
    JSON.stringify([topologyEpoch, logs.map(({ log, epoch, partitions }) => [log, epoch, partitions])]);
  return told(one) === told(other);
}
