/** The status of all rooms as data: what `wmb status --json` prints. */
import type { WmbError } from '../../core/errors.ts';
import type { RoomId } from '../../core/words.ts';
import type { CollectorStatus, LinkStatus, ReshipStatus } from '../../proto/gen/wmb/v1/admin.ts';
import type { Clients, DaemonName } from '../clients.ts';

export interface Silent {
  readonly address: string;
  readonly error: { readonly code: string; readonly message: string };
}

export interface RoomStatus {
  readonly room: RoomId;
  readonly reship: Omit<ReshipStatus, 'room'> | Silent;
  readonly collector: Omit<CollectorStatus, 'room' | 'links'> | Silent;
  /** Links into this room; empty where its collector does not answer. */
  readonly links: readonly LinkStatus[];
}

export interface TopologyStatus {
  readonly topology: { readonly epoch: number; readonly mode: string; readonly partitions: number };
  readonly rooms: readonly RoomStatus[];
}

/** A daemon that does not answer within this is shown as such. */
const ANSWER_MS_MAX = 2_000;

export async function readStatus(clients: Clients): Promise<TopologyStatus> {
  const { epoch, mode, partitions, rooms } = clients.config.topology;
  return { topology: { epoch, mode, partitions }, rooms: await Promise.all(rooms.map((room) => readRoom(clients, room.id))) };
}

async function readRoom(clients: Clients, room: RoomId): Promise<RoomStatus> {
  const [reship, collector] = await Promise.all([
    clients
      .reship<ReshipStatus>(room, (client, ...rest) => client.getStatus({}, ...rest), ANSWER_MS_MAX)
      .catch(silent(clients, room, 'reship')),
    clients
      .collector<CollectorStatus>(room, (client, ...rest) => client.getStatus({}, ...rest), ANSWER_MS_MAX)
      .catch(silent(clients, room, 'collector')),
  ]);
  return { room, reship: 'error' in reship ? reship : answered(reship), ...answeredLinks(collector) };
}

function answered({ room: _room, ...status }: ReshipStatus): RoomStatus['reship'] {
  return status;
}

function answeredLinks(collector: CollectorStatus | Silent): Pick<RoomStatus, 'collector' | 'links'> {
  if ('error' in collector) return { collector, links: [] };
  const { room: _room, links, ...status } = collector;
  return { collector: status, links };
}

function silent(clients: Clients, room: RoomId, daemon: DaemonName): (error: WmbError) => Silent {
  const address = clients.address(room, daemon);
  return ({ code, message }) => ({ address, error: { code, message } });
}
