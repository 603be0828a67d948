/**
 * The link port. A link is directed: frames of one origin's logs go to one peer. The peer's collector dials and pulls; the
 * origin's reship serves. (A grpc-js server cannot raise its receive window, so pushing over a long line would crawl.) A link
 * to oneself is the local lane: the room's own write log goes through the same door as everybody else's.
 *
 * One session carries all lanes between two daemons. Frames flow one way, in order within a lane, under a credit in bytes that the
 * collector grants per lane; control messages flow both ways on a stream of their own, so that a full frame stream never delays
 * them. A session that breaks is dialled anew and every lane resumes after its mark: the mark does not know about transports.
 *
 * A transport (rpc, mq, memory) gives the two ends below and passes link/link.contract.ts. It never looks into frames.
 *
 * Protocol history: 1 — the first.
 */
import type { WmbError } from '../core/errors.ts';
import type { Share } from '../core/share.ts';
import type { Stamp } from '../core/stamp.ts';
import type { LogEpoch, LogName, Outcome, RoomId, Seq } from '../core/words.ts';

export const LINK_PROTOCOL = 1;

/** First message of a session: who dials, whom it means to reach, and that it may. */
export interface Hello {
  readonly protocol: number;
  readonly from: RoomId;
  readonly to: RoomId;
  readonly topologyEpoch: number;
  /** Names the dialling process, for logs. */
  readonly instance: string;
  /** Wall clock of the dialler; part of what the proof covers. */
  readonly sentMs: number;
  /** Random, hex. */
  readonly nonce: string;
  /** HMAC-SHA-256, hex, see link/identity.ts. */
  readonly proof: string;
  /** The partitions that this session is about; undefined: all. */
  readonly share?: Share | undefined;
}

/** What the serving room offers to this peer. */
export interface Welcome {
  readonly protocol: number;
  readonly room: RoomId;
  readonly topologyEpoch: number;
  readonly instance: string;
  readonly logs: readonly LogOffer[];
}

export interface LogOffer {
  readonly log: LogName;
  readonly epoch: LogEpoch;
  readonly partitions: number;
}

/** A write request whose receipt in a room is not `applied`. */
export interface ReceiptException {
  readonly seq: Seq;
  readonly index: number;
  readonly outcome: Outcome;
  /** Error code where it was parked or rejected, otherwise empty. */
  readonly reason: string;
}

/** From the collector to the reship it dialled. */
export type Upward =
  /** Send the lane's frames after seq `after`; before them, marked as history, the frames that hold the `historyWrites` write requests up to `after`. */
  | {
      readonly type: 'resume';
      readonly log: LogName;
      readonly partition: number;
      readonly epoch: LogEpoch;
      readonly after: Seq;
      readonly historyWrites: number;
      readonly creditBytes: number;
    }
  /** The collector has taken this many more bytes of the lane off its queue. */
  | { readonly type: 'credit'; readonly log: LogName; readonly partition: number; readonly bytes: number }
  /** Send no more of this lane. */
  | { readonly type: 'halt'; readonly log: LogName; readonly partition: number }
  /** This room's mark in a lane of the reship's own logs, whichever way the frames came (in a master–slave topology, through the effect log). */
  | {
      readonly type: 'ack';
      readonly log: LogName;
      readonly partition: number;
      readonly epoch: LogEpoch;
      readonly seq: Seq;
      /** Seq of the oldest write request of the lane in the parking lot; -1: none. It holds the floor. */
      readonly parkedSeq: Seq;
      /** The exceptions are all there are from this seq up to `seq`; of older ones some may be missing. */
      readonly exceptionsFrom: Seq;
      readonly exceptions: readonly ReceiptException[];
      /**
       * Where databases follow by themselves: in the master room the greatest seq up to `seq` of which it ran statements, in a slave room the
       * master's mark in the slave's database.
       */
      readonly databaseSeq?: Seq | undefined;
    }
  /** Local link only: the greatest stamp seen from peers, for the clock; and logs that the collector appended to. */
  | { readonly type: 'observed'; readonly stamp: Stamp }
  | { readonly type: 'appended'; readonly log: LogName; readonly partition: number };

/** From the reship to the collector. */
export type Downward =
  /** The lane streams from here; frames below `liveFrom` are history. */
  | { readonly type: 'resumed'; readonly log: LogName; readonly partition: number; readonly historyFrom: Seq; readonly liveFrom: Seq }
  /** The lane cannot go on: `missingFrom` to `missingTo` (inclusive) are not in the log. */
  | {
      readonly type: 'gap';
      readonly log: LogName;
      readonly partition: number;
      readonly code: 'LOG_GAP' | 'LOG_CORRUPT';
      readonly missingFrom: Seq;
      readonly missingTo: Seq;
      readonly message: string;
    }
  /** Every second: liveness, the end of each lane, and up to which stamp every room has applied this origin's write requests. */
  | { readonly type: 'pulse'; readonly sentMs: number; readonly floor: Stamp; readonly ends: readonly LaneEnd[] };

export interface LaneEnd {
  readonly log: LogName;
  readonly partition: number;
  readonly epoch: LogEpoch;
  /** Seq of the newest frame; -1 for none. */
  readonly seq: Seq;
  /** Number of write requests up to it in this epoch. */
  readonly writes: number;
  /** A collector whose mark has reached `seq` has seen everything of this lane stamped up to here. */
  readonly stamp: Stamp;
}

export interface LinkFrame {
  readonly log: LogName;
  readonly partition: number;
  readonly seq: Seq;
  /** Below the mark: only for the duplicate window. */
  readonly history: boolean;
  readonly bytes: Uint8Array;
}

/** The collector's end. */
export interface LinkSession {
  readonly welcome: Welcome;
  /** Each item is what arrived together; take the next when these are on their lanes' queues. Ends when the session ends. */
  readonly frames: AsyncIterable<readonly LinkFrame[]>;
  readonly control: AsyncIterable<Downward>;
  send(message: Upward): void;
  close(): void;
  /** Resolves when the session is over: undefined after close(), the reason otherwise. Never rejects. */
  readonly closed: Promise<WmbError | undefined>;
}

/** Dials. Rejects with the peer's refusal (ROOM_UNKNOWN, IDENTITY_REFUSED, TOPOLOGY_STALE, PROTOCOL_VERSION) or PEER_UNREACHABLE, PEER_GARBAGE. */
export interface LinkDialer {
  dial(address: string, hello: Hello, signal: AbortSignal): Promise<LinkSession>;
}

/** Dials by way of the room's own Kafka. */
export interface InboxDialer extends LinkDialer {
  /** Rejects with why frames of `origin` cannot come through an inbox: INBOX_UNPREPARED, INBOX_UNFIT, INBOX_DENIED, INBOX_UNAVAILABLE. */
  check(origin: RoomId): Promise<void>;
  /** Tells the origin that frames are no longer wanted in the inbox. Rejects as `check`. */
  leave(hello: Hello): Promise<void>;
}

/** The reship's end. */
export interface ServedSession {
  readonly hello: Hello;
  readonly control: AsyncIterable<Upward>;
  send(message: Downward): void;
  /** Resolves when the transport takes more; one call at a time. Rejects when the session is over. */
  sendFrames(frames: readonly LinkFrame[]): Promise<void>;
  close(error?: WmbError): void;
  readonly closed: Promise<WmbError | undefined>;
}

/** What reship gives the transport: the answer to a hello (or a throw of the refusal), then the session. */
export interface LinkHost {
  welcome(hello: Hello): Welcome;
  serve(session: ServedSession): void;
}
