/**
 * Receive pulls every origin's logs into this room, its own included: one link per origin, one lane per partition. It checks that frames
 * come in order and hands them to the lanes' consumers; it never looks into them.
 */
import type { Config, Transport } from '../../core/config/types.ts';
import { asWmbError, type ErrorCode, WmbError } from '../../core/errors.ts';
import type { Logger } from '../../core/logger.ts';
import type { Counter, Metrics } from '../../core/metrics.ts';
import type { Runtime } from '../../core/runtime.ts';
import { type Share, WHOLE } from '../../core/share.ts';
import type { Stamp } from '../../core/stamp.ts';
import { transportOf } from '../../core/topology.ts';
import { type Lane, laneKey, type RoomId, type Seq } from '../../core/words.ts';
import type { Service } from '../../daemon/service.ts';
import type { InboxDialer, LinkDialer, LinkFrame } from '../../link/link.ts';
import type { LaneStatus, LinkStatus, SkippedLane } from '../../proto/gen/wmb/v1/admin.ts';
import type { AckBoard, FloorSource, LaneConsumers, LocalHints } from '../lane.ts';
import { AckSender } from './ack-sender.ts';
import { FloorBook } from './floor-book.ts';
import { HintSender } from './hint-sender.ts';
import { OriginLink } from './origin-link.ts';
import type { LinkStateRow, LinkStateStore } from './state-store.ts';

export interface ReceiverOptions {
  readonly config: Config;
  readonly instance: string;
  /** Undefined: all partitions. */
  readonly share?: Share | undefined;
  readonly dialer: LinkDialer;
  /** Undefined: no link can be over mq. */
  readonly inbox?: InboxDialer | undefined;
  readonly consumers: LaneConsumers;
  readonly acks: AckBoard;
  readonly hints: LocalHints;
  readonly states: LinkStateStore;
  readonly runtime: Runtime;
  readonly logger: Logger;
  readonly metrics: Metrics;
}

export class Receiver implements Service, FloorSource {
  readonly name = 'receive';
  readonly #options: ReceiverOptions;
  readonly #floors: FloorBook;
  #links: readonly OriginLink[] = [];
  readonly #frames: Counter;
  readonly #bytes: Counter;
  readonly #dials: Counter;
  /** Why link states cannot be saved now. */
  #unsaved: ErrorCode | undefined;

  constructor(options: ReceiverOptions) {
    this.#options = options;
    this.#floors = new FloorBook(this.#origins());
    const { metrics } = options;
    this.#frames = metrics.counter({ name: 'wmb_link_received_frames_total', help: 'Frames received from an origin.', labels: ['origin'] });
    this.#bytes = metrics.counter({
      name: 'wmb_link_received_bytes_total',
      help: 'Bytes of frames received from an origin.',
      labels: ['origin'],
    });
    this.#dials = metrics.counter({ name: 'wmb_link_dials_total', help: 'Attempts to open a session with an origin.', labels: ['origin'] });
    this.#gauges(metrics);
  }

  async start(): Promise<void> {
    const remembered = new Map(this.#options.states.load().map((row) => [laneKey(row.lane), row]));
    const chosen = this.#options.states.transports();
    this.#links = this.#origins().map((origin) => this.#link(origin, remembered, chosen.get(origin)));
    for (const link of this.#links) link.start();
  }

  async drain(): Promise<void> {
    await Promise.all(this.#links.map((link) => link.drain()));
  }

  async stop(): Promise<void> {
    await Promise.all(this.#links.map((link) => link.stop()));
  }

  /** What this room's stores refuse, of one lane: they are the same for all. Peers that are away are no reason: this room goes on without them. */
  unready(): string | undefined {
    for (const { lanes } of this.#links) {
      for (const { trouble } of lanes) if (trouble !== undefined) return trouble;
    }
    return undefined;
  }

  floor(): Stamp {
    return this.#floors.floor();
  }

  status(): LinkStatus[] {
    return this.#links.map((link) => link.status());
  }

  /** Pauses or resumes the link from `origin`, over restarts. Resuming also retries lanes that stopped on a gap. ROOM_UNKNOWN, and as LinkStateStore.durable. */
  async setPaused(origin: RoomId, paused: boolean): Promise<LaneStatus[]> {
    const link = this.#linkFrom(origin);
    link.setPaused(paused);
    await this.#options.states.durable();
    return link.status().lanes;
  }

  /** Over what the link from `origin` runs from now on, over restarts; returns over what it ran. ROOM_UNKNOWN, USAGE, and as InboxDialer.check and LinkStateStore.durable. */
  async setTransport(origin: RoomId, transport: Transport): Promise<Transport> {
    const link = this.#linkFrom(origin);
    const { config, inbox, states } = this.#options;
    if (origin === config.room.id) throw new WmbError('USAGE', 'a room’s link to itself has no transport to choose');
    if (transport === 'mq') await inbox?.check(origin);
    states.saveTransport(origin, transport);
    await states.durable();
    return link.switchTo(transport);
  }

  /** Of the lanes from `origin` that have stopped: what would be lost; `confirmed`: they go on without it. ROOM_UNKNOWN, or NOT_FOUND where none has stopped. */
  async skipGaps(origin: RoomId, confirmed: boolean): Promise<SkippedLane[]> {
    const lanes = await this.#linkFrom(origin).skipGaps(confirmed);
    if (lanes.length > 0) return lanes;
    throw new WmbError('NOT_FOUND', `no lane of the link from ${origin} has stopped on a gap; \`wmb status --lanes\` shows their states`);
  }

  /** Of the lanes that stopped on missing frames: where their logs go on. */
  gaps(): readonly { readonly lane: Lane; readonly logFrom: Seq }[] {
    return this.#links.flatMap((link) =>
      [...link.lanes].flatMap(({ lane, state, stoppedOn }) =>
        state === 'stopped-on-gap' && stoppedOn?.missing !== undefined ? [{ lane, logFrom: stoppedOn.missing.to + 1 }] : [],
      ),
    );
  }

  /** Lanes that have stopped on a gap try again. */
  retryGaps(lanes: readonly Lane[], reason: string): void {
    for (const link of this.#links) {
      const own = lanes.filter(({ origin }) => origin === link.origin);
      if (own.length > 0) link.retryGaps(own, reason);
    }
  }

  #linkFrom(origin: RoomId): OriginLink {
    const link = this.#links.find((candidate) => candidate.origin === origin);
    if (link !== undefined) return link;
    throw new WmbError('ROOM_UNKNOWN', `there is no link from ${JSON.stringify(origin)}; the rooms are ${this.#origins().join(', ')}`);
  }

  #origins(): RoomId[] {
    return this.#options.config.topology.rooms.map((room) => room.id);
  }

  #link(origin: RoomId, remembered: ReadonlyMap<string, LinkStateRow>, chosen: Transport | undefined): OriginLink {
    const { config, instance, share = WHOLE, dialer, inbox, consumers, acks, hints, runtime, logger } = this.#options;
    return new OriginLink({
      origin,
      config,
      instance,
      share,
      dialer,
      inbox,
      transport: chosen ?? transportOf(config.topology, origin, config.room.id),
      consumers,
      acks: new AckSender(acks, origin, runtime),
      hints: origin === config.room.id ? new HintSender(hints, runtime) : undefined,
      runtime,
      logger,
      save: (row) => this.#save(row),
      remembered,
      onFloor: (floor) => this.#floors.set(origin, floor),
      onFrames: (frames) => this.#count(origin, frames),
      onDial: () => this.#dials.add(1, { origin }),
    });
  }

  /** A state that cannot be remembered must not hold up the lane: after a restart it is found out anew. */
  #save(row: LinkStateRow): void {
    try {
      this.#options.states.save(row);
      this.#unsaved = undefined;
    } catch (cause) {
      const { code, message } = asWmbError(cause);
      // Lanes that fail because the disk is full move several times a second: that is told once, and not by filling the disk.
      if (this.#unsaved !== code)
        this.#options.logger.error({ lane: laneKey(row.lane), state: row.state, code, reason: message }, 'link states cannot be saved');
      this.#unsaved = code;
    }
  }

  #count(origin: RoomId, frames: readonly LinkFrame[]): void {
    let bytes = 0;
    for (const frame of frames) bytes += frame.bytes.length;
    this.#frames.add(frames.length, { origin });
    this.#bytes.add(bytes, { origin });
  }

  #gauges(metrics: Metrics): void {
    const labels = ['origin', 'log', 'partition'];
    const eachLane =
      (read: (lane: LaneStatus, queuedBytes: number) => [number, Record<string, string>?]) =>
      (report: (value: number, labels?: Record<string, string | number>) => void) => {
        for (const link of this.#links) {
          for (const lane of link.lanes) {
            const [value, extra] = read(lane.status(), lane.queuedBytes);
            report(value, { origin: link.origin, log: lane.lane.log, partition: lane.lane.partition, ...extra });
          }
        }
      };
    metrics.gauge(
      { name: 'wmb_link_lag_writes', help: 'Write requests of the lane that this room has not applied.', labels },
      eachLane((lane) => [lane.lagWrites]),
    );
    metrics.gauge(
      { name: 'wmb_link_lag_ms', help: 'How long at most something of the lane has been missing here; 0 without a lag.', labels },
      eachLane((lane) => [lane.lagMs]),
    );
    metrics.gauge(
      { name: 'wmb_link_queue_bytes', help: 'Bytes of frames that wait in the collector.', labels },
      eachLane((_, bytes) => [bytes]),
    );
    const stateLabels = {
      name: 'wmb_link_state',
      help: 'A state of docs/link-states.md; 1 for the one that the lane is in.',
      labels: [...labels, 'state'],
    };
    metrics.gauge(
      stateLabels,
      eachLane((lane) => [1, { state: lane.state }]),
    );
  }
}
