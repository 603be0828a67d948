/**
 * Puts a collector together that works beside others in its room (docs/adr/0013): what is the same for all shares once, and for each share that it has a cache, a book, an applier and a
 * receiver of their own.
 */
import { basename, join } from 'node:path';
import { WmbError } from '../../core/errors.ts';
import { instanceName } from '../../core/runtime.ts';
import { holds, type Share } from '../../core/share.ts';
import { GrpcServer } from '../../daemon/grpc-server.ts';
import { publishedAddress } from '../../daemon/listen.ts';
import { OpsHttp } from '../../daemon/ops-http.ts';
import type { DaemonParts } from '../../daemon/process.ts';
import type { Service } from '../../daemon/service.ts';
import { openReceipts } from '../../log/kafka/receipts.ts';
import type { Log } from '../../log/log.ts';
import { CollectorService } from '../../proto/gen/wmb/v1/admin.ts';
import { InspectionService } from '../../proto/gen/wmb/v1/inspection.ts';
import type { DatabaseStore } from '../../store/database.ts';
import { addKeysRoute } from '../keys-http.ts';
import { Processors } from '../process/processors.ts';
import { BookJournal } from '../receipts/book-journal.ts';
import { openCopies } from '../receipts/copies.ts';
import { bookFile, ensureDivision, hasBooks, registryFile } from '../receipts/division.ts';
import { EmbeddedBook } from '../receipts/embedded.ts';
import { ShareLease } from '../receipts/lease.ts';
import { type Fellow, ShareRegistry } from '../receipts/share-registry.ts';
import type { ReplicationWatch } from '../replication.ts';
import { answersOf, cacheOf, databaseOf, effectLogOf, HTTP_BODY_BYTES_MAX, replicationWatch, takerOf } from '../wiring.ts';
import { type KeeperOptions, type Lease, ShareKeeper } from './keeper.ts';
import { ShareMetrics } from './metrics.ts';
import { RoomVoices } from './room-grpc.ts';
import { TalkedShares } from './talked-shares.ts';
import type { WiredShare } from './wired-share.ts';

interface Common extends DaemonParts {
  readonly instance: string;
  readonly count: number;
  readonly database: DatabaseStore | undefined;
  readonly effectLog: Log | undefined;
  readonly processors: Processors;
  readonly shareMetrics: ShareMetrics;
  readonly watch: ReplicationWatch | undefined;
  readonly others: ShareKeeper<WiredShare>['others'];
  readonly receipts: Receipts;
}

/** Where the shares' receipts are, and who has them. */
interface Receipts {
  readonly registry: KeeperOptions<WiredShare>['registry'];
  readonly lease: (share: number) => Lease;
  readonly book: (share: Share) => { readonly book: EmbeddedBook; readonly over?: () => WmbError | undefined };
  readonly services: readonly Service[];
}

export async function wireShares(parts: DaemonParts): Promise<readonly Service[]> {
  const { config, runtime, logger, metrics, readiness } = parts;
  const { room } = config;
  const count = room.collector?.shares ?? 1;
  const address = publishedAddress(room.listen.collector.grpc);
  const instance = instanceName(room.id, runtime);
  const self = { name: instance, address };
  const receipts = await (room.collector?.receipts === 'kafka' ? receiptsInKafka(parts, self) : receiptsInFiles(parts, self));
  const database = databaseOf(parts, () => {});
  const effectLog = effectLogOf(parts);
  const processors = new Processors({ config, runtime });
  const watch = replicationWatch(parts, {
    marks: async () => (await database?.marks()) ?? [],
    arrived: (marks) => {
      for (const [index, { applier }] of keeper.working)
        applier.acks.arrived(marks.filter(({ partition }) => holds({ index, count }, partition)));
    },
  });
  const others = (share: number) => keeper.others(share);
  const common: Common = {
    ...parts,
    instance,
    count,
    database,
    effectLog,
    processors,
    shareMetrics: new ShareMetrics(metrics),
    watch,
    others,
    receipts,
  };
  const keeper: ShareKeeper<WiredShare> = new ShareKeeper({
    self,
    count,
    registry: receipts.registry,
    lease: receipts.lease,
    work: (index) => wireShare(common, { index, count }),
    runtime,
    logger,
  });
  const voices = new RoomVoices({ config, keeper, count, runtime });
  const grpc = new GrpcServer({ address: room.listen.collector.grpc, tls: room.tls, readiness, runtime, logger });
  grpc.server.addService(CollectorService, voices.collector());
  grpc.server.addService(InspectionService, voices.inspection());
  const http = new OpsHttp({ address: room.listen.collector.http, bodyBytesMax: HTTP_BODY_BYTES_MAX, readiness, metrics, logger });
  addKeysRoute(http.app, { cache: { get: (key, nowMs) => voices.anyHere().cache.get(key, nowMs) }, runtime });
  const stores = [database, effectLog].filter((store) => store !== undefined);
  return [
    ...stores.map((store): Service => ({ name: store.constructor.name, start: () => store.open(), stop: () => store.close() })),
    { name: 'processors', start: () => processors.open(), stop: async () => processors.close() },
    ...(watch === undefined ? [] : [watch]),
    ...receipts.services,
    { name: 'voices', start: async () => {}, stop: async () => voices.close() },
    keeper,
    grpc,
    http,
  ];
}

function wireShare(common: Common, share: Share): WiredShare {
  const { config, runtime, logger, instance, database, effectLog, processors, shareMetrics, watch } = common;
  const { metrics, end } = shareMetrics.open();
  const cache = cacheOf(common, share.index);
  const { book, over } = common.receipts.book(share);
  const { applier, receiver } = takerOf(
    { config, runtime, logger: logger.child({ share: share.index }), metrics },
    {
      ...{ cache, database, book, processors, effectLog },
      instance: `${instance}.${share.index}`,
      beside: { share, others: () => common.others(share.index) },
    },
  );
  return {
    cache,
    applier,
    ...answersOf(common, { cache, book, processors, applier, receiver, watch, instance }),
    start: async () => {
      await cache.open();
      await book.open();
      await applier.start();
      await receiver.start();
    },
    drain: () => receiver.drain(),
    stop: async () => {
      end();
      await receiver.stop();
      await applier.stop();
      await book.close();
      await cache.close();
    },
    unready: () => receiver.unready() ?? applier.unready(),
    over,
    // What was seen first: what is left in the cache by then covers it.
    news: () => ({ seen: applier.seen(), restsOn: cache.left?.() ?? '' }),
  };
}

/** On one machine. */
async function receiptsInFiles({ config, runtime, logger }: DaemonParts, { name: owner }: Fellow): Promise<Receipts> {
  const { directory, id: room, collector } = config.room;
  const count = collector?.shares ?? 1;
  ensureDivision({ directory, room, count, runtime, logger });
  const file = (index: number) => bookFile(directory, { index, count });
  return {
    registry: new ShareRegistry({ file: registryFile(directory), room, shares: count, runtime }),
    lease: (share) => new ShareLease({ file: file(share), room, owner, runtime }),
    book: ({ index }) => ({ book: new EmbeddedBook({ file: file(index), room, owner }) }),
    services: [],
  };
}

/** On any machines. Books that were in files until now go with it. */
async function receiptsInKafka({ config, runtime, logger }: DaemonParts, self: Fellow): Promise<Receipts> {
  const { directory, id: room, collector, log } = config.room;
  if (log.adapter !== 'kafka') throw new WmbError('CONFIG_INVALID', 'collector.receipts is kafka, and log.adapter is not');
  const count = collector?.shares ?? 1;
  const owner = self.name;
  const kafka = await openReceipts({ kafka: log, room, shares: count, owner: `${owner} at ${self.address}`, runtime, logger });
  if (hasBooks(directory)) ensureDivision({ directory, room, count, runtime, logger });
  const talked = new TalkedShares({ self, talk: kafka.talk, runtime, logger });
  const copies = openCopies(join(directory, 'receipts'), owner);
  return {
    registry: talked,
    lease: (share) => talked.lease(share),
    book: (share) => {
      const before = bookFile(directory, share);
      const file = join(copies.directory, basename(before));
      const journal = new BookJournal({ journal: kafka.journal(share.index), file, before, room, owner, runtime, logger });
      return { book: new EmbeddedBook({ file, room, journal }), over: () => journal.over };
    },
    services: [{ name: 'talk of shares', start: () => talked.open(), stop: async () => copies.remove() }],
  };
}
