/**
 * Ship hands this room's logs to whoever may have them. It is the serving side of every link: it answers hellos, streams the lanes that
 * the peer resumes, keeps what the peers ack, and pulses. It reads the log and nothing else, so a dead peer costs disk in the log and
 * neither memory nor a moment of intake's time.
 *
 * The room's own collector is a peer like any other (the local lane).
 */
import type { Config } from '../../core/config/types.ts';
import { asWmbError, WmbError } from '../../core/errors.ts';
import { TokenBucket } from '../../core/flow/token-bucket.ts';
import type { Logger } from '../../core/logger.ts';
import type { Counter, Metrics } from '../../core/metrics.ts';
import type { Runtime, Timer } from '../../core/runtime.ts';
import { holds, overlaps, partitionsOf, type Share, WHOLE } from '../../core/share.ts';
import type { Stamp } from '../../core/stamp.ts';
import { logsTaken } from '../../core/topology.ts';
import type { LogName, RoomId, Seq } from '../../core/words.ts';
import type { Service } from '../../daemon/service.ts';
import { HelloVerifier } from '../../link/identity.ts';
import { type Hello, LINK_PROTOCOL, type LinkHost, type ServedSession, type Upward, type Welcome } from '../../link/link.ts';
import type { LogReader, RetentionFloor } from '../../log/log.ts';
import type { PeerStatus } from '../../proto/gen/wmb/v1/admin.ts';
import { AckLedger } from './ack-ledger.ts';
import { checkHello } from './check-hello.ts';
import { endsOf, floorOf } from './floor.ts';
import type { PeerAck, PeerSessionName } from './peer-ack.ts';
import { PeerSession } from './peer-session.ts';
import { peerStatuses } from './peer-status.ts';

export interface ShipperOptions {
  readonly config: Config;
  /** Logs that this room keeps, open, each once. Others may join by `offer`. */
  readonly readers: readonly LogReader[];
  readonly runtime: Runtime;
  readonly logger: Logger;
  readonly metrics: Metrics;
  readonly instance: string;
  /** A stamp that every write request which is not in the write log yet will exceed. */
  readonly settledStamp: () => Stamp;
  /** Where several reships work in the room: rooms that have a session with another one. */
  readonly connectedElsewhere?: () => readonly RoomId[];
}

type Ack = Extract<Upward, { type: 'ack' }>;

interface Live {
  /** Of all sessions of the room's reships. */
  readonly id: string;
  readonly peer: RoomId;
  readonly session: ServedSession;
  readonly lanes: PeerSession;
  readonly logs: readonly LogName[];
  readonly share: Share;
  heardMs: number;
  /** Acks wait for it: they speak of frames that are not known here yet. */
  catchingUp?: Promise<void>;
}

export class Shipper implements LinkHost, Service {
  readonly name = 'ship';
  readonly #options: ShipperOptions;
  readonly #room: RoomId;
  readonly #rooms: readonly RoomId[];
  readonly #readers: LogReader[];
  readonly #acks = new AckLedger();
  /** By log and partition, a seq below which its frames exist: seqs of a log are never given back, and acks come by the thousand. */
  readonly #existing = new Map<LogReader, Seq[]>();
  readonly #live = new Set<Live>();
  /** The newest of every share of every room: another one speaks of marks that may no longer be true. Kept when it ends, until the next begins. */
  readonly #newest = new Set<Live>();
  readonly #buckets = new Map<RoomId, TokenBucket>();
  readonly #verifier: HelloVerifier;
  readonly #ackListeners = new Set<(news: PeerAck) => void>();
  readonly #sessionListeners = new Set<() => void>();
  #sessions = 0;
  readonly #observedListeners = new Set<(stamp: Stamp) => void>();
  readonly #sentBytes: Counter;
  readonly #sentFrames: Counter;
  #timer: Timer | undefined;
  #closing = false;

  constructor(options: ShipperOptions) {
    this.#options = options;
    const { config, runtime, metrics } = options;
    this.#room = config.room.id;
    this.#readers = [...options.readers];
    this.#rooms = config.topology.rooms.map((room) => room.id);
    this.#verifier = new HelloVerifier(config.room.secret, runtime);
    this.#sentBytes = metrics.counter({
      name: 'wmb_ship_sent_bytes_total',
      help: 'Bytes of frames handed to a peer.',
      labels: ['peer', 'log'],
    });
    this.#sentFrames = metrics.counter({ name: 'wmb_ship_sent_frames_total', help: 'Frames handed to a peer.', labels: ['peer', 'log'] });
    metrics.gauge({ name: 'wmb_ship_sessions', help: 'Open sessions of a peer.', labels: ['peer'] }, (report) => {
      for (const peer of this.#rooms) report([...this.#live].filter((live) => live.peer === peer).length, { peer });
    });
    metrics.gauge(
      { name: 'wmb_ship_unacked_frames', help: 'Frames of a partition that a peer has not acked.', labels: ['peer', 'log', 'partition'] },
      (report) => {
        for (const lane of this.#ackedLanes()) report(lane.frames, { peer: lane.room, log: lane.log, partition: lane.partition });
      },
    );
  }

  async start(): Promise<void> {
    this.#schedulePulse();
  }

  /** Ends all sessions; the peers dial again until the process is back. */
  async stop(): Promise<void> {
    this.#closing = true;
    this.#timer?.cancel();
    for (const { session } of this.#live) session.close(new WmbError('DRAINING', `room ${this.#room} shuts its reship down`));
  }

  welcome(hello: Hello): Welcome {
    const { config, instance } = this.#options;
    if (this.#closing) throw new WmbError('DRAINING', `room ${this.#room} shuts its reship down`);
    checkHello(hello, config);
    this.#verifier.verify(hello);
    const logs = this.#offered(hello.from).map(({ log, epoch, partitions }) => ({ log, epoch, partitions }));
    return { protocol: LINK_PROTOCOL, room: this.#room, topologyEpoch: config.topology.epoch, instance, logs };
  }

  serve(session: ServedSession): void {
    const { logger, runtime } = this.#options;
    const peer = session.hello.from;
    const log = logger.child({ peer, peerInstance: session.hello.instance });
    const readers = this.#offered(peer);
    const lanes = new PeerSession({
      session,
      readers,
      bucket: this.#bucket(peer),
      logger: log,
      onMessage: (message) => this.#message(live, message),
      onHeard: () => {
        live.heardMs = runtime.monotonicMs();
      },
      onSent: (name, frames, bytes) => {
        this.#sentFrames.add(frames, { peer, log: name });
        this.#sentBytes.add(bytes, { peer, log: name });
      },
    });
    this.#sessions += 1;
    const live: Live = {
      id: `${this.#options.instance}/${this.#sessions}`,
      peer,
      session,
      lanes,
      logs: readers.map((reader) => reader.log),
      share: session.hello.share ?? WHOLE,
      heardMs: runtime.monotonicMs(),
    };
    this.#live.add(live);
    this.#replaceOlder(live);
    for (const listener of this.#sessionListeners) listener();
    log.info({ logs: live.logs }, 'a peer’s session begins');
    void lanes.run().then((reason) => {
      this.#live.delete(live);
      log.info({ code: reason?.code, reason: reason?.message ?? 'closed' }, 'a peer’s session ends');
    });
    void this.#pulse([live]);
  }

  /** A room's older session for the same partitions is one that broke without this side noticing yet, or that of a collector which has them no longer. */
  #replaceOlder(live: Live): void {
    const { peer, share } = live;
    for (const older of this.#newest) {
      if (older.peer !== peer || !overlaps(older.share, share)) continue;
      this.#newest.delete(older);
      older.session.close(new WmbError('PEER_UNREACHABLE', `room ${peer} has a newer session`));
    }
    this.#newest.add(live);
  }

  /** Offers one log more: who takes it dials again and is told of it. */
  offer(reader: LogReader): void {
    this.#readers.push(reader);
    for (const { peer, session } of this.#live) {
      if (this.#offered(peer).includes(reader))
        session.close(new WmbError('DRAINING', `room ${this.#room} now also offers its log ${reader.log}`));
    }
  }

  /** Calls back with every ack as it comes. Returns how to stop. */
  onAck(listener: (news: PeerAck) => void): () => void {
    this.#ackListeners.add(listener);
    return () => this.#ackListeners.delete(listener);
  }

  /** Calls back when a session has begun. */
  onSession(listener: () => void): void {
    this.#sessionListeners.add(listener);
  }

  /** The newest of every share of every peer that is here. */
  sessions(): readonly PeerSessionName[] {
    return [...this.#newest].map(({ id, peer, share }) => ({ id, peer, share }));
  }

  /** What the sessions that are here have acked, without exceptions. Also while the logs are being closed. */
  acks(): readonly PeerAck[] {
    const acks: PeerAck[] = [];
    for (const { peer: room, share } of this.#newest) {
      for (const { log } of this.#readers) {
        for (const partition of partitionsOf(share, this.#options.config.topology.partitions)) {
          const ack = this.#acks.get({ room, log, partition });
          if (ack !== undefined) acks.push({ room, log, partition, ...ack, exceptionsFrom: ack.seq + 1, exceptions: [] });
        }
      }
    }
    return acks;
  }

  /** The peer has a newer one with another reship of this room: what it says here counts no more. */
  endSession(id: string): void {
    for (const live of this.#newest) {
      if (live.id !== id) continue;
      this.#newest.delete(live);
      live.session.close(
        new WmbError('PEER_UNREACHABLE', `room ${live.peer} has a newer session with another reship of room ${this.#room}`),
      );
    }
  }

  /** What a peer has acked to another reship of this room, of frames that are known here. */
  takeAck(ack: PeerAck): void {
    const { room, log, partition, epoch, seq, parkedSeq } = ack;
    if (this.#reader(log)?.epoch !== epoch) return;
    this.#acks.set({ room, log, partition }, { epoch, seq, parkedSeq });
  }

  /** Calls back with the greatest stamp that the room's collector has seen from peers, for intake's clock. Returns how to stop. */
  onObserved(listener: (stamp: Stamp) => void): () => void {
    this.#observedListeners.add(listener);
    return () => this.#observedListeners.delete(listener);
  }

  /** What `room` has acked of a partition: -1 for nothing; undefined while it has not spoken since this process started. */
  ackedSeq(room: RoomId, log: LogName, partition: number): Seq | undefined {
    return this.#acks.get({ room, log, partition })?.seq;
  }

  /** What retention may remove: applied by every room that takes the log. A room that has not spoken keeps everything, no taker nothing. */
  retentionFloors(log: LogName): RetentionFloor[] {
    const takers = this.#rooms.filter((room) => logsTaken(this.#options.config.topology, this.#room, room).includes(log));
    const reader = this.#reader(log);
    if (reader === undefined) return [];
    return Array.from({ length: reader.partitions }, (_, partition) => {
      const applied = this.#acks.appliedBy(takers, { log, partition }, 'pass') ?? -1;
      return { partition, appliedSeq: Math.min(applied, reader.extent(partition).next - 1) };
    });
  }

  /** Every room of the topology as this room sees it, for status. */
  peers(): Promise<PeerStatus[]> {
    const { config, runtime } = this.#options;
    const readers = this.#readers;
    const connected = new Set([...this.#live].map((live) => live.peer).concat(this.#options.connectedElsewhere?.() ?? []));
    return peerStatuses({ topology: config.topology, room: this.#room, readers, acks: this.#acks, connected, nowMs: runtime.nowMs() });
  }

  #message(live: Live, message: Upward): void {
    if (!this.#newest.has(live)) return;
    if (message.type === 'ack') this.#acked(live, message);
    else if (live.peer !== this.#room)
      live.session.close(new WmbError('PEER_GARBAGE', `room ${live.peer} sent ${message.type}, which only the room’s own collector may`));
    else if (message.type === 'observed') for (const listener of this.#observedListeners) listener(message.stamp);
    else if (message.type === 'appended') for (const { lanes } of this.#live) lanes.appended(message.log, message.partition);
  }

  #acked(live: Live, message: Ack): void {
    const { log, partition, epoch, seq } = message;
    const reader = this.#reader(log);
    if (reader === undefined || partition >= reader.partitions || !holds(live.share, partition)) return;
    if (live.catchingUp === undefined && (epoch !== reader.epoch || this.#exists(reader, partition, seq))) {
      this.#takeAcked(live, reader, message);
      return;
    }
    // Another reship of this room may have shipped them. What is acked meanwhile waits too: acks come in order.
    live.catchingUp ??= this.#catchUp(live, reader);
    live.catchingUp.then(
      () => this.#newest.has(live) && this.#takeAcked(live, reader, message),
      (cause) => live.session.close(asWmbError(cause)),
    );
  }

  #catchUp(live: Live, reader: LogReader): Promise<void> {
    const catchingUp = reader.catchUp();
    const over = () => {
      delete live.catchingUp;
    };
    // Before any of the acks that wait, and with nothing between them: those that come from now on do not overtake them.
    catchingUp.then(over, over);
    return catchingUp;
  }

  /** An ack of another epoch, or beyond the end of the log, speaks of frames that do not exist here: the room is unknown again. */
  #takeAcked({ peer: room }: Live, reader: LogReader, message: Ack): void {
    const { log, partition, epoch, seq, parkedSeq, exceptionsFrom, exceptions, databaseSeq } = message;
    if (epoch !== reader.epoch || !this.#exists(reader, partition, seq)) {
      this.#acks.forget({ room, log, partition });
      this.#options.logger.warn({ peer: room, log, partition, epoch, seq }, 'a peer acks frames that this log does not have');
      return;
    }
    this.#acks.set({ room, log, partition }, { epoch, seq, parkedSeq });
    for (const listener of this.#ackListeners)
      listener({ room, log, partition, epoch, seq, parkedSeq, exceptionsFrom, exceptions, databaseSeq });
  }

  #exists(reader: LogReader, partition: number, seq: Seq): boolean {
    const known = this.#existing.get(reader) ?? [];
    if (seq < (known[partition] ?? 0)) return true;
    known[partition] = reader.extent(partition).next;
    this.#existing.set(reader, known);
    return seq < known[partition];
  }

  #schedulePulse(): void {
    this.#timer = this.#options.runtime.after(
      this.#options.config.room.link.pulseMs,
      () => {
        this.#closeSilent();
        void this.#pulse([...this.#live]).then(() => {
          if (!this.#closing) this.#schedulePulse();
        });
      },
      true,
    );
  }

  #closeSilent(): void {
    const { silenceMsMax } = this.#options.config.room.link;
    const nowMs = this.#options.runtime.monotonicMs();
    for (const { peer, session, heardMs } of this.#live) {
      if (nowMs - heardMs > silenceMsMax)
        session.close(new WmbError('PEER_UNREACHABLE', `room ${peer} said nothing for ${silenceMsMax} ms`));
    }
  }

  async #pulse(targets: readonly Live[]): Promise<void> {
    if (targets.length === 0) return;
    const { runtime, settledStamp, logger } = this.#options;
    const readers = this.#readers;
    try {
      // Taken before the extents are looked at: what comes later is greater.
      const settled = settledStamp();
      const ends = readers.flatMap((reader) => endsOf(reader, settled));
      const writes = this.#reader('writes');
      const floor = writes === undefined ? '' : await floorOf(writes, this.#acks, this.#rooms, settled);
      const sentMs = Math.floor(runtime.nowMs());
      for (const { session, logs } of targets)
        session.send({ type: 'pulse', sentMs, floor, ends: ends.filter((end) => end.log === 'writes' || logs.includes(end.log)) });
    } catch (cause) {
      logger.warn({ code: asWmbError(cause).code, reason: asWmbError(cause).message }, 'a pulse was left out');
    }
  }

  #offered(peer: RoomId): LogReader[] {
    const taken = logsTaken(this.#options.config.topology, this.#room, peer);
    return this.#readers.filter((reader) => taken.includes(reader.log));
  }

  #reader(log: LogName): LogReader | undefined {
    return this.#readers.find((reader) => reader.log === log);
  }

  /** One per peer, whatever the number of its sessions. */
  #bucket(peer: RoomId): TokenBucket | undefined {
    const { config, runtime } = this.#options;
    const bytesPerSecond = config.topology.links.find((link) => link.origin === this.#room && link.peer === peer)?.bytesPerSecondMax ?? 0;
    if (bytesPerSecond === 0) return undefined;
    const bucket = this.#buckets.get(peer) ?? new TokenBucket(runtime, bytesPerSecond);
    this.#buckets.set(peer, bucket);
    return bucket;
  }

  *#ackedLanes(): Generator<{ room: RoomId; log: LogName; partition: number; frames: number }> {
    for (const room of this.#rooms) {
      for (const reader of this.#readers) {
        for (let partition = 0; partition < reader.partitions; partition += 1) {
          const seq = this.ackedSeq(room, reader.log, partition);
          // Another reship may know of frames that are not known here yet.
          if (seq !== undefined) yield { room, log: reader.log, partition, frames: Math.max(0, reader.extent(partition).next - 1 - seq) };
        }
      }
    }
  }
}
