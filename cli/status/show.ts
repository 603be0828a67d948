/** The status of all rooms as tables for people. */
import { count } from '../../consistency-checker/report/pair.ts';
import type { CollectorMember, DatabaseStatus, LaneStatus, ReshipMember, ReshipStatus } from '../../proto/gen/wmb/v1/admin.ts';
import { pairLines } from '../drift/list.ts';
import { formatDuration, formatTable, shorten, wrap } from '../table.ts';
import type { KnownLink, RoomStatus, Silent, TopologyStatus } from './read.ts';
import { topicsTable } from './topics.ts';

const REASON_COLUMNS_MAX = 200;
/** Reships of a room hear of each other twice a second. */
const SILENT_MS = 3_000;

export interface ShowOptions {
  /** One line for each partition. */
  readonly lanes?: boolean;
  readonly columnsMax: number;
}

export function showStatus(status: TopologyStatus, options: ShowOptions): string {
  const { epoch, mode, partitions } = status.topology;
  const { columnsMax } = options;
  const daemons = formatTable({
    head: ['ROOM', 'DAEMON', 'STATE', 'DETAILS'],
    rows: status.rooms.flatMap((room) => daemonRows(status, room)),
    columnsMax,
  });
  const parts = [
    `topology epoch ${epoch}, ${mode}, ${partitions} partitions`,
    daemons,
    topicsTable(status, columnsMax),
    linksTable(status, options),
    verification(status, columnsMax),
  ];
  return parts.filter((part) => part !== '').join('\n\n');
}

function linksTable({ rooms }: TopologyStatus, { lanes, columnsMax }: ShowOptions): string {
  const rows = rooms.flatMap((room) => room.links.flatMap((link) => (lanes ? laneRows(room, link) : linkRows(room, link))));
  if (rows.length === 0) return '';
  const head = ['LINK', lanes ? 'LANE' : 'LOG', 'STATE', 'LAG', 'LAG TIME', 'PARKED', ...(lanes ? ['MARK'] : []), 'REASON'];
  return formatTable({ head, rows, right: [3, 4, 5, ...(lanes ? [6] : [])], columnsMax, flexible: [2] });
}

/** Whether the rooms are known to agree; rooms that nobody looks at say so. */
function verification({ rooms, pairs }: TopologyStatus, columnsMax: number): string {
  const without = rooms.filter(({ checker }) => checker === undefined).map(({ room }) => room);
  if (without.length === rooms.length)
    return wrap('no room has a checker: whether the rooms agree is not verified (`wmb errors CHECKER_ABSENT`)', columnsMax).join('\n');
  return pairLines(pairs, columnsMax).join('\n');
}

function daemonRows({ topology: { epoch }, rooms }: TopologyStatus, { room, reship, collector, checker }: RoomStatus): string[][] {
  const rows = [
    'error' in reship
      ? silentRow(room, 'reship', reship)
      : [room, 'reship', stateText(reship, reshipState(reship)), reshipDetails(reship, epoch)],
    ...('error' in reship ? [] : reship.members.map((member) => ['', '', '', fellowText(member)])),
    'error' in collector
      ? silentRow(room, 'collector', collector)
      : [
          room,
          'collector',
          stateText(collector),
          `parked ${collector.parked}${databaseText(collector.database)}${epochText(collector, epoch)}`,
        ],
    ...('error' in collector ? [] : collector.members.map((member) => ['', '', '', memberText(member)])),
  ];
  if (checker !== undefined) return [...rows, checkerRow({ room, checker, epoch })];
  return rooms.some((other) => other.checker !== undefined) ? [...rows, [room, 'checker', 'none', 'not in the topology']] : rows;
}

/** Of a room with several reships: one of them, which rooms' collectors it ships to, and what of which topics it takes in. */
function fellowText({ instance, address, silentMs, peers, topics }: ReshipMember): string {
  const isSilent = silentMs >= SILENT_MS;
  const silent = isSilent ? `, not heard of for ${formatDuration(silentMs)}` : '';
  const sessions = [...Map.groupBy(peers, (peer) => peer)].map(([peer, all]) =>
    all.length === 1 ? peer : `${peer} (${all.length} shares)`,
  );
  // What a silent one took others may have by now.
  const taken = isSilent ? '' : topics.map(({ topic, partitions }) => `; takes ${topic} ${partitions.join(', ')}`).join('');
  return `${instance} at ${address}: ${sessions.length === 0 ? 'ships to nobody' : `ships to ${sessions.join(', ')}`}${taken}${silent}`;
}

/** Of a room with several collectors: one of them. */
function memberText({ instance, address, partitions }: CollectorMember): string {
  return `${instance} at ${address}: ${partitions.length === 0 ? 'no partitions' : `partitions ${partitions.join(', ')}`}`;
}

/** How a slave's database follows; of a master's only what is wrong. */
function databaseText(database: DatabaseStatus | undefined): string {
  if (database === undefined) return '';
  const { role, state, reason, missing, lagMs } = database;
  if (role === 'master') return reason === '' ? '' : `, database: ${shorten(reason, REASON_COLUMNS_MAX)}`;
  const lag = lagMs === undefined ? '' : `, ${formatDuration(lagMs)} behind`;
  const lacks = missing === undefined || missing === 0 ? '' : `, lacks ${count(missing)} transactions`;
  return `, database ${state}${lag}${lacks}${reason === '' ? '' : `: ${shorten(reason, REASON_COLUMNS_MAX)}`}`;
}

interface CheckerRow {
  readonly room: string;
  readonly checker: NonNullable<RoomStatus['checker']>;
  readonly epoch: number;
}

function checkerRow({ room, checker, epoch }: CheckerRow): string[] {
  if ('error' in checker) return silentRow(room, 'checker', checker);
  const { keys, built, open, copy, database } = checker;
  const building = built < 1 ? ` (${Math.floor(built * 100)} % read)` : '';
  const notes = [copy, shorten(database, REASON_COLUMNS_MAX)].map((note) => (note === '' ? '' : `; ${note}`)).join('');
  return [room, 'checker', stateText(checker), `keys ${count(keys)}${building}, open ${count(open)}${epochText(checker, epoch)}${notes}`];
}

function silentRow(room: string, daemon: string, { address, error }: Silent): string[] {
  // Room and daemon stand in the row already.
  const reason = error.message.replace(`${daemon} of ${room} at ${address} `, `${address} `);
  return [room, daemon, 'UNREACHABLE', shorten(reason, REASON_COLUMNS_MAX)];
}

/** `up 5 h 2 min`. */
function stateText({ uptimeMs }: { readonly uptimeMs: number }, state = 'up'): string {
  return `${state} ${formatDuration(uptimeMs)}`;
}

/** Only where the daemon holds another topology than this command. */
function epochText({ topologyEpoch }: { readonly topologyEpoch: number }, epoch: number): string {
  return topologyEpoch === epoch ? '' : `, topology epoch ${topologyEpoch}`;
}

type Reship = Omit<ReshipStatus, 'room'>;

function reshipState({ intake }: Reship): string {
  return intake?.draining ? 'draining' : 'up';
}

function reshipDetails({ intake, logs, peers, topologyEpoch }: Reship, epoch: number): string {
  const away = peers.filter(({ connected }) => !connected).map(({ room }) => room);
  const bytes = logs.reduce((sum, log) => sum + log.bytes, 0);
  const pending = intake?.pendingWrites ? `, pending ${intake.pendingWrites}` : '';
  const taken = `taken ${intake?.taken ?? 0}${pending}, logs ${(bytes / 1_048_576).toFixed(1)} MiB${epochText({ topologyEpoch }, epoch)}`;
  return away.length === 0 ? taken : `${taken}, not connected: ${away.join(', ')}`;
}

/** One row per log of the link: states counted, lags of all partitions together. */
function linkRows({ room }: RoomStatus, link: KnownLink): string[][] {
  const name = linkName(link, room);
  if (link.lanes.length === 0) return [[name, '(acks)', link.paused ? 'paused' : '', '', '', '', '']];
  return [...Map.groupBy(link.lanes, (lane) => lane.log)].map(([log, lanes]) => {
    const lagWrites = lanes.reduce((sum, lane) => sum + lane.lagWrites, 0);
    const lagMs = Math.max(...lanes.map((lane) => lane.lagMs));
    const parked = lanes.reduce((sum, lane) => sum + lane.parked, 0);
    return [name, log, states(lanes), String(lagWrites), formatDuration(lagMs), parkedText(link, parked), reason(link, lanes)];
  });
}

function laneRows({ room }: RoomStatus, link: KnownLink): string[][] {
  return link.lanes.map((lane) => [
    linkName(link, room),
    `${lane.log}/${lane.partition}`,
    lane.state,
    String(lane.lagWrites),
    formatDuration(lane.lagMs),
    parkedText(link, lane.parked),
    String(lane.mark),
    reason(link, [lane]),
  ]);
}

function linkName({ origin, transport }: Pick<KnownLink, 'origin' | 'transport'>, room: string): string {
  return origin === room ? `${room} (local)` : `${origin} → ${room}${transport === 'mq' ? ' (mq)' : ''}`;
}

/** `streaming`, or `stopped-on-gap 1, streaming 3`. */
function states(lanes: readonly LaneStatus[]): string {
  // What does not stream comes first: there may be no place for all of it.
  const counts = [...Map.groupBy(lanes, (lane) => lane.state)].sort(([a], [b]) => Number(a === 'streaming') - Number(b === 'streaming'));
  if (counts.length === 1) return counts[0]?.[0] ?? '';
  return counts.map(([state, some]) => `${state} ${some.length}`).join(', ');
}

/** Why a lane does not stream; the first one stands for all. */
function reason({ knownBy, origin }: KnownLink, lanes: readonly LaneStatus[]): string {
  if (knownBy === 'origin') return `the collector does not answer; as ${origin} knows it`;
  return shorten(lanes.find((lane) => lane.state !== 'streaming' && lane.reason !== '')?.reason ?? '', REASON_COLUMNS_MAX);
}

/** The origin does not know what its peer has parked. */
function parkedText({ knownBy }: KnownLink, parked: number): string {
  return knownBy === 'origin' ? '' : String(parked);
}
