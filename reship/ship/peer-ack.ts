/** What reships of a room share of what peers say to one of them. */
import type { Share } from '../../core/share.ts';
import type { LogName, RoomId, Seq } from '../../core/words.ts';
import type { ReceiptException } from '../../link/link.ts';

/** What a room has newly said about one of this room's lanes. */
export interface PeerAck {
  readonly room: RoomId;
  readonly log: LogName;
  readonly partition: number;
  readonly epoch: string;
  readonly seq: Seq;
  readonly parkedSeq: Seq;
  readonly exceptionsFrom: Seq;
  readonly exceptions: readonly ReceiptException[];
  readonly databaseSeq?: Seq | undefined;
}

/** A session of a peer, which has the acks for the partitions of its share. */
export interface PeerSessionName {
  /** Of all sessions of the room's reships. */
  readonly id: string;
  readonly peer: RoomId;
  readonly share: Share;
}
