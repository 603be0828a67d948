/** Two rooms' ends of a link with consumers that only count: what arrives, in which order, and how much is held. */

import type { Ack, AckBoard, AckState, LaneConsumer, LaneConsumers, LocalHints } from '../../collector/lane.ts';
import type { LinkStateRow, LinkStateStore } from '../../collector/receive/state-store.ts';
import type { Config, InboxConfig, KafkaServersConfig, Transport } from '../../core/config/types.ts';
import { type LogFields, type Logger, silentLogger } from '../../core/logger.ts';
import type { Runtime } from '../../core/runtime.ts';
import { formatStamp, type Stamp } from '../../core/stamp.ts';
import { type LogEpoch, type LogName, NOTHING_SEEN, type RoomId, type Seq } from '../../core/words.ts';
import type { LinkFrame, ReceiptException } from '../../link/link.ts';
import { MemoryLog, type MemoryLogDisk } from '../../log/memory/memory.ts';

export interface RigConfig {
  readonly room: RoomId;
  /** Room to the address of its reship. */
  readonly addresses: Readonly<Record<RoomId, string>>;
  readonly mode?: 'independent' | 'master-slave';
  readonly epoch?: number;
  readonly partitions?: number;
  readonly secret?: string;
  readonly laneBytesMax?: number;
  readonly bytesPerSecondMax?: number;
  readonly silenceMsMax?: number;
  readonly reconnectMsMax?: number;
  readonly transport?: Transport;
  readonly inbox?: InboxConfig;
  readonly peers?: Readonly<Record<RoomId, { readonly kafka: KafkaServersConfig }>>;
}

/** The first room of `addresses` is the master. */
export function configOf(options: RigConfig): Config {
  const rooms = Object.entries(options.addresses).map(([id, grpc], index) => {
    const addresses = { grpc, http: '' };
    return {
      id,
      number: index + 1,
      database: index === 0 ? ('master' as const) : ('none' as const),
      reship: addresses,
      collector: addresses,
    };
  });
  const [origin = '', peer = ''] = Object.keys(options.addresses);
  const addresses = { grpc: options.addresses[options.room] ?? '', http: '' };
  return {
    topology: {
      epoch: options.epoch ?? 1,
      mode: options.mode ?? 'independent',
      partitions: options.partitions ?? 8,
      rooms,
      links: [{ origin, peer, transport: options.transport ?? 'rpc', bytesPerSecondMax: options.bytesPerSecondMax ?? 0 }],
      kinds: {},
      limits: { payloadBytesMax: 1_000_000, clockAheadMsMax: 5_000, duplicateWindowWrites: 100 },
    },
    room: {
      id: options.room,
      directory: '/nowhere',
      listen: { reship: addresses, collector: addresses },
      secret: options.secret ?? 'secret',
      tls: undefined,
      log: { adapter: 'embedded', retention: { ageMsMin: 0, bytesMax: 0, overflow: 'keep' } },
      inbox: options.inbox,
      peers: options.peers ?? {},
      cache: { adapter: 'embedded' },
      database: undefined,
      processors: {},
      topics: [],
      intake: { pendingWritesMax: 1, pendingBytesMax: 1, waitingMax: 1, waitMsDefault: 1, frameBytesMax: 1, frameWritesMax: 1 },
      link: {
        laneBytesMax: options.laneBytesMax ?? 1_000_000,
        pulseMs: 20,
        silenceMsMax: options.silenceMsMax ?? 5_000,
        reconnectMsMin: 5,
        reconnectMsMax: options.reconnectMsMax ?? 20,
      },
      checker: {
        roundMs: 100,
        graceMs: 100,
        sweepMs: 1_000,
        workPercentMax: 5,
        canaryMs: 0,
        silenceMsMax: 5_000,
        database: { roundMs: 0, workMsMax: 100 },
        repair: { keysMax: 100, keysPerSecondMax: 100 },
      },
      drainMsMax: 1_000,
      logLevel: 'info',
    },
  };
}

export async function logOf(
  disk: MemoryLogDisk,
  options: { origin: RoomId; runtime: Runtime; partitions?: number; log?: LogName },
): Promise<MemoryLog> {
  const log = new MemoryLog({
    disk,
    log: options.log ?? 'writes',
    origin: options.origin,
    partitions: options.partitions ?? 8,
    runtime: options.runtime,
  });
  await log.open();
  return log;
}

/** Appends one frame of one write request. Its bytes are not a frame: links do not look. */
export async function append(log: MemoryLog, partition: number, at: { ms: number; bytes?: number }): Promise<Seq> {
  const stamp = formatStamp({ ms: at.ms, counter: 0, writer: 1 });
  const [seq = NOTHING_SEEN] = await log.append([
    { partition, bytes: Buffer.alloc(at.bytes ?? 100, partition), count: 1, stampFirst: stamp, stampLast: stamp },
  ]);
  return seq;
}

/** Counts what it is given. `gate` decides when a take is done. */
export class CountingConsumer implements LaneConsumer {
  epoch: LogEpoch = '';
  mark: Seq = NOTHING_SEEN;
  readonly seqs: Seq[] = [];
  history: Seq[] = [];
  takes = 0;
  /** Bytes in its hands. */
  bytes = 0;
  gate: (frames: readonly LinkFrame[]) => Promise<void> = async () => {};
  resumeGate: () => Promise<void> = async () => {};
  historyWrites = 0;
  busy = false;
  overlapped = false;
  ends: { seq: Seq; stamp: Stamp }[] = [];

  async resume(offer: { readonly epoch: LogEpoch }): Promise<{ after: Seq; historyWrites: number }> {
    if (this.busy) this.overlapped = true;
    await this.resumeGate();
    this.epoch = offer.epoch;
    return { after: this.mark, historyWrites: this.historyWrites };
  }

  async take(frames: readonly LinkFrame[]): Promise<void> {
    if (this.busy) this.overlapped = true;
    this.busy = true;
    this.takes += 1;
    this.bytes = frames.reduce((sum, frame) => sum + frame.bytes.length, 0);
    try {
      await this.gate(frames);
      for (const frame of frames) {
        if (frame.history) this.history.push(frame.seq);
        else {
          this.seqs.push(frame.seq);
          this.mark = frame.seq;
        }
      }
    } finally {
      this.busy = false;
      this.bytes = 0;
    }
  }

  pulse(end: { seq: Seq; stamp: Stamp }): void {
    this.ends.push(end);
  }

  progress() {
    return { epoch: this.epoch, mark: this.mark, parked: 0, lagWrites: 0, lagMs: 0 };
  }
}

export class CountingConsumers {
  readonly lanes = new Map<string, CountingConsumer>();
  readonly make: LaneConsumers = (lane) => this.of(lane.origin, lane.partition, lane.log);

  of(origin: RoomId, partition: number, log: LogName = 'writes'): CountingConsumer {
    const key = `${log}/${origin}/${partition}`;
    const consumer = this.lanes.get(key) ?? new CountingConsumer();
    this.lanes.set(key, consumer);
    return consumer;
  }
}

/** An ack board that tests write on. */
export class FakeBoard implements AckBoard {
  readonly #acks = new Map<string, Ack>();
  readonly #changed = new Set<Ack>();
  readonly #listeners = new Map<RoomId, () => void>();

  set(origin: RoomId, state: AckState, exceptions: ReceiptException[] = []): void {
    const ack = { ...state, exceptionsFrom: 0, exceptions };
    this.#acks.set(`${origin}:${state.log}/${state.partition}`, ack);
    this.#changed.add(ack);
    this.#listeners.get(origin)?.();
  }

  take(origin: RoomId): Ack[] {
    const acks = this.takeAll(origin).filter((ack) => this.#changed.has(ack));
    this.#changed.clear();
    return acks;
  }

  takeAll(origin: RoomId): Ack[] {
    return [...this.#acks].filter(([key]) => key.startsWith(`${origin}:`)).map(([, ack]) => ack);
  }

  onChange(origin: RoomId, listener: () => void): () => void {
    this.#listeners.set(origin, listener);
    return () => this.#listeners.delete(origin);
  }
}

export class FakeHints implements LocalHints {
  observed: (stamp: Stamp) => void = () => {};
  appended: (log: LogName, partition: number) => void = () => {};

  onObserved(listener: (stamp: Stamp) => void): () => void {
    this.observed = listener;
    return () => {};
  }

  onAppended(listener: (log: LogName, partition: number) => void): () => void {
    this.appended = listener;
    return () => {};
  }
}

export class MemoryStates implements LinkStateStore {
  readonly rows = new Map<string, LinkStateRow>();

  load(): LinkStateRow[] {
    return [...this.rows.values()];
  }

  save(row: LinkStateRow): void {
    this.rows.set(`${row.lane.log}/${row.lane.origin}/${row.lane.partition}`, row);
  }

  readonly chosen = new Map<RoomId, Transport>();

  transports(): ReadonlyMap<RoomId, Transport> {
    return this.chosen;
  }

  saveTransport(origin: RoomId, transport: Transport): void {
    this.chosen.set(origin, transport);
  }

  async durable(): Promise<void> {}
}

export interface LogLine extends LogFields {
  readonly level: string;
  readonly message: string;
}

/** A logger that keeps its lines. */
export function keepingLogger(lines: LogLine[]): Logger {
  const at = (level: string, base: LogFields) => (fields: LogFields, message: string) =>
    void lines.push({ ...base, ...fields, level, message });
  const of = (base: LogFields): Logger => ({
    ...silentLogger,
    debug: at('debug', base),
    info: at('info', base),
    warn: at('warn', base),
    error: at('error', base),
    child: (fields) => of({ ...base, ...fields }),
  });
  return of({});
}

/** Resolves when `condition` holds; the test's own timeout ends a wait that never does. */
export async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await new Promise((resolve) => setTimeout(resolve, 2));
}
