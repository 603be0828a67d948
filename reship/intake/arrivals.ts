/**
 * How far every room is in this room's write log, by its acks; and, where the slaves' databases follow by themselves, in its database too.
 *
 * A slave's database says of itself only what the master's marks in it say, and those move lazily while there are no statements to run. So the master says up
 * to which seq it has run statements: a slave that has those lacks nothing of what the master is past (docs/adr/0007).
 */

import type { Topology } from '../../core/config/types.ts';
import { masterRoom } from '../../core/topology.ts';
import { NOTHING_SEEN, type RoomId, type Seq } from '../../core/words.ts';

interface Place {
  /** Every write request up to here has its receipt in the room. */
  readonly seq: Seq;
  /** In the master: statements were run up to here. In a slave: the master's mark in its database. */
  readonly databaseSeq: Seq;
}

/** Whose database follows whose; undefined where no database is waited for. */
export interface Following {
  readonly master: RoomId;
  readonly slaves: ReadonlySet<RoomId>;
}

const NOWHERE: Place = { seq: NOTHING_SEEN, databaseSeq: NOTHING_SEEN };

/** Embedded databases follow over the links, where they are not waited for. */
export function followingOf(topology: Topology): Following | undefined {
  const master = masterRoom(topology)?.id;
  if (topology.databases !== 'mysql' || master === undefined) return undefined;
  return { master, slaves: new Set(topology.rooms.filter((room) => room.database === 'slave').map((room) => room.id)) };
}

export class Arrivals {
  readonly #rooms: readonly RoomId[];
  readonly #following: Following | undefined;
  /** By partition, then room. */
  readonly #places = new Map<number, Map<RoomId, Place>>();

  constructor(rooms: readonly RoomId[], following: Following | undefined) {
    this.#rooms = rooms;
    this.#following = following;
  }

  /** False where the ack says nothing new. What a room has once had it does not lose for those who wait. */
  take(ack: { readonly room: RoomId; readonly partition: number; readonly seq: Seq; readonly databaseSeq?: Seq | undefined }): boolean {
    const known = this.#place(ack.partition, ack.room);
    const place = { seq: Math.max(known.seq, ack.seq), databaseSeq: Math.max(known.databaseSeq, ack.databaseSeq ?? NOTHING_SEEN) };
    if (place.seq === known.seq && place.databaseSeq === known.databaseSeq) return false;
    const byRoom = this.#places.get(ack.partition) ?? new Map<RoomId, Place>();
    this.#places.set(ack.partition, byRoom.set(ack.room, place));
    return true;
  }

  appliedIn(room: RoomId, partition: number): Seq {
    return this.#place(partition, room).seq;
  }

  /** Up to here every room has everything. */
  everywhere(partition: number): Seq {
    let seq = Number.POSITIVE_INFINITY;
    for (const room of this.#rooms) seq = Math.min(seq, this.appliedIn(room, partition), this.#inDatabase(room, partition));
    return seq;
  }

  #inDatabase(room: RoomId, partition: number): Seq {
    const following = this.#following;
    if (following === undefined || !following.slaves.has(room)) return Number.POSITIVE_INFINITY;
    const master = this.#place(partition, following.master);
    const { databaseSeq } = this.#place(partition, room);
    return databaseSeq >= master.databaseSeq ? Math.max(databaseSeq, master.seq) : databaseSeq;
  }

  #place(partition: number, room: RoomId): Place {
    return this.#places.get(partition)?.get(room) ?? NOWHERE;
  }
}
