/** What reships of a room share of what peers say to one of them. */
import type { Share } from '../../core/share.ts';
import type { RoomId, Seq } from '../../core/words.ts';
import type { RoomAck } from '../intake/waits.ts';

/** What a room has newly said about one of this room's lanes. */
export interface PeerAck extends RoomAck {
  /** See Ack. */
  readonly parkedSeq: Seq;
}

/** A session of a peer, which has the acks for the partitions of its share. */
export interface PeerSessionName {
  /** Of all sessions of the room's reships. */
  readonly id: string;
  readonly peer: RoomId;
  readonly share: Share;
}
