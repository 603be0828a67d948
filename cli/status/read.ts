/** The status of all rooms as data: what `wmb status --json` prints. */
import { isAlarm, type PairView } from '../../consistency-checker/report/pair.ts';
import type { WmbError } from '../../core/errors.ts';
import { roomEntry } from '../../core/topology.ts';
import type { RoomId } from '../../core/words.ts';
import type { CollectorStatus, LaneStatus, LinkStatus, PeerLaneStatus, ReshipStatus } from '../../proto/gen/wmb/v1/admin.ts';
import type { CheckerStatus } from '../../proto/gen/wmb/v1/checker.ts';
import type { Clients, DaemonName } from '../clients.ts';
import { readOpen } from '../drift/read.ts';

export interface Silent {
  readonly address: string;
  readonly error: { readonly code: string; readonly message: string };
}

/** A link into a room. Where the room's collector does not answer, what its origin knows of it: no states, no parked write requests. */
export type KnownLink = LinkStatus & { readonly knownBy: 'collector' | 'origin' };

export interface RoomStatus {
  readonly room: RoomId;
  readonly reship: Omit<ReshipStatus, 'room'> | Silent;
  readonly collector: Omit<CollectorStatus, 'room' | 'links'> | Silent;
  /** Undefined: the topology gives the room none. */
  readonly checker: Omit<CheckerStatus, 'room'> | Silent | undefined;
  /** Links into this room. */
  readonly links: readonly KnownLink[];
}

export interface TopologyStatus {
  readonly topology: { readonly epoch: number; readonly mode: string; readonly partitions: number };
  readonly rooms: readonly RoomStatus[];
  /** How the rooms stand with each other, where a checker looks. */
  readonly pairs: readonly PairView[];
  /** What is open in all rooms together. */
  readonly open: { readonly drifts: number; readonly alarms: number };
}

/** A daemon that does not answer within this is shown as such. */
const ANSWER_MS_MAX = 2_000;
/** Open drifts that are looked at; those beyond are counted. */
const OPEN_MAX = 1_000;

export async function readStatus(clients: Clients): Promise<TopologyStatus> {
  const { epoch, mode, partitions, rooms } = clients.config.topology;
  const ids = rooms.map(({ id }) => id);
  const [read, checked] = await Promise.all([
    Promise.all(ids.map((room) => readDaemons(clients, room))),
    readOpen(clients, ids, { msMax: ANSWER_MS_MAX, limit: OPEN_MAX }),
  ]);
  const shipped = read.flatMap(({ room, reship }) => ('error' in reship ? [] : [{ origin: room, reship }]));
  const whole = read.map(({ room, reship, collector }) => {
    const report = checked.answered.find((one) => one.room === room)?.answer.status;
    const error = checked.silent.find((one) => one.room === room)?.error;
    const checker =
      roomEntry(clients.config.topology, room)?.checker === undefined ? undefined : (report ?? silent(clients, room, 'checker', error));
    return {
      room,
      reship: 'error' in reship ? reship : withoutRoom(reship),
      checker: checker === undefined || 'error' in checker ? checker : withoutRoom(checker),
      ...('error' in collector ? { collector, links: linksByOrigin(room, shipped) } : answeredLinks(collector)),
    };
  });
  const { pairs, open, unlisted } = checked.view;
  const alarms = open.filter(isAlarm).length;
  return { topology: { epoch, mode, partitions }, rooms: whole, pairs, open: { drifts: open.length - alarms + unlisted, alarms } };
}

interface Daemons {
  readonly room: RoomId;
  readonly reship: ReshipStatus | Silent;
  readonly collector: CollectorStatus | Silent;
}

async function readDaemons(clients: Clients, room: RoomId): Promise<Daemons> {
  const [reship, collector] = await Promise.all([
    clients
      .reship<ReshipStatus>(room, (client, ...rest) => client.getStatus({}, ...rest), ANSWER_MS_MAX)
      .catch((error: WmbError) => silent(clients, room, 'reship', error)),
    clients
      .collector<CollectorStatus>(room, (client, ...rest) => client.getStatus({}, ...rest), ANSWER_MS_MAX)
      .catch((error: WmbError) => silent(clients, room, 'collector', error)),
  ]);
  return { room, reship, collector };
}

function withoutRoom<T extends { readonly room: RoomId }>({ room: _room, ...status }: T): Omit<T, 'room'> {
  return status;
}

function answeredLinks(collector: CollectorStatus): Pick<RoomStatus, 'collector' | 'links'> {
  const { room: _room, links, ...status } = collector;
  return { collector: status, links: links.map((link) => ({ ...link, knownBy: 'collector' })) };
}

/** What the origins know of a peer whose collector is silent: how far it had acked, and the lag that grows since. */
function linksByOrigin(peer: RoomId, shipped: readonly { readonly origin: RoomId; readonly reship: ReshipStatus }[]): readonly KnownLink[] {
  return shipped.flatMap(({ origin, reship }) =>
    reship.peers
      .filter(({ room, lanes }) => room === peer && lanes.length > 0)
      .map(({ lanes }) => ({ origin, transport: '', paused: false, lanes: lanes.map(laneByOrigin), knownBy: 'origin' as const })),
  );
}

function laneByOrigin({ log, partition, ackedSeq, lagWrites, lagMs }: PeerLaneStatus): LaneStatus {
  return { log, partition, epoch: '', state: 'unknown', reason: '', sinceMs: 0, mark: ackedSeq, lagWrites, lagMs, parked: 0 };
}

function silent(clients: Clients, room: RoomId, daemon: DaemonName, error: WmbError | undefined): Silent {
  return { address: clients.address(room, daemon), error: { code: error?.code ?? '', message: error?.message ?? '' } };
}
