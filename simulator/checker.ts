/** Puts the checker of a simulated room together, as its own wiring does (consistency-checker/wiring.ts). */
import { KeyComparison } from '../consistency-checker/cache/comparison.ts';
import { LeafKeeper } from '../consistency-checker/cache/keeper.ts';
import { Checker } from '../consistency-checker/checker.ts';
import type { DriftBook } from '../consistency-checker/drift.ts';
import { LocalRoom, type OwnCollector } from '../consistency-checker/local-room.ts';
import { Canaries } from '../consistency-checker/messages/canaries.ts';
import { ReceiptComparison } from '../consistency-checker/messages/comparison.ts';
import { LaneWatch } from '../consistency-checker/messages/lanes.ts';
import { roundMeters } from '../consistency-checker/meters.ts';
import { PeerGate } from '../consistency-checker/peer-hello.ts';
import { PeerRounds } from '../consistency-checker/peer-rounds.ts';
import { CacheCopy } from '../consistency-checker/repair/copy.ts';
import { Repairer } from '../consistency-checker/repair/repairer.ts';
import { RepairRuns } from '../consistency-checker/repair/runs.ts';
import { Explainer } from '../consistency-checker/report/explain.ts';
import { WatchedBook } from '../consistency-checker/report/watched-book.ts';
import type { CopySide, RoomView } from '../consistency-checker/room.ts';
import { CANARY_KIND } from '../core/canary.ts';
import type { Config } from '../core/config/types.ts';
import { WmbError } from '../core/errors.ts';
import type { Logger } from '../core/logger.ts';
import type { RoomId } from '../core/words.ts';
import type { Fate } from '../link/memory/network.ts';
import { MemoryLog } from '../log/memory/memory.ts';
import { MemoryCacheInspector } from '../store/memory/cache-inspector.ts';
import { call } from './calls.ts';
import type { Drifts } from './checks/drifts.ts';
import { Gauges } from './gauges.ts';
import type { Life } from './life.ts';
import { PeerRoom } from './peer-room.ts';
import { GatedLog } from './ports.ts';
import type { CheckerDaemon, Collector, Reship, Room } from './room.ts';
import type { Injection } from './wiring.ts';

/** What a checker has around it. */
export interface CheckerHost {
  readonly injection: Injection;
  readonly rooms: readonly Room[];
  readonly drifts: Drifts;
  /** No canaries are sent while somebody looks whether the rooms are at rest. */
  readonly quiet: boolean;
  readonly beforeRepair: ((room: Room, keys: readonly string[]) => Promise<void>) | undefined;
  logger(life: Life): Logger;
  fate(from: RoomId, to: RoomId, what: string): Fate;
}

interface Parts {
  readonly world: CheckerHost;
  readonly room: Room;
  readonly life: Life;
  readonly config: Config;
  readonly logger: Logger;
}

export async function startChecker(world: CheckerHost, room: Room, life: Life): Promise<CheckerDaemon> {
  const { injection } = world;
  const config = injection.config?.(room.config) ?? room.config;
  const { topology } = config;
  const { checker: settings } = config.room;
  const logger = world.logger(life);
  const parts: Parts = { world, room, life, config, logger };
  const collector = injection.ownCollector?.(ownCollector(parts)) ?? ownCollector(parts);
  const { view, leaves } = ownRoom(parts, collector);
  const peers = peersOf(parts);
  const views = new Map<RoomId, RoomView>([[room.id, view], ...peers]);
  const rooms = (id: RoomId) => views.get(id);
  const book = new WatchedBook(gatedDrifts(room.disks.drifts, life));
  book.onChange((drift) => world.drifts.recorded(room, drift));
  const explainer = new Explainer({ own: room.id, topology, rooms, runtime: life });
  const meters = roundMeters(new Gauges());
  const { graceMs, roundMs, silenceMsMax } = settings;
  const rounds = new Map<RoomId, PeerRounds>();
  for (const [peer, theirs] of views) {
    if (peer === room.id) continue;
    const keys = new KeyComparison({ mine: view, theirs, topology, graceMs, runtime: life });
    const receipts = new ReceiptComparison({ mine: view, theirs, graceMs, runtime: life });
    rounds.set(peer, new PeerRounds({ own: view, peer, keys, receipts, explainer, book, meters, roundMs, runtime: life, logger }));
  }
  const watch = new LaneWatch({ silenceMsMax, runtime: life });
  const copying = { own: view, peers: peers.map(([, peer]) => peer), mender: collector, runtime: life, logger };
  const copy = new CacheCopy(injection.copy?.(copying) ?? copying);
  const checker: Checker = new Checker({
    own: view,
    copy,
    topology,
    settings,
    lanes: injection.lanes?.(watch) ?? watch,
    background: [leaves, canariesOf(parts)],
    rounds,
    alarmOf: (alarm, about) => explainer.alarm(alarm, about),
    book,
    meters,
    runtime: life,
    logger,
  });
  const repairer = new Repairer({
    own: view,
    rooms,
    mender: collector,
    book,
    explainer,
    differs: (drift) => checker.differs(drift),
    rewrite: async () => {},
    limits: settings.repair,
    runtime: life,
    logger,
  });
  const repairs = new RepairRuns({ repairer, meters });
  const gate = new PeerGate({ config, runtime: life });
  await book.open();
  await repairs.start();
  await checker.start();
  return { checker, repairs, book, view, copy, gate: injection.gate?.(gate, config, life) ?? gate };
}

function ownRoom({ world, room, life, config, logger }: Parts, collector: OwnCollector): { view: RoomView & CopySide; leaves: LeafKeeper } {
  const { injection } = world;
  const reading = new MemoryCacheInspector(() => room.disks.cache.memory);
  const inspector = injection.inspector?.(reading) ?? reading;
  const takeDirty = (max: number) => collector.takeDirty(max);
  const leaves = new LeafKeeper({
    inspector,
    takeDirty,
    runtime: life,
    ...{ sweepMs: config.room.checker.sweepMs, workPercentMax: config.room.checker.workPercentMax },
    logger,
  });
  const { partitions, limits } = config.topology;
  const log = new GatedLog(new MemoryLog({ disk: room.disks.writes, log: 'writes', origin: room.id, partitions, runtime: life }), life);
  const { duplicateWindowWrites } = limits;
  const view = new LocalRoom({ room: room.id, inspector, leaves, collector, log, duplicateWindowWrites, runtime: life });
  return { view: injection.view?.(view) ?? view, leaves };
}

function peersOf({ world, room, life, config }: Parts): [RoomId, PeerRoom][] {
  const hello = { config, instance: life.name, runtime: life };
  const fate = (from: RoomId, to: RoomId, what: string) => world.fate(from, to, what);
  return world.rooms.filter((to) => to !== room).map((to) => [to.id, new PeerRoom({ hello, to, life, fate })]);
}

function canariesOf({ world, room, life, config, logger }: Parts): Canaries {
  const ask = asking({ world, room, life }, 'reship', (): Reship | undefined => room.reship);
  const submit = async (canaries: readonly { readonly key: string }[]) => {
    if (world.quiet) return;
    const writes = canaries.map(({ key }) => ({ requestId: '', kind: CANARY_KIND, key, trace: '', payload: new Uint8Array() }));
    const results = await ask(({ intake }) => intake.submit(writes, { wait: 'logged', deadlineMs: 0 }));
    const error = results.find((result) => result.error !== undefined)?.error;
    if (error !== undefined) throw new WmbError('UNREACHABLE', `a canary was not taken: ${error.code}: ${error.message}`);
  };
  return new Canaries({ partitions: config.topology.partitions, submit, canaryMs: config.room.checker.canaryMs, runtime: life, logger });
}

function ownCollector(parts: Parts): OwnCollector {
  const ask = asking(parts, 'collector', (): Collector | undefined => parts.room.collector);
  return {
    horizon: () => ask(({ inspection }) => inspection.horizon()),
    takeDirty: (max) => ask(({ inspection }) => inspection.takeDirty(max)),
    receiptDigests: (ranges) => ask(({ inspection }) => inspection.receiptDigests(ranges)),
    receipts: (range) => ask(({ inspection }) => inspection.receipts(range)),
    derive: (writes) => ask(({ inspection }) => inspection.derive(writes)),
    repair: (repairs) =>
      ask(async ({ inspection }) => {
        const { world, room } = parts;
        await world.beforeRepair?.(
          room,
          repairs.map(({ key }) => key),
        );
        return inspection.repair(repairs);
      }),
    cachePlaces: () => ask(({ inspection }) => inspection.cachePlaces()),
    takeOver: (end) => ask(({ inspection }) => inspection.takeOver(end)),
    retryParked: (position) =>
      ask(async ({ applier }) => {
        const { outcomes } = await applier.parking.retry({ writes: [position], all: false });
        const [found] = outcomes;
        return found === undefined
          ? { outcome: '', message: 'it is not parked any more' }
          : { outcome: found.outcome, message: found.message };
      }),
  };
}

/** Asks another daemon of the room. */
function asking<D>(
  { world, room, life }: Pick<Parts, 'world' | 'room' | 'life'>,
  name: 'reship' | 'collector',
  daemon: () => D | undefined,
) {
  return <T>(work: (daemon: D) => T | Promise<T>): Promise<T> =>
    call({
      caller: life,
      callee: () => (daemon() === undefined ? undefined : room.lives.get(name)),
      who: `${name} of ${room.id}`,
      silence: 'UNREACHABLE',
      fate: () => world.fate(room.id, room.id, `a call to ${name}`),
      work: () => {
        const found = daemon();
        if (found === undefined) throw new WmbError('UNREACHABLE', 'it has just ended');
        return work(found);
      },
    });
}

const BOOK_WRITES: readonly string[] = ['put', 'audit', 'settleAudit'] satisfies (keyof DriftBook)[];

/** The records in a checker's hands: what was written outlives it. */
function gatedDrifts(book: DriftBook, life: Life): DriftBook {
  return new Proxy<DriftBook>(book, {
    get(_, name) {
      const done = Reflect.get(book, name, book) as (...args: unknown[]) => unknown;
      if (BOOK_WRITES.includes(String(name))) return (...args: unknown[]) => life.io(`recording drifts`, () => done.apply(book, args));
      return (...args: unknown[]) => life.read(() => done.apply(book, args));
    },
  });
}
