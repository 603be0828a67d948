/** Two rooms under traffic on virtual time: write logs, lanes that lag and are cut, floors, clocks that differ, and views that take their time. */

import type { Topology } from '../../core/config/types.ts';
import type { Effect } from '../../core/converge/effects.ts';
import { WmbError } from '../../core/errors.ts';
import { VirtualTime } from '../../core/flow/virtual-time.testing.ts';
import { silentLogger } from '../../core/logger.ts';
import { partitionOf } from '../../core/partition.ts';
import { formatStamp, type Stamp, versionOf, writerId } from '../../core/stamp.ts';
import { MemoryCache } from '../../store/memory/cache.ts';
import { MemoryCacheInspector } from '../../store/memory/cache-inspector.ts';
import type { Horizon, LanePlace, RoomView } from '../room.ts';
import { LeafKeeper } from './keeper.ts';
import { type Chance, RoomTime } from './random-kit.ts';

const PARTITIONS = 2;
const addresses = { grpc: '127.0.0.1:1', http: '127.0.0.1:2' };
export const ROOMS = ['beijing', 'guangzhou'] as const;
export type RoomName = (typeof ROOMS)[number];

export const TOPOLOGY: Topology = {
  ...{ epoch: 1, mode: 'independent', partitions: PARTITIONS, links: [], kinds: {} },
  rooms: ROOMS.map((id, index) => ({ id, number: index + 1, database: 'none', reship: addresses, collector: addresses })),
  limits: { payloadBytesMax: 1_000, clockAheadMsMax: 5_000, duplicateWindowWrites: 100 },
};

/** An effect that has no version yet. */
export type Draft = Effect extends infer E ? (E extends Effect ? Omit<E, 'version'> : never) : never;

interface Logged {
  readonly stamp: Stamp;
  readonly effects: readonly Effect[];
}

interface LaneHere {
  next: number;
  seen: Stamp;
  /** Nothing comes through before. */
  cutUntilMs: number;
}

/** Intake of a room: stamps that never go back, and a log by partition. */
class Origin {
  readonly logs: Logged[][] = Array.from({ length: PARTITIONS }, () => []);
  readonly #writer: number;
  readonly #clock: RoomTime;
  #ms = 0;
  #counter = 0;

  constructor(number: number, clock: RoomTime) {
    this.#writer = writerId(number, 1);
    this.#clock = clock;
  }

  /** Greater than every stamp before it. */
  stamp(): Stamp {
    const nowMs = this.#clock.nowMs();
    if (nowMs > this.#ms) [this.#ms, this.#counter] = [nowMs, 0];
    else this.#counter += 1;
    return formatStamp({ ms: this.#ms, counter: this.#counter, writer: this.#writer });
  }

  submit(drafts: readonly Draft[]): void {
    const stamp = this.stamp();
    const effects = drafts.map((draft, ordinal) => ({ ...draft, version: versionOf(stamp, ordinal) }) as Effect);
    this.logs[partitionOf(effects[0]?.key ?? '', PARTITIONS)]?.push({ stamp, effects });
  }
}

export class SimRoom {
  readonly id: RoomName;
  readonly clock: RoomTime;
  readonly origin: Origin;
  cache = new MemoryCache();
  keeper: LeafKeeper;
  readonly lanes = new Map<string, LaneHere>();
  /** Of the writes that come next, those for which this is true are lost on the way into the cache. */
  loses: (effect: Effect) => boolean = () => false;
  /** Comes before an answer, at the moment at which it is made. */
  before: (question: 'horizon' | 'states') => Promise<void> = async () => {};
  /** The collector has just started and does not know how far it is. */
  forgetful = false;

  constructor(id: RoomName, number: number, time: VirtualTime) {
    this.id = id;
    this.clock = new RoomTime(time);
    this.origin = new Origin(number, this.clock);
    for (const origin of ROOMS) {
      for (let partition = 0; partition < PARTITIONS; partition += 1)
        this.lanes.set(`${origin}/${partition}`, { next: 0, seen: '', cutUntilMs: 0 });
    }
    this.keeper = this.#keeper();
  }

  restartKeeper(): void {
    void this.keeper.stop();
    this.keeper = this.#keeper();
    this.keeper.start();
  }

  horizon(): Horizon {
    const lanes = [...this.lanes].map(([name, { seen }]): LanePlace => {
      const [origin = '', partition = ''] = name.split('/');
      const known = this.forgetful ? '' : seen;
      return { log: 'writes', origin, partition: Number(partition), epoch: 'e', mark: 0, seen: known, state: '', reason: '', lagWrites: 0 };
    });
    return { nowMs: this.clock.nowMs(), lanes };
  }

  /** What has come of one lane is applied. */
  async pump(origin: SimRoom, partition: number, max: number): Promise<void> {
    const lane = this.lanes.get(`${origin.id}/${partition}`);
    const log = origin.origin.logs[partition];
    if (lane === undefined || log === undefined || lane.cutUntilMs > this.clock.monotonicMs()) return;
    const come = log.slice(lane.next, lane.next + max);
    if (come.length > 0) await this.apply(come.map(({ effects }) => effects.filter((effect) => !this.loses(effect))));
    lane.next += come.length;
    lane.seen = lane.next === log.length ? origin.origin.stamp() : (come.at(-1)?.stamp ?? lane.seen);
  }

  async apply(writes: readonly (readonly Effect[])[]): Promise<void> {
    const { generation } = await this.cache.marks();
    await this.cache.apply({ moves: [], writes, floor: '', nowMs: this.clock.nowMs(), generation });
  }

  #keeper(): LeafKeeper {
    return new LeafKeeper({
      inspector: new MemoryCacheInspector(() => this.cache),
      takeDirty: (max) => this.cache.takeDirty(max),
      ...{ runtime: this.clock, sweepMs: 30_000, workPercentMax: 5, logger: silentLogger },
    });
  }
}

export class World {
  readonly time = new VirtualTime();
  readonly rooms: readonly [SimRoom, SimRoom] = [new SimRoom('beijing', 1, this.time), new SimRoom('guangzhou', 2, this.time)];
  readonly #chance: Chance;
  /** Answers take up to so long, each way. */
  delayMsMax = 0;
  silent = false;
  #floor: Stamp = '';

  constructor(chance: Chance) {
    this.#chance = chance;
  }

  start(): void {
    for (const room of this.rooms) room.keeper.start();
  }

  /** Everything that is on its way and not cut arrives; `partly`: or only some of it. */
  async pump(partly = false): Promise<void> {
    for (const room of this.rooms) {
      for (const origin of this.rooms) {
        for (let partition = 0; partition < PARTITIONS; partition += 1) {
          if (!partly || this.#chance.is(0.7))
            await room.pump(origin, partition, partly ? 1 + this.#chance.below(8) : Number.POSITIVE_INFINITY);
        }
      }
    }
  }

  /** What both rooms have of everything may be forgotten; each room hears of it when it likes. */
  async settle(): Promise<void> {
    const room = this.#chance.of(this.rooms);
    const { generation } = await room.cache.marks();
    if (this.#floor !== '') await room.cache.sweep({ floor: this.#floor, nowMs: room.clock.nowMs(), generation });
    const seen = this.rooms.flatMap(({ lanes }) => [...lanes.values()].map((lane) => lane.seen));
    this.#floor = seen.sort()[0] ?? '';
  }

  /** The room as a comparison sees it. */
  view(room: SimRoom): RoomView {
    const inspector = new MemoryCacheInspector(() => room.cache);
    const answer = async <T>(work: () => T | Promise<T>): Promise<T> => {
      await this.#delay();
      if (this.silent) throw new WmbError('PEER_UNREACHABLE', 'no answer');
      const found = await work();
      await this.#delay();
      return found;
    };
    const none = () => Promise.reject(new WmbError('NOT_FOUND', 'not in this test'));
    return {
      room: room.id,
      horizon: () =>
        answer(async () => {
          await room.before('horizon');
          return room.horizon();
        }),
      nodes: (query) => answer(() => room.keeper.nodes(query)),
      entries: (buckets) => answer(() => room.keeper.entries(buckets)),
      states: (keys) =>
        answer(async () => {
          await room.before('states');
          const states = await inspector.states(keys);
          return keys.map((key, index) => ({ key, state: states[index], changedBehindMs: room.keeper.changedBehindMs(key) }));
        }),
      ...{ receiptDigests: none, receipts: none, findWrites: none, derive: none },
    };
  }

  async #delay(): Promise<void> {
    const delayMs = this.#chance.below(this.delayMsMax + 1);
    if (delayMs > 0) await this.rooms[0].clock.wait(delayMs);
  }
}
