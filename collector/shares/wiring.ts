/**
 * Puts a collector together that works beside others in its room (docs/adr/0013): what is the same for all shares once, and for each share that it has a cache, a book, an applier and a
 * receiver of their own.
 */
import { instanceName } from '../../core/runtime.ts';
import { holds, type Share } from '../../core/share.ts';
import { GrpcServer } from '../../daemon/grpc-server.ts';
import { publishedAddress } from '../../daemon/listen.ts';
import { OpsHttp } from '../../daemon/ops-http.ts';
import type { DaemonParts } from '../../daemon/process.ts';
import type { Service } from '../../daemon/service.ts';
import type { Log } from '../../log/log.ts';
import { CollectorService } from '../../proto/gen/wmb/v1/admin.ts';
import { InspectionService } from '../../proto/gen/wmb/v1/inspection.ts';
import type { DatabaseStore } from '../../store/database.ts';
import { addKeysRoute } from '../keys-http.ts';
import { Processors } from '../process/processors.ts';
import { bookFile, ensureDivision, registryFile } from '../receipts/division.ts';
import { EmbeddedBook } from '../receipts/embedded.ts';
import { ShareLease } from '../receipts/lease.ts';
import { ShareRegistry } from '../receipts/share-registry.ts';
import type { ReplicationWatch } from '../replication.ts';
import { answersOf, cacheOf, databaseOf, effectLogOf, HTTP_BODY_BYTES_MAX, replicationWatch, takerOf } from '../wiring.ts';
import { ShareKeeper } from './keeper.ts';
import { ShareMetrics } from './metrics.ts';
import { RoomVoices } from './room-grpc.ts';
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
}

export async function wireShares(parts: DaemonParts): Promise<readonly Service[]> {
  const { config, runtime, logger, metrics, readiness } = parts;
  const { room } = config;
  const count = room.collector?.shares ?? 1;
  ensureDivision({ directory: room.directory, room: room.id, count, runtime, logger });
  const instance = instanceName(room.id, runtime);
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
  };
  const address = publishedAddress(room.listen.collector.grpc);
  const keeper: ShareKeeper<WiredShare> = new ShareKeeper({
    self: { name: instance, address },
    count,
    registry: new ShareRegistry({ file: registryFile(room.directory), room: room.id, shares: count, runtime }),
    lease: (share) => new ShareLease({ file: bookFile(room.directory, { index: share, count }), room: room.id, owner: instance, runtime }),
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
    { name: 'voices', start: async () => {}, stop: async () => voices.close() },
    keeper,
    grpc,
    http,
  ];
}

function wireShare(common: Common, share: Share): WiredShare {
  const { config, runtime, logger, instance, database, effectLog, processors, shareMetrics, watch } = common;
  const { room } = config;
  const { metrics, end } = shareMetrics.open();
  const cache = cacheOf(common, share.index);
  const book = new EmbeddedBook({ file: bookFile(room.directory, share), room: room.id, owner: instance });
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
    // What was seen first: what is left in the cache by then covers it.
    news: () => ({ seen: applier.seen(), restsOn: cache.left?.() ?? '' }),
  };
}
