/** A link over mq on a real Kafka: an origin with a log in memory, and the receiving side of a peer; both can be started anew. Each rig has an origin of its own. */
import { Receiver } from '../../collector/receive/receiver.ts';
import type { Config, KafkaServersConfig } from '../../core/config/types.ts';
import { noMetrics } from '../../core/metrics.ts';
import { systemRuntime } from '../../core/runtime.ts';
import type { RoomId } from '../../core/words.ts';
import type { LinkDialer } from '../../link/link.ts';
import { MqAdministration } from '../../link/mq/administration.ts';
import { MqDialer } from '../../link/mq/dialer.ts';
import { InboxFeeder } from '../../link/mq/feeder.ts';
import { MemoryLogDisk } from '../../log/memory/memory.ts';
import { Shipper } from '../../reship/ship/shipper.ts';
import {
  CountingConsumers,
  configOf,
  FakeBoard,
  FakeHints,
  keepingLogger,
  type LogLine,
  logOf,
  MemoryStates,
  type RigConfig,
} from './rig.ts';

export const PARTITIONS = 4;
export const PEER = 'guangzhou';
const NOWHERE = '127.0.0.1:1';

let rigs = 0;

/** Dials nobody: what is not over mq is away. */
const nobody: LinkDialer = {
  dial: () => Promise.reject(new Error('nobody is there')),
};

export class MqRig {
  readonly origin: RoomId;
  readonly servers: KafkaServersConfig;
  /** The same, as the origin comes to them. */
  readonly fromAfar: KafkaServersConfig;
  readonly consumers = new CountingConsumers();
  readonly board = new FakeBoard();
  readonly states = new MemoryStates();
  readonly lines: LogLine[] = [];
  disk = new MemoryLogDisk();
  /** Whether it is this reship of the origin that feeds the inbox. */
  feeds = true;
  readonly #more: Partial<RigConfig>;
  #receiver: Receiver | undefined;
  #stopOrigin: (() => Promise<void>) | undefined;

  /** `guard`: what the brokers ask of everybody; `origins`: of the origin. */
  constructor(
    address: string,
    more: Partial<RigConfig> = {},
    guard: Partial<KafkaServersConfig> = {},
    origins: Partial<KafkaServersConfig> = guard,
  ) {
    rigs += 1;
    this.origin = `beijing-${process.pid}-${rigs}`;
    this.servers = { brokers: [address], sasl: undefined, tls: undefined, ...guard };
    this.fromAfar = { ...this.servers, ...origins };
    this.#more = more;
  }

  config(room: RoomId): Config {
    return configOf({
      room,
      addresses: { [this.origin]: NOWHERE, [PEER]: NOWHERE },
      partitions: PARTITIONS,
      transport: 'mq',
      inbox: { ...this.servers, replicas: 1, minInSyncReplicas: 1 },
      peers: { [PEER]: { kafka: this.fromAfar } },
      ...this.#more,
    });
  }

  async init(): Promise<string[]> {
    const config = this.config(PEER);
    const lines: string[] = [];
    if (config.room.inbox === undefined) return lines;
    for await (const line of new MqAdministration({ config, inbox: config.room.inbox, runtime: systemRuntime }).init({ dryRun: false }))
      lines.push(line);
    return lines;
  }

  /** The reship's side. */
  async startOrigin(instance = 'b-1') {
    const config = this.config(this.origin);
    const log = await logOf(this.disk, { origin: this.origin, runtime: systemRuntime, partitions: PARTITIONS });
    const logger = keepingLogger(this.lines);
    const shipper = new Shipper({
      config,
      readers: [log],
      runtime: systemRuntime,
      logger,
      metrics: noMetrics,
      instance,
      settledStamp: () => '',
    });
    const { secret } = config.room;
    const feeder = new InboxFeeder({
      room: this.origin,
      peer: PEER,
      kafka: this.fromAfar,
      secret,
      host: shipper,
      silenceMsMax: config.room.link.silenceMsMax,
      isMine: () => this.feeds,
      runtime: systemRuntime,
      logger,
    });
    await shipper.start();
    await feeder.start();
    this.#stopOrigin = async () => {
      await feeder.stop();
      await shipper.stop();
      await log.close();
    };
    return { log, shipper };
  }

  async stopOrigin(): Promise<void> {
    await this.#stopOrigin?.();
    this.#stopOrigin = undefined;
  }

  /** The collector's side. */
  async startPeer(dialer: LinkDialer = nobody): Promise<Receiver> {
    const config = this.config(PEER);
    const receiver = new Receiver({
      config,
      instance: 'g-1',
      dialer,
      inbox: new MqDialer({ config, runtime: systemRuntime, logger: keepingLogger(this.lines) }),
      consumers: this.consumers.make,
      acks: this.board,
      hints: new FakeHints(),
      states: this.states,
      runtime: systemRuntime,
      logger: keepingLogger(this.lines),
      metrics: noMetrics,
    });
    this.#receiver = receiver;
    await receiver.start();
    return receiver;
  }

  async stopPeer(): Promise<void> {
    await this.#receiver?.drain();
    await this.#receiver?.stop();
    this.#receiver = undefined;
  }

  get receiver(): Receiver | undefined {
    return this.#receiver;
  }

  lane(partition: number) {
    return this.#receiver?.status().find((link) => link.origin === this.origin)?.lanes[partition];
  }

  consumer(partition: number) {
    return this.consumers.of(this.origin, partition);
  }

  async close(): Promise<void> {
    await this.stopPeer();
    await this.stopOrigin();
  }
}
