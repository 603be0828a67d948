/** The status of all rooms as tables for people. */
import { count } from '../../consistency-checker/report/pair.ts';
import type { CollectorStatus, LaneStatus, ReshipStatus } from '../../proto/gen/wmb/v1/admin.ts';
import { pairLines } from '../drift/list.ts';
import { formatDuration, formatTable, shorten, wrap } from '../table.ts';
import type { KnownLink, RoomStatus, Silent, TopologyStatus } from './read.ts';

/** More marks than these are shown as the smallest and the greatest. */
const MARKS_SHOWN_MAX = 4;
const REASON_COLUMNS_MAX = 200;

export interface ShowOptions {
  /** One line for each partition. */
  readonly lanes?: boolean;
  readonly columnsMax: number;
}

export function showStatus(status: TopologyStatus, options: ShowOptions): string {
  const { epoch, mode, partitions } = status.topology;
  const { columnsMax } = options;
  const daemons = formatTable({
    head: ['ROOM', 'DAEMON', 'STATE', 'EPOCH', 'UP', 'DETAILS'],
    rows: status.rooms.flatMap((room) => daemonRows(room, status.rooms.some(({ checker }) => checker !== undefined))),
    right: [3],
    columnsMax,
    optional: [3],
  });
  const parts = [
    `topology epoch ${epoch}, ${mode}, ${partitions} partitions`,
    daemons,
    linksTable(status, options),
    verification(status, columnsMax),
  ];
  return parts.filter((part) => part !== '').join('\n\n');
}

function linksTable({ rooms }: TopologyStatus, { lanes, columnsMax }: ShowOptions): string {
  const rows = rooms.flatMap((room) => room.links.flatMap((link) => (lanes ? laneRows(room, link) : linkRows(room, link))));
  if (rows.length === 0) return '';
  const head = ['LINK', lanes ? 'LANE' : 'LOG', 'STATE', 'LAG', 'LAG TIME', 'PARKED', lanes ? 'MARK' : 'MARKS', 'REASON'];
  return formatTable({ head, rows, right: [3, 4, 5], columnsMax, optional: [6], flexible: [2] });
}

/** Whether the rooms are known to agree; rooms that nobody looks at say so. */
function verification({ rooms, pairs }: TopologyStatus, columnsMax: number): string {
  const without = rooms.filter(({ checker }) => checker === undefined).map(({ room }) => room);
  if (without.length === rooms.length)
    return wrap('no room has a checker: whether the rooms agree is not verified (`wmb errors CHECKER_ABSENT`)', columnsMax).join('\n');
  return pairLines(pairs, columnsMax).join('\n');
}

function daemonRows({ room, reship, collector, checker }: RoomStatus, withCheckers: boolean): string[][] {
  return [
    'error' in reship
      ? silentRow(room, 'reship', reship)
      : [room, 'reship', reshipState(reship), String(reship.topologyEpoch), formatDuration(reship.uptimeMs), reshipDetails(reship)],
    'error' in collector
      ? silentRow(room, 'collector', collector)
      : [room, 'collector', 'up', String(collector.topologyEpoch), formatDuration(collector.uptimeMs), collectorDetails(collector)],
    ...(withCheckers ? [checkerRow(room, checker)] : []),
  ];
}

function checkerRow(room: string, checker: RoomStatus['checker']): string[] {
  if (checker === undefined) return [room, 'checker', 'none', '', '', 'not in the topology'];
  if ('error' in checker) return silentRow(room, 'checker', checker);
  const { topologyEpoch, uptimeMs, keys, built, open } = checker;
  const building = built < 1 ? `, ${Math.floor(built * 100)} % read` : '';
  return [room, 'checker', 'up', String(topologyEpoch), formatDuration(uptimeMs), `keys ${count(keys)}${building}, open ${count(open)}`];
}

function silentRow(room: string, daemon: string, { error }: Silent): string[] {
  return [room, daemon, 'UNREACHABLE', '', '', shorten(error.message, REASON_COLUMNS_MAX)];
}

type Reship = Omit<ReshipStatus, 'room'>;
type Collector = Omit<CollectorStatus, 'room' | 'links'>;

function reshipState({ intake }: Reship): string {
  return intake?.draining ? 'draining' : 'up';
}

function reshipDetails({ intake, logs, peers }: Reship): string {
  const away = peers.filter(({ connected }) => !connected).map(({ room }) => room);
  const bytes = logs.reduce((sum, log) => sum + log.bytes, 0);
  const pending = intake?.pendingWrites ? `, pending ${intake.pendingWrites}` : '';
  const taken = `taken ${intake?.taken ?? 0}${pending}, logs ${(bytes / 1_048_576).toFixed(1)} MiB`;
  return away.length === 0 ? taken : `${taken}, not connected: ${away.join(', ')}`;
}

function collectorDetails({ parked }: Collector): string {
  return `parked ${parked}`;
}

/** One row per log of the link: states counted, lags of all partitions together. */
function linkRows({ room }: RoomStatus, link: KnownLink): string[][] {
  const name = linkName(link, room);
  if (link.lanes.length === 0) return [[name, '(acks)', link.paused ? 'paused' : '', '', '', '', '', '']];
  return [...Map.groupBy(link.lanes, (lane) => lane.log)].map(([log, lanes]) => {
    const lagWrites = lanes.reduce((sum, lane) => sum + lane.lagWrites, 0);
    const lagMs = Math.max(...lanes.map((lane) => lane.lagMs));
    const parked = lanes.reduce((sum, lane) => sum + lane.parked, 0);
    return [
      name,
      log,
      states(lanes),
      String(lagWrites),
      formatDuration(lagMs),
      parkedText(link, parked),
      marks(lanes),
      reason(link, lanes),
    ];
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

function linkName({ origin }: Pick<KnownLink, 'origin'>, room: string): string {
  return origin === room ? `${room} (local)` : `${origin} → ${room}`;
}

/** `streaming`, or `stopped-on-gap 1, streaming 3`. */
function states(lanes: readonly LaneStatus[]): string {
  // What does not stream comes first: there may be no place for all of it.
  const counts = [...Map.groupBy(lanes, (lane) => lane.state)].sort(([a], [b]) => Number(a === 'streaming') - Number(b === 'streaming'));
  if (counts.length === 1) return counts[0]?.[0] ?? '';
  return counts.map(([state, some]) => `${state} ${some.length}`).join(', ');
}

function marks(lanes: readonly LaneStatus[]): string {
  const seqs = lanes.map((lane) => lane.mark);
  return seqs.length <= MARKS_SHOWN_MAX ? seqs.join(' ') : `${Math.min(...seqs)} … ${Math.max(...seqs)}`;
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
