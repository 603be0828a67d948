/** The status of all rooms as tables for people. */
import type { CollectorStatus, LaneStatus, LinkStatus, ReshipStatus } from '../../proto/gen/wmb/v1/admin.ts';
import { formatDuration, formatTable, shorten } from '../table.ts';
import type { RoomStatus, Silent, TopologyStatus } from './read.ts';

/** More marks than these are shown as the smallest and the greatest. */
const MARKS_SHOWN_MAX = 8;
const REASON_COLUMNS_MAX = 60;

export function showStatus(status: TopologyStatus, options: { readonly lanes?: boolean }): string {
  const { epoch, mode, partitions } = status.topology;
  const daemons = formatTable({
    head: ['ROOM', 'DAEMON', 'STATE', 'EPOCH', 'UP', 'DETAILS'],
    rows: status.rooms.flatMap(daemonRows),
    right: [3],
  });
  const links = status.rooms.flatMap((room) => room.links.flatMap((link) => (options.lanes ? laneRows(room, link) : linkRows(room, link))));
  const head = ['LINK', options.lanes ? 'LANE' : 'LOG', 'STATE', 'LAG', 'LAG TIME', 'PARKED', options.lanes ? 'MARK' : 'MARKS', 'REASON'];
  const table = links.length === 0 ? [] : ['', formatTable({ head, rows: links, right: [3, 4, 5] })];
  return [`topology epoch ${epoch}, ${mode}, ${partitions} partitions`, '', daemons, ...table].join('\n');
}

function daemonRows({ room, reship, collector }: RoomStatus): string[][] {
  return [
    'error' in reship
      ? silentRow(room, 'reship', reship)
      : [room, 'reship', reshipState(reship), String(reship.topologyEpoch), formatDuration(reship.uptimeMs), reshipDetails(reship)],
    'error' in collector
      ? silentRow(room, 'collector', collector)
      : [room, 'collector', 'up', String(collector.topologyEpoch), formatDuration(collector.uptimeMs), collectorDetails(collector)],
  ];
}

function silentRow(room: string, daemon: string, { error }: Silent): string[] {
  return [room, daemon, 'UNREACHABLE', '', '', shorten(error.message, REASON_COLUMNS_MAX * 2)];
}

type Reship = Omit<ReshipStatus, 'room'>;
type Collector = Omit<CollectorStatus, 'room' | 'links'>;

function reshipState({ intake }: Reship): string {
  return intake?.draining ? 'draining' : 'up';
}

function reshipDetails({ intake, logs, peers }: Reship): string {
  const away = peers.filter(({ connected }) => !connected).map(({ room }) => room);
  const bytes = logs.reduce((sum, log) => sum + log.bytes, 0);
  const taken = `taken ${intake?.taken ?? 0}, pending ${intake?.pendingWrites ?? 0}, logs ${(bytes / 1_048_576).toFixed(1)} MiB`;
  return away.length === 0 ? taken : `${taken}, not connected: ${away.join(', ')}`;
}

function collectorDetails({ parked }: Collector): string {
  return `parked ${parked}`;
}

/** One row per log of the link: states counted, lags of all partitions together. */
function linkRows({ room }: RoomStatus, link: LinkStatus): string[][] {
  const name = linkName(link, room);
  if (link.lanes.length === 0) return [[name, '(acks)', link.paused ? 'paused' : '', '', '', '', '', '']];
  return [...Map.groupBy(link.lanes, (lane) => lane.log)].map(([log, lanes]) => {
    const lagWrites = lanes.reduce((sum, lane) => sum + lane.lagWrites, 0);
    const lagMs = Math.max(...lanes.map((lane) => lane.lagMs));
    const parked = lanes.reduce((sum, lane) => sum + lane.parked, 0);
    return [name, log, states(lanes), String(lagWrites), formatDuration(lagMs), String(parked), marks(lanes), reason(lanes)];
  });
}

function laneRows({ room }: RoomStatus, link: LinkStatus): string[][] {
  return link.lanes.map((lane) => [
    linkName(link, room),
    `${lane.log}/${lane.partition}`,
    lane.state,
    String(lane.lagWrites),
    formatDuration(lane.lagMs),
    String(lane.parked),
    String(lane.mark),
    shorten(lane.reason, REASON_COLUMNS_MAX),
  ]);
}

function linkName({ origin }: LinkStatus, room: string): string {
  return origin === room ? `${room} (local)` : `${origin} → ${room}`;
}

/** `streaming`, or `streaming 3, stopped-on-gap 1`. */
function states(lanes: readonly LaneStatus[]): string {
  const counts = [...Map.groupBy(lanes, (lane) => lane.state)];
  if (counts.length === 1) return counts[0]?.[0] ?? '';
  return counts.map(([state, some]) => `${state} ${some.length}`).join(', ');
}

function marks(lanes: readonly LaneStatus[]): string {
  const seqs = lanes.map((lane) => lane.mark);
  return seqs.length <= MARKS_SHOWN_MAX ? seqs.join(' ') : `${Math.min(...seqs)} … ${Math.max(...seqs)}`;
}

/** Why a lane does not stream; the first one stands for all. */
function reason(lanes: readonly LaneStatus[]): string {
  return shorten(lanes.find((lane) => lane.state !== 'streaming' && lane.reason !== '')?.reason ?? '', REASON_COLUMNS_MAX);
}
