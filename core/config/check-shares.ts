/** Where several collectors work in a room its stores are on servers: an embedded store is one process's. */
import type { RoomCheck } from './check-room.ts';

export function checkShares({ room, topology, report }: RoomCheck): void {
  const shares = room.collector?.shares ?? 1;
  if (room.collector?.receipts === 'kafka') checkReceipts(shares, { room, report });
  if (shares === 1) return;
  const path = ['collector', 'shares'];
  const { partitions } = topology;
  if (partitions !== undefined && shares > partitions)
    report(path, `is ${shares}, above the topology's ${partitions} partitions; allowed: at most that`);
  const role = topology.rooms?.find((entry) => entry?.id === room.room)?.database;
  const makesEffects = topology.mode === 'master-slave' && role === 'master';
  const embedded = [
    room.cache?.adapter === 'redis' ? undefined : 'cache',
    room.database === undefined || room.database.adapter === 'mysql' ? undefined : 'database',
    makesEffects && room.log?.adapter !== 'kafka' ? 'log' : undefined,
  ].filter((store) => store !== undefined);
  for (const store of embedded)
    report(
      path,
      `is ${shares}, but ${store}.adapter is embedded, and one process has an embedded ${store}; allowed: 1, or a ${store} on servers`,
    );
}

function checkReceipts(shares: number, { room, report }: Pick<RoomCheck, 'room' | 'report'>): void {
  const path = ['collector', 'receipts'];
  if (shares === 1)
    report(path, 'is kafka, but collector.shares is 1, and one collector keeps them in a file; allowed: files, or 2 shares and more');
  if (room.log?.adapter !== 'kafka')
    report(path, 'is kafka, but log.adapter is embedded, and receipts are kept beside a log in Kafka; allowed: files, or a log in Kafka');
}
