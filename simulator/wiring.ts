/**
 * Puts the daemons of a simulated room together as their own wiring does, with memory in the place of disks, servers and sockets. An
 * injection stands between a port and its user: that is how the mutations switch a guard off without the production code knowing.
 */
import { Applier } from '../collector/admit/admit.ts';
import type { Processing } from '../collector/admit/context.ts';
import { Inspection } from '../collector/inspection.ts';
import { Processors } from '../collector/process/processors.ts';
import type { ReceiptBook } from '../collector/receipts/receipts.ts';
import { Receiver } from '../collector/receive/receiver.ts';
import type { OwnCollector } from '../consistency-checker/local-room.ts';
import type { LaneWatch } from '../consistency-checker/messages/lanes.ts';
import type { PeerGate } from '../consistency-checker/peer-hello.ts';
import type { CacheCopyOptions } from '../consistency-checker/repair/copy.ts';
import type { CopySide, RoomView } from '../consistency-checker/room.ts';
import { HybridClock } from '../core/clock.ts';
import type { Config } from '../core/config/types.ts';
import { WmbError } from '../core/errors.ts';
import type { Logger } from '../core/logger.ts';
import type { Runtime } from '../core/runtime.ts';
import { writerId } from '../core/stamp.ts';
import { logsKept, roomEntry } from '../core/topology.ts';
import type { LogName, StampedWrite } from '../core/words.ts';
import type { LinkDialer, LinkHost } from '../link/link.ts';
import type { MemoryNetwork } from '../link/memory/network.ts';
import type { Log } from '../log/log.ts';
import { MemoryLog, type MemoryLogDisk } from '../log/memory/memory.ts';
import { Intake } from '../reship/intake/intake.ts';
import { PromiseCeiling } from '../reship/ship/promise-ceiling.ts';
import { Shipper } from '../reship/ship/shipper.ts';
import type { CacheStore } from '../store/cache.ts';
import type { CacheInspector } from '../store/inspection.ts';
import type { MemoryCache } from '../store/memory/cache.ts';
import type { Watch } from './checks/watch.ts';
import { FRAGILE } from './config.ts';
import { Gauges } from './gauges.ts';
import type { Life } from './life.ts';
import { type SwallowHost, swallowing } from './made.ts';
import type { Poison } from './poison.ts';
import { GatedCache, GatedLog, GatedStates, gatedBook, gatedDialer } from './ports.ts';
import type { Collector, Reship, Room } from './room.ts';

/** Stands between a port and the code that uses it. */
export interface Injection {
  /** Below the checks: the store itself does it. */
  readonly store?: (store: MemoryCache) => CacheStore;
  readonly cache?: (cache: CacheStore) => CacheStore;
  readonly book?: (book: ReceiptBook) => ReceiptBook;
  /** The room's own write log, as intake appends to it and ship reads it. */
  readonly log?: (log: Log) => Log;
  readonly dialer?: (dialer: LinkDialer) => LinkDialer;
  readonly config?: (config: Config) => Config;
  /** Who serves links. */
  readonly host?: (host: LinkHost, config: Config, runtime: Runtime) => LinkHost;
  /** What a checker reads of its cache. */
  readonly inspector?: (inspector: CacheInspector) => CacheInspector;
  /** What a checker asks of its own collector. */
  readonly ownCollector?: (collector: OwnCollector) => OwnCollector;
  /** A room as its own checker and those of its peers see it. */
  readonly view?: (view: RoomView & CopySide) => RoomView & CopySide;
  /** What a checker copies a peer's cache with. */
  readonly copy?: (copy: CacheCopyOptions) => CacheCopyOptions;
  readonly lanes?: (lanes: LaneWatch) => LaneWatch;
  readonly gate?: (gate: PeerGate, config: Config, runtime: Runtime) => PeerGate;
}

/** What the daemons of a room have around them. */
export interface WiringHost extends SwallowHost {
  readonly injection: Injection;
  readonly network: MemoryNetwork;
  readonly watch: Watch;
  readonly poison: Poison;
  logger(life: Life): Logger;
}

export async function startReship(world: WiringHost, room: Room, life: Life): Promise<Reship> {
  const { injection } = world;
  const config = injection.config?.(room.config) ?? room.config;
  const { topology } = config;
  const gauges = new Gauges();
  const gated = logOf(room.disks.writes, { log: 'writes', room, life, config });
  await gated.open();
  const log = injection.log?.(gated) ?? gated;
  const { lease, stampLast } = await log.leaseWriter(life.name);
  const number = roomEntry(topology, room.id)?.number ?? 0;
  const clock = new HybridClock({ runtime: life, writer: writerId(number, lease), stampLast, aheadMsMax: topology.limits.clockAheadMsMax });
  const ceiling = new PromiseCeiling({
    log,
    stampLast,
    aheadMsMax: topology.limits.clockAheadMsMax,
    runtime: life,
    logger: world.logger(life),
  });
  const intake = new Intake({ room: room.id, topology, limits: config.room.intake, log, clock, runtime: life, metrics: gauges });
  const readers: Log[] = [log];
  if (logsKept(topology, room.id).includes('effects')) {
    const effects = logOf(room.disks.effects, { log: 'effects', room, life, config });
    await effects.open();
    readers.push(effects);
  }
  const shipper = new Shipper({
    config,
    readers,
    runtime: life,
    logger: world.logger(life),
    metrics: gauges,
    instance: life.name,
    settledStamp: () => ceiling.cap(intake.settledStamp()),
  });
  shipper.onAck((ack) => intake.acknowledge(ack));
  shipper.onObserved((stamp) => clock.observe(stamp));
  life.onEnd(world.network.listen(room.id, injection.host?.(shipper, config, life) ?? shipper));
  await intake.start();
  await shipper.start();
  return { intake, shipper, gauges };
}

export async function startCollector(world: WiringHost, room: Room, life: Life): Promise<Collector> {
  const { injection, watch } = world;
  const config = injection.config?.(room.config) ?? room.config;
  const gauges = new Gauges();
  const logger = world.logger(life);
  const gatedCache = new GatedCache(room.disks.cache, life, {
    hangs: () => room.cacheHangs,
    applied: (batch) => watch.applied(room, batch),
    repaired: (repaired) => watch.repaired(room, repaired),
  });
  const memoryBook = gatedBook(room.disks.book, life, {
    recorded: (entries) => watch.recorded(room, entries),
    settled: (settlement) => watch.settled(room, settlement),
  });
  const cache = swallowing(world, room, injection.cache?.(gatedCache) ?? gatedCache);
  const book = injection.book?.(memoryBook) ?? memoryBook;
  const isMaster = logsKept(config.topology, room.id).includes('effects');
  const effectLog = isMaster ? logOf(room.disks.effects, { log: 'effects', room, life, config }) : undefined;
  await effectLog?.open();
  const processors = new FragileProcessors(world, room, new Processors({ config, runtime: life }));
  const applier: Applier = new Applier({
    config,
    cache,
    database: undefined,
    book,
    processors,
    effectLog,
    floors: { floor: () => receiver.floor() },
    runtime: life,
    logger,
    metrics: gauges,
  });
  const dialer = gatedDialer(world.network, life, {
    sent: (to, message) => watch.sent(room, to, message),
    queued: () => watch.bounded(room),
  });
  const receiver: Receiver = new Receiver({
    config,
    instance: life.name,
    dialer: injection.dialer?.(dialer) ?? dialer,
    consumers: applier.consumers,
    acks: applier.acks,
    hints: applier.hints,
    states: new GatedStates(room.disks.states, life, (row) => watch.linkState(room, row)),
    runtime: life,
    logger,
    metrics: gauges,
  });
  await applier.start();
  await receiver.start();
  const [horizon, links] = [() => applier.horizon(), () => receiver.status()];
  const parts = { config, processors, horizon, links, book, cache, runtime: life };
  const inspection = new Inspection({ ...parts, copying: applier.copying, gaps: receiver });
  return { applier, receiver, inspection, gauges };
}

function logOf(disk: MemoryLogDisk, of: { readonly log: LogName; readonly room: Room; readonly life: Life; readonly config: Config }): Log {
  const { log, room, life, config } = of;
  return new GatedLog(new MemoryLog({ disk, log, origin: room.id, partitions: config.topology.partitions, runtime: life }), life);
}

/** The built-in processors, and a kind that fails where its write request is poisoned. */
class FragileProcessors implements Processing {
  readonly #world: WiringHost;
  readonly #room: Room;
  readonly #processors: Processors;

  constructor(world: WiringHost, room: Room, processors: Processors) {
    this.#world = world;
    this.#room = room;
    this.#processors = processors;
  }

  run(write: StampedWrite): ReturnType<Processing['run']> {
    if (write.kind !== FRAGILE) return this.#processors.run(write);
    if (this.#world.poison.fails(this.#room.id, write.requestId)) throw new WmbError('PROCESSOR_FAILED', 'it is poisoned');
    return this.#processors.run({ ...write, kind: 'cache' });
  }
}
