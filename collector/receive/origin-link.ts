/**
 * The link from one origin to this room: one session at a time, dialled again with backoff for as long as the collector runs, and the
 * lanes that it feeds. A link without lanes is still dialled: over it go the acks.
 */

import { isWildcard, parseAddress } from '../../core/config/address.ts';
import type { Config, Transport } from '../../core/config/types.ts';
import { asWmbError, WmbError } from '../../core/errors.ts';
import { backoffMs } from '../../core/flow/backoff.ts';
import type { Logger } from '../../core/logger.ts';
import { type Runtime, sleep } from '../../core/runtime.ts';
import { holds, partitionsOf, type Share } from '../../core/share.ts';
import type { Stamp } from '../../core/stamp.ts';
import { logsTaken, roomEntry } from '../../core/topology.ts';
import { type Lane, type LogName, laneKey, type RoomId } from '../../core/words.ts';
import { signHello } from '../../link/identity.ts';
import {
  type Downward,
  type Hello,
  type InboxDialer,
  LINK_PROTOCOL,
  type LinkDialer,
  type LinkFrame,
  type LinkSession,
  type Welcome,
} from '../../link/link.ts';
import type { LinkStatus, SkippedLane } from '../../proto/gen/wmb/v1/admin.ts';
import type { LaneConsumers } from '../lane.ts';
import type { AckSender } from './ack-sender.ts';
import type { HintSender } from './hint-sender.ts';
import { LaneLink } from './lane-link.ts';
import { skipGap } from './skip-gap.ts';
import type { LinkStateRow } from './state-store.ts';

export interface OriginLinkOptions {
  readonly origin: RoomId;
  readonly config: Config;
  readonly instance: string;
  readonly share: Share;
  readonly dialer: LinkDialer;
  readonly inbox: InboxDialer | undefined;
  /** At the start. */
  readonly transport: Transport;
  readonly consumers: LaneConsumers;
  readonly acks: AckSender;
  /** Of the link to oneself only. */
  readonly hints: HintSender | undefined;
  readonly runtime: Runtime;
  readonly logger: Logger;
  readonly save: (row: LinkStateRow) => void;
  readonly remembered: ReadonlyMap<string, LinkStateRow>;
  readonly onFloor: (floor: Stamp) => void;
  readonly onFrames: (frames: readonly LinkFrame[]) => void;
  readonly onDial: () => void;
}

const WARN_AFTER_MS = 10_000;
const ERROR_AFTER_MS = 60_000;

export class OriginLink {
  readonly origin: RoomId;
  readonly #options: OriginLinkOptions;
  readonly #log: Logger;
  readonly #lanes = new Map<string, LaneLink>();
  readonly #stopped = new AbortController();
  #session: LinkSession | undefined;
  #failures = 0;
  #failingSinceMs: number | undefined;
  #heardMs = 0;
  #draining = false;
  #transport: Transport;
  /** Aborted when the link is switched to another transport. */
  #switched = new AbortController();
  #running: Promise<void> | undefined;

  constructor(options: OriginLinkOptions) {
    this.origin = options.origin;
    this.#options = options;
    this.#transport = options.transport;
    this.#log = options.logger.child({ origin: options.origin });
    const { topology, room } = options.config;
    for (const log of logsTaken(topology, options.origin, room.id)) {
      // How many partitions a changes log has, its origin says at connect.
      const partitions = log === 'changes' ? 1 : topology.partitions;
      for (const partition of partitionsOf(options.share, partitions)) this.#addLane(log, partition);
    }
  }

  get lanes(): Iterable<LaneLink> {
    return this.#lanes.values();
  }

  start(): void {
    this.#running = this.#run();
  }

  /** Frames are no longer taken; what was taken is finished and acked. */
  async drain(): Promise<void> {
    this.#draining = true;
    await Promise.all([...this.#lanes.values()].map((lane) => lane.drain()));
    this.#options.acks.flush();
  }

  async stop(): Promise<void> {
    this.#stopped.abort();
    this.#session?.close();
    await this.#running;
    this.#options.acks.stop();
    this.#options.hints?.stop();
  }

  /** The session ends, and the next one is over the other transport: the lanes resume at their marks, which know nothing of transports. Returns what it was before. */
  switchTo(transport: Transport): Transport {
    const before = this.#transport;
    if (transport === before) return before;
    this.#log.info({ before, transport }, 'the link is switched to another transport');
    this.#transport = transport;
    this.#switched.abort();
    this.#session?.close();
    // Where that does not get through: the session over rpc makes the origin forget the one over mq.
    if (before === 'mq') {
      this.#options.inbox?.leave(this.#hello()).catch((cause) => {
        this.#log.warn({ reason: asWmbError(cause).message }, 'the origin could not be told that the link has left the inbox');
      });
    }
    return before;
  }

  setPaused(paused: boolean): void {
    for (const lane of this.#lanes.values()) {
      if (paused) lane.pause('paused by an operator');
      else lane.unpause('resumed by an operator');
    }
    const session = this.#session;
    if (!paused && session !== undefined && !this.#draining) this.#connectLanes(session);
  }

  /** The lanes that have stopped, each with what would be lost; where it is `confirmed` they go on. */
  async skipGaps(confirmed: boolean): Promise<SkippedLane[]> {
    const stopped = [...this.#lanes.values()].filter((lane) => lane.state === 'stopped-on-gap');
    const skipped: SkippedLane[] = [];
    for (const lane of stopped) skipped.push(await skipGap(lane, this.#options.consumers(lane.lane), { confirmed, logger: this.#log }));
    const session = this.#session;
    if (confirmed && session !== undefined && !this.#draining) this.#connectLanes(session);
    return skipped;
  }

  /** Those of `lanes` that have stopped on a gap try again: what they lacked is there. */
  retryGaps(lanes: readonly Lane[], reason: string): void {
    for (const { log, partition } of lanes) {
      const lane = this.#lanes.get(`${log}/${partition}`);
      if (lane?.state === 'stopped-on-gap') lane.unpause(reason);
    }
    const session = this.#session;
    if (session !== undefined && !this.#draining) this.#connectLanes(session);
  }

  status(): LinkStatus {
    const lanes = [...this.#lanes.values()];
    const paused = lanes.length > 0 && lanes.every((lane) => lane.state === 'paused');
    return { origin: this.origin, transport: this.#transport, paused, lanes: lanes.map((lane) => lane.status()) };
  }

  #addLane(log: LogName, partition: number): void {
    const { consumers, runtime, save, remembered, config } = this.#options;
    const lane = { log, origin: this.origin, partition };
    const options = {
      lane,
      consumer: consumers(lane),
      limits: config.room.link,
      runtime,
      logger: this.#log,
      save,
      remembered: remembered.get(laneKey(lane)),
    };
    const severity = (sinceMs: number) => this.#severity(sinceMs);
    this.#lanes.set(`${log}/${partition}`, new LaneLink({ ...options, severity }));
  }

  async #run(): Promise<void> {
    const { runtime, config } = this.#options;
    const { reconnectMsMin, reconnectMsMax } = config.room.link;
    while (!this.#stopped.signal.aborted) {
      if (!this.#draining) for (const lane of this.#lanes.values()) lane.dial();
      this.#switched = new AbortController();
      const reason = await this.#oneSession();
      if (this.#stopped.signal.aborted) return;
      for (const lane of this.#lanes.values()) lane.lost(reason);
      if (this.#switched.signal.aborted) continue;
      this.#failed(reason);
      const delayMs =
        reason.retry === 'never'
          ? reconnectMsMax
          : backoffMs(this.#failures, { msMin: reconnectMsMin, msMax: reconnectMsMax }, runtime.random());
      this.#failures += 1;
      await sleep(runtime, delayMs, AbortSignal.any([this.#stopped.signal, this.#switched.signal]));
    }
  }

  /** Dials and serves one session to its end; resolves with why it ended. */
  async #oneSession(): Promise<WmbError> {
    const { acks, hints, onDial } = this.#options;
    onDial();
    try {
      const session = await this.#dial();
      try {
        this.#session = session;
        this.#heardMs = this.#options.runtime.monotonicMs();
        this.#log.info(
          { peerInstance: session.welcome.instance, logs: session.welcome.logs.map((offer) => offer.log) },
          'the origin welcomed the session',
        );
        acks.attach(session);
        hints?.attach(session);
        this.#connectLanes(session);
        return await this.#serve(session);
      } finally {
        this.#session = undefined;
        acks.detach();
        hints?.detach();
        session.close();
      }
    } catch (cause) {
      return asWmbError(cause, 'PEER_UNREACHABLE');
    }
  }

  /**
   * The address book's; of its own room's reship the one that it listens on, past whatever stands before the published one. Where that does not answer, another reship of the room may, which
   * the published one leads to.
   */
  #address(): string {
    const { topology, room } = this.#options.config;
    const published = roomEntry(topology, this.origin)?.reship.grpc ?? '';
    if (this.origin !== room.id || this.#failures % 2 === 1) return published;
    const listens = parseAddress(room.listen.reship.grpc);
    return listens === undefined || isWildcard(listens.host) ? published : room.listen.reship.grpc;
  }

  async #dial(): Promise<LinkSession> {
    const { config, dialer, inbox } = this.#options;
    const { topology, room } = config;
    const given = AbortSignal.any([this.#stopped.signal, this.#switched.signal]);
    const through = this.#transport === 'mq' ? inbox : dialer;
    if (through === undefined) throw new WmbError('INBOX_UNPREPARED', `room ${room.id} cannot take frames over mq`);
    const session = await through.dial(this.#address(), this.#hello(), given);
    const wrong = wrongWelcome(session.welcome, this.origin, topology.epoch);
    if (wrong !== undefined) {
      session.close();
      throw wrong;
    }
    return session;
  }

  #hello(): Hello {
    const { config, instance, share, runtime } = this.#options;
    const claim = {
      from: config.room.id,
      to: this.origin,
      topologyEpoch: config.topology.epoch,
      instance,
      ...(share.count > 1 && { share }),
    };
    return signHello(claim, config.room.secret, runtime);
  }

  async #serve(session: LinkSession): Promise<WmbError> {
    const watch = new AbortController();
    const silent = this.#watchSilence(watch.signal);
    const streams = Promise.all([this.#frames(session), this.#control(session)]).then(() => session.closed);
    const reason = await Promise.race([session.closed, silent, streams]).catch((cause) => asWmbError(cause));
    watch.abort();
    return reason ?? new WmbError('PEER_UNREACHABLE', `the session with ${this.origin} was closed`);
  }

  async #frames(session: LinkSession): Promise<void> {
    for await (const frames of session.frames) {
      this.#options.onFrames(frames);
      for (const [key, ofLane] of byLane(frames)) this.#lanes.get(key)?.frames(ofLane);
    }
  }

  async #control(session: LinkSession): Promise<void> {
    for await (const message of session.control) {
      this.#heardMs = this.#options.runtime.monotonicMs();
      if (message.type === 'pulse') this.#pulse(session, message);
      else if (message.type === 'resumed') this.#lanes.get(`${message.log}/${message.partition}`)?.resumed(message);
      else this.#lanes.get(`${message.log}/${message.partition}`)?.gap(message);
    }
  }

  #pulse(session: LinkSession, message: Extract<Downward, { type: 'pulse' }>): void {
    if (this.#failingSinceMs !== undefined) this.#log.info({}, 'the link works again');
    this.#failures = 0;
    this.#failingSinceMs = undefined;
    this.#options.onFloor(message.floor);
    // Also for lanes whose frames do not come this way: how far they reach is needed to know how far this room is.
    for (const end of message.ends) {
      if (end.partition >= this.#options.config.topology.partitions || !holds(this.#options.share, end.partition)) continue;
      this.#options.consumers({ log: end.log, origin: this.origin, partition: end.partition }).pulse(end, message.sentMs);
      const lane = this.#lanes.get(`${end.log}/${end.partition}`);
      lane?.checkStale();
      lane?.checkStall();
    }
    // A sign of life: grants nothing, but the origin hears it.
    session.send({ type: 'credit', log: 'writes', partition: 0, bytes: 0 });
  }

  #connectLanes(session: LinkSession): void {
    for (const { log, epoch, partitions } of session.welcome.logs) {
      for (const partition of partitionsOf(this.#options.share, Math.min(partitions, this.#options.config.topology.partitions))) {
        if (!this.#lanes.has(`${log}/${partition}`)) {
          this.#addLane(log, partition);
          this.#lanes.get(`${log}/${partition}`)?.dial();
        }
        this.#lanes.get(`${log}/${partition}`)?.connected(session, epoch);
      }
    }
    const isOffered = (lane: LaneLink) => session.welcome.logs.some(({ log }) => log === lane.lane.log);
    for (const lane of this.#lanes.values()) if (!isOffered(lane)) lane.notOffered(session);
  }

  async #watchSilence(over: AbortSignal): Promise<WmbError | undefined> {
    const { runtime, config } = this.#options;
    const { silenceMsMax } = config.room.link;
    for (;;) {
      const leftMs = this.#heardMs + silenceMsMax - runtime.monotonicMs();
      if (over.aborted) return undefined;
      if (leftMs <= 0) return new WmbError('PEER_UNREACHABLE', `${this.origin} said nothing for ${silenceMsMax} ms`);
      await sleep(runtime, leftMs, over);
    }
  }

  #failed(reason: WmbError): void {
    const nowMs = this.#options.runtime.monotonicMs();
    this.#failingSinceMs ??= nowMs;
    this.#log[this.#severity(this.#failingSinceMs)](
      { code: reason.code, reason: reason.message, failingMs: Math.round(nowMs - this.#failingSinceMs) },
      'the link is down',
    );
  }

  /** A short failure is a line in the log, a long one is somebody's business. */
  #severity(failingSinceMs: number): 'info' | 'warn' | 'error' {
    const failingMs = this.#options.runtime.monotonicMs() - failingSinceMs;
    return failingMs >= ERROR_AFTER_MS ? 'error' : failingMs >= WARN_AFTER_MS ? 'warn' : 'info';
  }
}

/** Why this is not the peer that was meant, or undefined when it is. */
function wrongWelcome(welcome: Welcome, origin: RoomId, topologyEpoch: number): WmbError | undefined {
  if (welcome.protocol !== LINK_PROTOCOL) {
    return new WmbError('PROTOCOL_VERSION', `room ${origin} speaks link protocol ${welcome.protocol}, this room speaks ${LINK_PROTOCOL}`);
  }
  if (welcome.room !== origin) return new WmbError('ROOM_UNKNOWN', `the address of room ${origin} answers as room ${welcome.room}`);
  if (welcome.topologyEpoch === topologyEpoch) return undefined;
  return new WmbError('TOPOLOGY_STALE', `room ${origin} holds topology epoch ${welcome.topologyEpoch}, this room holds ${topologyEpoch}`);
}

/** Splits what arrived together into runs of one lane each; within a lane the order stays. */
function byLane(frames: readonly LinkFrame[]): Map<string, LinkFrame[]> {
  const lanes = new Map<string, LinkFrame[]>();
  for (const frame of frames) {
    const key = `${frame.log}/${frame.partition}`;
    const lane = lanes.get(key);
    if (lane === undefined) lanes.set(key, [frame]);
    else lane.push(frame);
  }
  return lanes;
}
