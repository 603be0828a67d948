/** What a room's file must fulfil beyond its schema, by itself and against the topology. */
import { type Address, collide, isLoopback, parseAddress } from './address.ts';
import { BUILT_IN_KIND, bookEntries, checkKindName, checkRoomReference, DAEMONS, type PartialTopology } from './check-topology.ts';
import type { Report } from './document.ts';
import { nearestName } from './nearest.ts';
import { formatPath, type Path, quote } from './problem.ts';
import type { RoomDocument } from './schema.ts';
import type { Partially } from './validate.ts';

export type PartialRoom = Partially<RoomDocument>;
export type Environment = Readonly<Record<string, string | undefined>>;

/** Shorter secrets can be guessed. */
const SECRET_CHARACTERS_MIN = 16;

export interface RoomCheck {
  readonly room: PartialRoom;
  /** Empty where the topology cannot be read: then only the room's own rules speak. */
  readonly topology: PartialTopology;
  readonly env: Environment;
  /** Whether the file says something at this path, right or wrong: what is wrong is not missing as well. */
  readonly has: (path: Path) => boolean;
  readonly report: Report;
}

export function checkRoom(check: RoomCheck): void {
  checkRoomReference(check.topology, check.room.room, ['room'], check.report);
  checkDatabase(check);
  checkListen(check);
  checkCheckerListens(check);
  checkSecretGiven(check);
  checkSecretValue(check);
  checkProcessors(check);
  checkMissingProcessors(check);
  checkLimits(check);
}

function entryOf({ room, topology }: RoomCheck) {
  return room.room === undefined ? undefined : topology.rooms?.find((entry) => entry?.id === room.room);
}

function checkDatabase(check: RoomCheck): void {
  const role = entryOf(check)?.database;
  if (role === undefined) return;
  const given = check.has(['database']);
  if (role === 'none' && given) {
    const message = `is configured, but ${check.room.room} is a cache-only room (database: none in the topology); allowed: no database here`;
    check.report(['database'], message, 'key');
  }
  if (role !== 'none' && !given) {
    const message = `is missing, but ${check.room.room} has database: ${role} in the topology; allowed: a mapping, for example { adapter: ${check.topology.databases ?? 'embedded'} }`;
    check.report(['database'], message);
  }
}

interface Listener {
  readonly path: Path;
  readonly text: string;
  readonly address: Address;
  /** Named in this file and not taken from the topology. */
  readonly own: boolean;
}

/** Where the room's daemons listen: this file's addresses before the topology's. */
function listeners(check: RoomCheck): readonly Listener[] {
  const entry = entryOf(check);
  return DAEMONS.flatMap((daemon) =>
    (['grpc', 'http'] as const).flatMap((protocol) => {
      const own = check.room.listen?.[daemon]?.[protocol];
      const text = own ?? entry?.[daemon]?.[protocol];
      const address = text === undefined ? undefined : parseAddress(text);
      if (text === undefined || address === undefined) return [];
      return [{ path: ['listen', daemon, protocol], text, address, own: own !== undefined }];
    }),
  );
}

/** One process or several: on one machine only one of them gets the port. Addresses that both come from the topology were compared there. */
function checkListen(check: RoomCheck): void {
  const all = listeners(check);
  for (const [index, listener] of all.entries()) {
    const other = all.slice(0, index).find((earlier) => collide(earlier.address, listener.address) && (earlier.own || listener.own));
    if (other === undefined) continue;
    const [blamed, kept] = listener.own ? [listener, other] : [other, listener];
    const message = `is ${quote(blamed.text)}, the port of ${formatPath(kept.path)} (${quote(kept.text)}); allowed: a port of its own for every daemon and protocol`;
    check.report(blamed.path, message);
  }
}

/** Peers and people look for the checker in the topology: one that only its own room's file knows would be asked by nobody. */
function checkCheckerListens(check: RoomCheck): void {
  const entry = entryOf(check);
  const path = ['listen', 'checker'];
  if (entry === undefined || entry.checker !== undefined || !check.has(path)) return;
  const message = `is configured, but ${check.room.room} has no checker in the topology; allowed: no checker here, or its addresses in the topology`;
  check.report(path, message, 'key');
}

function checkSecretGiven(check: RoomCheck): void {
  if (check.has(['secret'])) return;
  const book = bookEntries(check.topology).map(({ path, text }) => ({ text, where: `${formatPath(path)} of the topology` }));
  const own = listeners(check).flatMap(({ path, text, own: given }) => (given ? [{ text, where: formatPath(path) }] : []));
  const open = [...book, ...own].find(({ text }) => !isLoopback(parseAddress(text)?.host ?? 'localhost'));
  if (open === undefined) return;
  check.report(
    ['secret'],
    `is missing, but ${open.where} is ${quote(open.text)}, not on loopback; allowed: a mapping { env: NAME } that names an environment variable`,
  );
}

/** The value itself is never shown. */
function checkSecretValue({ room, env, report }: RoomCheck): void {
  const name = room.secret?.env;
  if (name === undefined) return;
  const value = Object.hasOwn(env, name) ? env[name] : undefined;
  const allowed = `a variable that holds at least ${SECRET_CHARACTERS_MIN} characters, the same in every room`;
  if (value === undefined) report(['secret', 'env'], `names ${name}, which is not set in the environment; allowed: ${allowed}`);
  else if (value !== value.trim())
    report(['secret', 'env'], `names ${name}, whose value begins or ends with white space; allowed: ${allowed}`);
  else if (value.length < SECRET_CHARACTERS_MIN) {
    report(['secret', 'env'], `names ${name}, which holds ${value.length} characters; allowed: ${allowed}`);
  }
}

function checkProcessors(check: RoomCheck): void {
  for (const [kind, processor] of Object.entries(check.room.processors ?? {})) {
    checkProcessorKind(check, kind);
    if (processor === undefined) continue;
    const path = ['processors', kind];
    const [module, grpc] = [check.has([...path, 'module']), check.has([...path, 'grpc'])];
    if (module === grpc)
      check.report(path, `has ${module ? 'both' : 'neither'} module ${module ? 'and' : 'nor'} grpc; allowed: one of them`, 'key');
    if (module && !grpc && processor.concurrentMax !== undefined) {
      check.report(
        [...path, 'concurrentMax'],
        'is set for a module, which is called one write request at a time; allowed: only with grpc',
        'key',
      );
    }
  }
}

function checkProcessorKind({ topology, report }: RoomCheck, kind: string): void {
  const path = ['processors', kind];
  if (kind === BUILT_IN_KIND) {
    checkKindName(kind, path, report);
    return;
  }
  const known = topology.kinds === undefined ? undefined : Object.keys(topology.kinds);
  if (known === undefined || known.includes(kind)) return;
  const near = nearestName(kind, known);
  const allowed = known.length === 0 ? 'none, for the topology has no kinds' : known.join(', ');
  report(path, `is no kind of the topology; allowed: ${allowed}${near === undefined ? '' : `; did you mean ${near}?`}`, 'key');
}

/** As core/topology.ts processesWrites says it, but of a topology that may have errors. */
function runsProcessors(check: RoomCheck): boolean {
  const { mode } = check.topology;
  return mode === 'independent' || (mode === 'master-slave' && entryOf(check)?.database === 'master');
}

function checkMissingProcessors(check: RoomCheck): void {
  const { room, topology, has, report } = check;
  if (entryOf(check) === undefined || !runsProcessors(check)) return;
  for (const [kind, entry] of Object.entries(topology.kinds ?? {})) {
    const handled = kind === BUILT_IN_KIND || has(['processors', kind]) || (has(['processors']) && room.processors === undefined);
    const here = entry !== undefined && (entry.rooms === undefined || entry.rooms.includes(room.room));
    if (here && !handled)
      report(['processors', kind], `is missing, but the kind ${quote(kind)} is for ${room.room}; allowed: a mapping with module or grpc`);
  }
}

interface Limit {
  readonly path: Path;
  readonly value: number | undefined;
  readonly of?: string;
}

/** Limits that cannot both hold. A write request of the largest size must fit through every queue. */
function checkLimits(check: RoomCheck): void {
  const { intake, link } = check.room;
  const payload: Limit = { path: ['limits', 'payloadBytesMax'], value: check.topology.limits?.payloadBytesMax, of: ' of the topology' };
  const frame: Limit = { path: ['intake', 'frameBytesMax'], value: intake?.frameBytesMax };
  const lane: Limit = { path: ['link', 'laneBytesMax'], value: link?.laneBytesMax };
  const pending: Limit = { path: ['intake', 'pendingBytesMax'], value: intake?.pendingBytesMax };
  checkOrder(check, payload, lane);
  checkOrder(check, payload, pending);
  checkOrder(check, frame, lane);
  checkOrder(check, frame, pending);
  checkOrder(
    check,
    { path: ['intake', 'frameWritesMax'], value: intake?.frameWritesMax },
    { path: ['intake', 'pendingWritesMax'], value: intake?.pendingWritesMax },
  );
  checkOrder(
    check,
    { path: ['link', 'reconnectMsMin'], value: link?.reconnectMsMin },
    { path: ['link', 'reconnectMsMax'], value: link?.reconnectMsMax },
  );
  checkSilences(check);
}

/** `small` may not be above `large`. The one that the file says is blamed; where it says neither or both, `small`, if it stands in this file. */
function checkOrder({ has, report }: RoomCheck, small: Limit, large: Limit): void {
  if (small.value === undefined || large.value === undefined || small.value <= large.value) return;
  const blameSmall = small.of === undefined && (has(small.path) || !has(large.path));
  if (blameSmall) report(small.path, `is ${small.value}, above ${formatPath(large.path)} (${large.value}); allowed: at most that`);
  else report(large.path, `is ${large.value}, below ${formatPath(small.path)}${small.of ?? ''} (${small.value}); allowed: at least that`);
}

/** One late pulse, canary or round is no silence. */
function checkSilences(check: RoomCheck): void {
  const { link, checker } = check.room;
  const silence: Limit = { path: ['checker', 'silenceMsMax'], value: checker?.silenceMsMax };
  const linkSilence: Limit = { path: ['link', 'silenceMsMax'], value: link?.silenceMsMax };
  checkTwice(check, { path: ['link', 'pulseMs'], value: link?.pulseMs }, linkSilence, 'pulses');
  checkTwice(check, { path: ['checker', 'canaryMs'], value: checker?.canaryMs }, silence, 'canaries');
  checkTwice(check, { path: ['checker', 'roundMs'], value: checker?.roundMs }, silence, 'rounds');
}

/** `large` must be at least two of `small`. */
function checkTwice({ has, report }: RoomCheck, small: Limit, large: Limit, name: string): void {
  if (small.value === undefined || large.value === undefined || large.value >= 2 * small.value) return;
  const [each, whole] = [formatPath(small.path), formatPath(large.path)];
  if (has(large.path))
    report(large.path, `is ${large.value}, less than two ${name} (${each} is ${small.value}); allowed: at least ${2 * small.value}`);
  else
    report(small.path, `is ${small.value}, more than half of ${whole} (${large.value}); allowed: at most ${Math.floor(large.value / 2)}`);
}
