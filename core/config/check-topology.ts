/** What a topology must fulfil beyond its schema. Every rule speaks about what is there; missing parts were reported before. */
import { addressKey, isWildcard, parseAddress } from './address.ts';
import type { Report } from './document.ts';
import { nearestName } from './nearest.ts';
import { formatPath, type Path, quote } from './problem.ts';
import type { TopologyDocument } from './schema.ts';
import type { Partially } from './validate.ts';

export type PartialTopology = Partially<TopologyDocument>;

/** Handled by WMB itself, in every room. */
export const BUILT_IN_KIND = 'cache';
/** Kinds that begin like this are WMB's own. */
const RESERVED_PREFIX = 'wmb.';
const KIND_NAME = /^[a-z][a-z0-9._-]{0,63}$/;

export function checkTopology(topology: PartialTopology, report: Report): void {
  checkUnique(topology, report);
  checkAddresses(topology, report);
  checkRoles(topology, report);
  checkLinks(topology, report);
  checkKinds(topology, report);
}

/** A room's daemons, as the address book and `listen` name them. */
export const DAEMONS = ['reship', 'collector', 'checker'] as const;

/** Ids of all rooms that have a proper one. */
export function roomIds(topology: PartialTopology): readonly string[] {
  return (topology.rooms ?? []).map((room) => room?.id).filter((id) => id !== undefined);
}

/** Whether every room's id is known, so that another id is certainly wrong. */
export function roomsKnown(topology: PartialTopology): boolean {
  return topology.rooms?.every((room) => room?.id !== undefined) ?? false;
}

/** Reports a reference to a room that does not exist. Returns whether it exists, or may. */
export function checkRoomReference(topology: PartialTopology, id: string | undefined, path: Path, report: Report): boolean {
  const known = roomIds(topology);
  if (id === undefined || known.includes(id) || !roomsKnown(topology)) return true;
  const near = nearestName(id, known);
  const hint = near === undefined ? '' : `; did you mean ${near}?`;
  report(path, `is ${quote(id)}, which is no room of the topology; allowed: ${known.join(', ')}${hint}`);
  return false;
}

interface Named {
  readonly path: Path;
  /** Equal for values that may not both be there. */
  readonly key: string | number;
  readonly shown: string;
}

function reportRepeated(values: readonly Named[], allowed: string, report: Report): void {
  const first = new Map<string | number, Path>();
  for (const { path, key, shown } of values) {
    const earlier = first.get(key);
    if (earlier === undefined) first.set(key, path);
    else report(path, `is ${shown}, as ${formatPath(earlier)} is already; allowed: ${allowed}`);
  }
}

function checkUnique(topology: PartialTopology, report: Report): void {
  const ids: Named[] = [];
  const numbers: Named[] = [];
  for (const [index, room] of (topology.rooms ?? []).entries()) {
    if (room?.id !== undefined) ids.push({ path: ['rooms', index, 'id'], key: room.id, shown: quote(room.id) });
    if (room?.number !== undefined) numbers.push({ path: ['rooms', index, 'number'], key: room.number, shown: String(room.number) });
  }
  reportRepeated(ids, 'an id of its own for every room', report);
  reportRepeated(numbers, 'a number of its own for every room', report);
}

/** The address book's entries that are addresses. */
export function bookEntries(topology: PartialTopology): readonly { readonly path: Path; readonly room: number; readonly text: string }[] {
  return (topology.rooms ?? []).flatMap((room, index) =>
    DAEMONS.flatMap((daemon) =>
      (['grpc', 'http'] as const).flatMap((protocol) => {
        const text = room?.[daemon]?.[protocol];
        return text === undefined ? [] : [{ path: ['rooms', index, daemon, protocol], room: index, text }];
      }),
    ),
  );
}

function checkAddresses(topology: PartialTopology, report: Report): void {
  const named: Named[] = [];
  for (const { path, text } of bookEntries(topology)) {
    const address = parseAddress(text);
    if (address === undefined) continue;
    if (isWildcard(address.host)) {
      report(
        path,
        `is ${quote(text)}, which nobody can dial; allowed: an address that the other rooms reach (the room's file says under listen where a daemon listens)`,
      );
    } else named.push({ path, key: addressKey(address), shown: quote(text) });
  }
  reportRepeated(named, 'an address of its own for every daemon and protocol', report);
}

function checkRoles(topology: PartialTopology, report: Report): void {
  const rooms = topology.rooms ?? [];
  const masters = rooms.flatMap((room, index) => (room?.database === 'master' ? [index] : []));
  for (const index of masters.slice(1)) {
    report(
      ['rooms', index, 'database'],
      `is master, as rooms[${masters[0]}].database is already; allowed: one master room, slave or none elsewhere`,
    );
  }
  const rolesKnown = topology.rooms !== undefined && rooms.every((room) => room?.database !== undefined);
  if (masters.length > 0 || !rolesKnown) return;
  if (topology.mode === 'master-slave') {
    report(['mode'], 'is master-slave, but no room has database: master; allowed: master-slave with one master room, or independent');
  }
  for (const [index, room] of rooms.entries()) {
    if (room?.database === 'slave') {
      report(
        ['rooms', index, 'database'],
        'is slave, but no room is master, so there is nothing to follow; allowed: none, or slave beside one master room',
      );
    }
  }
}

function checkLinks(topology: PartialTopology, report: Report): void {
  const first = new Map<string, number>();
  for (const [index, link] of (topology.links ?? []).entries()) {
    checkRoomReference(topology, link?.origin, ['links', index, 'origin'], report);
    checkRoomReference(topology, link?.peer, ['links', index, 'peer'], report);
    if (link?.origin === undefined || link.peer === undefined) continue;
    if (link.origin === link.peer) report(['links', index, 'peer'], `is ${quote(link.peer)}, the link's own origin; allowed: another room`);
    const key = `${link.origin} ${link.peer}`;
    const earlier = first.get(key);
    if (earlier === undefined) first.set(key, index);
    else
      report(
        ['links', index],
        `is the link from ${link.origin} to ${link.peer}, as links[${earlier}] is already; allowed: one entry for a link`,
      );
  }
}

function checkKinds(topology: PartialTopology, report: Report): void {
  for (const [kind, entry] of Object.entries(topology.kinds ?? {})) {
    checkKindName(kind, ['kinds', kind], report);
    const rooms = entry?.rooms ?? [];
    const named: Named[] = [];
    for (const [index, id] of rooms.entries()) {
      const path = ['kinds', kind, 'rooms', index];
      if (checkRoomReference(topology, id, path, report) && id !== undefined) named.push({ path, key: id, shown: quote(id) });
    }
    reportRepeated(named, 'each room once', report);
    checkKindReachesMaster(topology, kind, report);
  }
}

/** In a master–slave topology a kind that is not for the master would be handled by nobody. */
function checkKindReachesMaster(topology: PartialTopology, kind: string, report: Report): void {
  const rooms = topology.kinds?.[kind]?.rooms;
  const master = topology.rooms?.find((room) => room?.database === 'master')?.id;
  if (
    topology.mode !== 'master-slave' ||
    rooms === undefined ||
    master === undefined ||
    rooms.includes(master) ||
    rooms.includes(undefined)
  )
    return;
  report(
    ['kinds', kind, 'rooms'],
    `leaves out ${master}, whose processors alone handle write requests in mode master-slave; allowed: a list with ${master}`,
  );
}

export function checkKindName(kind: string, path: Path, report: Report): void {
  if (kind === BUILT_IN_KIND) report(path, 'is built in and handled in every room; allowed: other names (take the entry out)', 'key');
  else if (kind.startsWith(RESERVED_PREFIX)) report(path, `begins with ${RESERVED_PREFIX}, which is reserved; allowed: other names`, 'key');
  else if (!KIND_NAME.test(kind)) {
    report(
      path,
      'is no kind name; allowed: a lower-case letter, then up to 63 lower-case letters, digits, dots, hyphens or underscores',
      'key',
    );
  }
}
