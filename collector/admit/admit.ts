/**
 * Admission and application: the one door through which every write request enters this room's stores, whichever room it came from.
 *
 * Each lane (a partition of a log of an origin) has a consumer that takes its frames in order. For a `writes` lane a batch goes
 *
 *     admit ─▶ process ─▶ database ─▶ effect log ─▶ cache ─▶ receipt book
 *
 * where the database and the effect log take part in the master room only. Every store moves the lane's mark in the same transaction as
 * what it stores, and the lane resumes at the smallest of these marks: a crash between any two steps means that the later stores get
 * the batch again and the earlier ones recognise it (invariant I3). A write request that cannot be applied is parked with its
 * reason and holds up later ones of its key only (I7); a store or a processor service that is away holds up the lane, in order.
 */
import type { Config } from '../../core/config/types.ts';
import { asWmbError, WmbError } from '../../core/errors.ts';
import type { LanePlace } from '../../core/inspection.ts';
import type { Logger } from '../../core/logger.ts';
import type { Metrics } from '../../core/metrics.ts';
import type { Runtime, Timer } from '../../core/runtime.ts';
import { partitionsOf, type Share, WHOLE } from '../../core/share.ts';
import { leastStamp, NO_STAMP, type Stamp } from '../../core/stamp.ts';
import { masterRoom, processesWrites, roomEntry } from '../../core/topology.ts';
import { type Lane, laneKey, NOTHING_SEEN } from '../../core/words.ts';
import type { Log } from '../../log/log.ts';
import type { CacheStore } from '../../store/cache.ts';
import type { DatabaseStore } from '../../store/database.ts';
import type { FloorSource, LaneConsumer, LaneConsumers } from '../lane.ts';
import { Parking, type Retryable } from '../receipts/parked.ts';
import type { EpochLane, ReceiptBook } from '../receipts/receipts.ts';
import { Acks, Hints } from './acks.ts';
import { CacheView, type Looker } from './cache-view.ts';
import { ChangesLane } from './changes-lane.ts';
import type { Context, Processing } from './context.ts';
import { Copying } from './copying.ts';
import { DerivedLane } from './derived-lane.ts';
import { EffectsLane } from './effects-lane.ts';
import { Meters } from './meters.ts';
import type { Progress } from './progress.ts';
import { SharedCommits } from './shared-commits.ts';
import { WritesLane } from './writes-lane.ts';

/** The cache forgets what the floor allows this often. */
const SWEEP_MS = 5_000;

export interface ApplierOptions {
  readonly config: Config;
  readonly cache: CacheStore;
  /** Undefined in a cache-only room. */
  readonly database: DatabaseStore | undefined;
  readonly book: ReceiptBook;
  readonly processors: Processing;
  /** In the master room of a master–slave topology; opened by whoever made it, as the stores are. */
  readonly effectLog: Log | undefined;
  readonly floors: FloorSource;
  /** Undefined: all partitions, and no other collector works in the room. */
  readonly share?: SharedRoom | undefined;
  readonly runtime: Runtime;
  readonly logger: Logger;
  readonly metrics: Metrics;
}

/** What the collector of a share knows of the others'. */
export interface SharedRoom {
  readonly share: Share;
  /** What all others have seen, and what it rests on in the cache (CacheSweep.restsOn). Undefined: not known of all of them. */
  others(): { readonly seen: Stamp; readonly restsOn: readonly string[] } | undefined;
}

type WritesConsumer = WritesLane | DerivedLane;

export class Applier {
  /** For `receive/`: makes, or returns, the consumer of a lane. */
  readonly consumers: LaneConsumers;
  readonly acks = new Acks();
  readonly hints = new Hints();
  readonly parking: Parking;
  /** For a copy of this room's cache, or of a peer's into it. */
  readonly copying: Copying;
  readonly #options: ApplierOptions;
  readonly #context: Context;
  readonly #view: CacheView;
  readonly #lanes = new Map<string, LaneConsumer>();
  readonly #writes = new Map<string, WritesConsumer>();
  readonly #partitions: readonly number[];
  /** Of every origin; a floor is asked for with each batch. */
  readonly #writesLanes: readonly Lane[];
  #sweepTimer: Timer | undefined;
  #stopped = true;
  #stopping = false;

  constructor(options: ApplierOptions) {
    const { config, book, runtime, logger, metrics } = options;
    this.#options = options;
    this.#partitions = partitionsOf(options.share?.share ?? WHOLE, config.topology.partitions);
    this.#writesLanes = config.topology.rooms.flatMap(({ id }) =>
      this.#partitions.map((partition) => ({ log: 'writes' as const, origin: id, partition })),
    );
    this.#view = new CacheView({ ...options, lookers: () => this.#lookers() });
    this.#context = {
      ...options,
      view: this.#view,
      executes: options.database !== undefined && roomEntry(config.topology, config.room.id)?.database === 'master',
      acks: this.acks,
      hints: this.hints,
      // Where there are several collectors only the sweeps of one of them move it: they alone can name what it rests on.
      floor: () => (options.share === undefined ? this.floor() : NO_STAMP),
      meters: new Meters(metrics, runtime),
      shared: new SharedCommits(options),
      breathe: () => this.#breathe(),
    };
    this.copying = new Copying({
      context: this.#context,
      lanes: () => this.#laneProgress(),
      turns: () => this.#turns(),
      lookAgain: () => this.#lookAgain(),
    });
    this.consumers = (lane) => this.#consumer(lane);
    this.parking = new Parking({ book, runtime, logger, lanes: (lane) => this.#retryable(lane) });
    metrics.gauge({ name: 'wmb_collector_parked_writes', help: 'Write requests in the parking lot.' }, (report) =>
      report(book.parkedTotal()),
    );
    metrics.gauge({ name: 'wmb_collector_parked_bytes', help: 'Bytes of the payloads in the parking lot.' }, (report) =>
      report(book.parkedBytes()),
    );
  }

  /** Call it when the stores are open: publishes what this room has of each lane, and begins to retry and to sweep. */
  async start(): Promise<void> {
    this.#stopped = false;
    await this.#view.start();
    for (const mark of await this.#options.book.marks()) await this.#announce(mark, mark.epoch);
    this.parking.start();
    this.#scheduleSweep();
  }

  /** A mark of another epoch stops its lane when it is resumed, not the daemon. */
  async #announce(lane: Lane, epoch: string): Promise<void> {
    const consumer = this.#consumer(lane);
    if (!('announce' in consumer) || typeof consumer.announce !== 'function') return;
    try {
      await consumer.announce(epoch);
    } catch (cause) {
      this.#options.logger.error({ lane: laneKey(lane), error: asWmbError(cause).message }, 'the marks of a lane do not fit together');
    }
  }

  /** Why the cache cannot be read; what it refuses to take, the lanes say. */
  unready(): string | undefined {
    return this.#view.trouble;
  }

  async #breathe(): Promise<void> {
    await this.#options.runtime.turn();
    if (this.#stopping) throw new WmbError('DRAINING', 'the collector stops; what was not applied is taken again at its next start');
  }

  /** Resolves when no retry is under way. What a lane has taken and not begun is left, where nobody could wait for it any longer. */
  async stop(): Promise<void> {
    this.#stopped = true;
    this.#stopping = true;
    this.#sweepTimer?.cancel();
    await this.#view.stop();
    await this.parking.stop();
    for (const lane of this.#writes.values()) if (lane instanceof WritesLane) await lane.moveDatabase().catch(() => {});
  }

  /** What every room has applied by what the origins say, but no more than this room has seen of every `writes` lane. Empty: not known. */
  floor(): Stamp {
    const others = this.#options.share?.others();
    if (this.#options.share !== undefined && others === undefined) return NO_STAMP;
    const floor = this.#options.floors.floor();
    if (floor === NO_STAMP) return floor;
    return leastStamp([floor, this.seen(), ...(others === undefined ? [] : [others.seen])]);
  }

  /** What this collector has seen of every `writes` lane that is its own. Empty: not known. */
  seen(): Stamp {
    if (!this.#view.isWhole) return NO_STAMP;
    return leastStamp(this.#laneProgress().map(({ progress }) => progress.seen()));
  }

  /** The lanes that move marks of the cache; in a room that gets only the effects they look for those that are derived from them. */
  #lookers(): readonly Looker[] {
    const { topology, room } = this.#options.config;
    if (processesWrites(topology, room.id)) return [...this.#writes.values()].filter((lane) => lane instanceof WritesLane);
    const origin = masterRoom(topology)?.id ?? '';
    return this.#partitions
      .map((partition) => this.#consumer({ log: 'effects', origin, partition }))
      .filter((lane) => lane instanceof EffectsLane);
  }

  /**
   * How far this room is in the `writes` lanes of every origin, its own included. Of their links nothing is said: `state` and `reason` are empty. While not every
   * lane has looked at a cache that came back from an older copy, or the cache is away, nothing is said of what was seen either: the cache may lack it. The cache is looked at for
   * every answer: a checker that asks in the second before the lanes would find out must not take for deleted what comes again.
   */
  async horizon(): Promise<LanePlace[]> {
    const isWhole = await this.#view.isWholeNow();
    return this.#writesLanes.map((lane) => this.#place(lane, isWhole));
  }

  async #turns(): Promise<void> {
    await Promise.all([...this.#writes.values()].map((lane) => lane instanceof WritesLane && lane.turn()));
  }

  /** The marks of derived lanes have moved without the effects that they follow. Where a lane cannot look, the effects that come next find it out. */
  async #lookAgain(): Promise<void> {
    const followed = this.#lookers().filter((lane) => lane instanceof EffectsLane);
    const looks = await Promise.allSettled(followed.map((lane) => lane.lookAgain()));
    for (const look of looks)
      if (look.status === 'rejected')
        this.#options.logger.warn({ error: asWmbError(look.reason).message }, 'a lane could not look at the cache again');
  }

  #laneProgress(): { readonly lane: Lane; readonly progress: Progress }[] {
    return this.#writesLanes.map((lane) => ({ lane, progress: this.#writesLane(lane).progressState }));
  }

  #place(lane: Lane, isWhole: boolean): LanePlace {
    const consumer = this.#writesLane(lane);
    const { epoch, mark, lagWrites } = consumer.progress();
    const seen = isWhole ? consumer.progressState.seen() : NO_STAMP;
    return { ...lane, epoch, mark, seen, state: '', reason: '', lagWrites, ...this.#inDatabase({ ...lane, epoch }) };
  }

  #inDatabase(lane: EpochLane): Pick<LanePlace, 'databaseSeq'> {
    const { topology, room } = this.#options.config;
    const follows = topology.databases === 'mysql' && roomEntry(topology, room.id)?.database === 'slave';
    return follows ? { databaseSeq: this.acks.arrivedIn(lane) ?? NOTHING_SEEN } : {};
  }

  #consumer(lane: Lane): LaneConsumer {
    if (lane.log === 'writes') return this.#writesLane(lane);
    const name = laneKey(lane);
    const known = this.#lanes.get(name);
    if (known !== undefined) return known;
    const made = lane.log === 'effects' ? this.#effectsLane(lane) : this.#changesLane(lane);
    this.#lanes.set(name, made);
    return made;
  }

  #writesLane(lane: Lane): WritesConsumer {
    const name = `${lane.origin}/${lane.partition}`;
    const known = this.#writes.get(name);
    if (known !== undefined) return known;
    const { topology, room } = this.#options.config;
    const made = processesWrites(topology, room.id) ? new WritesLane(lane, this.#context) : new DerivedLane(lane, this.#context);
    this.#writes.set(name, made);
    return made;
  }

  #effectsLane(lane: Lane): EffectsLane {
    return new EffectsLane(lane, this.#context, (origin) => {
      const derived = this.#writesLane({ log: 'writes', origin, partition: lane.partition });
      if (derived instanceof DerivedLane) return derived;
      throw new WmbError('INTERNAL', `${laneKey(lane)} came to a room that processes write requests itself`);
    });
  }

  #changesLane(lane: Lane): ChangesLane {
    const { database } = this.#options;
    if (database === undefined) throw new WmbError('INTERNAL', `${laneKey(lane)} came to a room without a database`);
    return new ChangesLane(lane, this.#context, database);
  }

  #retryable(lane: Lane): Retryable {
    return this.#writesLane(lane);
  }

  #scheduleSweep(): void {
    if (this.#stopped) return;
    this.#sweepTimer = this.#options.runtime.after(SWEEP_MS, () => void this.#sweep(), true);
  }

  async #sweep(): Promise<void> {
    try {
      const { cache, share, runtime } = this.#options;
      const restsOn = share?.others()?.restsOn;
      // One collector of several is enough to move it, and the others forget what it allows.
      const floor = share === undefined || share.share.index === 0 ? this.floor() : NO_STAMP;
      await cache.sweep({ generation: this.#view.generation, floor, nowMs: runtime.nowMs(), ...(restsOn && { restsOn }) });
    } catch (cause) {
      this.#options.logger.warn({ error: asWmbError(cause).message }, 'the cache could not be swept; it is tried again');
    }
    this.#scheduleSweep();
  }
}
