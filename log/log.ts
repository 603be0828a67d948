/**
 * The log port. A log is an ordered, durable list of frames per partition. The appender gives each frame its seq: dense
 * from 0 within one log epoch. A frame is opaque here but for its checksum: it was encoded once at intake, and the same bytes
 * go to every peer.
 *
 * Whoever appends gets an answer only when the frame is durable (invariant I1). Whoever reads gets the frames from a seq on, or
 * an error that names the missing range (LOG_GAP, invariant I4); a reader never skips.
 *
 * Adapters must pass log/log.contract.ts.
 */
import type { WmbError } from '../core/errors.ts';
import type { Stamp } from '../core/stamp.ts';
import type { LogEpoch, LogName, RoomId, Seq } from '../core/words.ts';

/** A frame on its way into the log. */
export interface FrameDraft {
  readonly partition: number;
  readonly bytes: Uint8Array;
  /** Number of write requests in it. */
  readonly count: number;
  readonly stampFirst: Stamp;
  readonly stampLast: Stamp;
  /** See FrameHeader; `stampLast` where it is left out. */
  readonly through?: Stamp;
}

export interface StoredFrame {
  readonly partition: number;
  readonly seq: Seq;
  readonly bytes: Uint8Array;
  readonly count: number;
}

/** What one partition holds: seqs `first` to `next - 1`. Empty where they are equal. */
export interface Extent {
  readonly partition: number;
  readonly first: Seq;
  readonly next: Seq;
  /** Number of write requests ever appended in this epoch, up to `next`. Differences of it are the lag in writes. */
  readonly writes: number;
  /** The greatest stamp; empty where nothing was ever appended. */
  readonly stampLast: Stamp;
  /** What is appended from now on has greater stamps; see StampBounds. */
  readonly through: Stamp;
}

/**
 * Where a frame stands in the order of the stamps: no write request up to it has a stamp above `greatest`, and none after it has one up to `through`. Where one process appends, both
 * are its last stamp; where several do, their frames' stamps overlap by what their appends take. Both ascend from frame to frame.
 */
export interface StampBounds {
  readonly greatest: Stamp;
  readonly through: Stamp;
}

export interface LogReader {
  readonly log: LogName;
  readonly origin: RoomId;
  /** Known after open. */
  readonly epoch: LogEpoch;
  readonly partitions: number;
  open(): Promise<void>;
  extent(partition: number): Extent;
  /**
   * The frames from seq `from` on, at least one where there is one and at most `bytesMax` bytes beyond the first; none at the end.
   * LOG_GAP where `from` is below the first stored or above the next seq; LOG_CORRUPT, with the position, where a stored frame
   * fails its checksum.
   */
  read(partition: number, from: Seq, bytesMax: number): Promise<readonly StoredFrame[]>;
  /** The greatest seq such that the frames from it up to (not including) `before` hold at least `writes` write requests; or the first stored one. */
  seqBack(partition: number, before: Seq, writes: number): Promise<Seq>;
  /** Number of write requests in the frames up to and including `seq` since the epoch began; for lag. `seq` -1 gives 0. */
  writesUpTo(partition: number, seq: Seq): Promise<number>;
  /** Undefined where the frame is no longer stored. */
  stampsAt(partition: number, seq: Seq): Promise<StampBounds | undefined>;
  /** Resolves when everything that was appended before the call, by whatever process, can be read here. LOG_UNAVAILABLE where that takes too long. */
  catchUp(): Promise<void>;
  /** Calls back after each append, also by another process. Returns how to stop. */
  onAppend(listener: (partition: number) => void): () => void;
  close(): Promise<void>;
}

export interface RetentionFloor {
  readonly partition: number;
  /** Frames up to and including this seq have been applied by every peer; -1 for none. */
  readonly appliedSeq: Seq;
}

export interface RetentionPolicy {
  /** Frames younger than this stay. */
  readonly ageMsMin: number;
  /** The log may grow to this; beyond it, what every peer has applied goes although it is young. */
  readonly bytesMax: number;
  /**
   * When the log is over `bytesMax` and what is left is still needed by a peer: `keep` it (disk is the limit), or `drop` the oldest
   * (that peer then stops on the gap, loudly).
   */
  readonly overflow: 'keep' | 'drop';
  /**
   * So many write requests of each partition stay before the first that a peer still needs: its duplicate window is rebuilt from them.
   * Where `drop` removes what a peer needs, only the newest ones of the log stay.
   */
  readonly writesMin: number;
}

/** A log as the reship that serves it sees it: read, and kept within its limits. */
export interface ServedLog extends LogReader {
  /** Removes whole frames from the old end as the policy allows. Returns what went. */
  trim(
    policy: RetentionPolicy,
    floors: readonly RetentionFloor[],
    nowMs: number,
  ): Promise<{ readonly frames: number; readonly bytes: number }>;
  /** Bytes of the frames stored. */
  bytes(): number;
}

export interface Log extends ServedLog {
  /**
   * Durable when it resolves. The seqs are in the order of the drafts. LOG_FULL, LOG_READONLY: nothing was appended. After any other failure nobody knows: the frames, or some of them, may
   * be in the log or come into it, but not after an append that was made later has resolved.
   */
  append(drafts: readonly FrameDraft[]): Promise<readonly Seq[]>;
  /** Why what is appended now would probably fail or wait for long, as far as that is known without trying; undefined: nothing is wrong. */
  readonly trouble: WmbError | undefined;
  /**
   * Takes a lease on a writer number, unique for ever within this log (1 to 2^24 − 1), and says the greatest stamp that the log has
   * seen or that was promised, so that a clock never goes back over a restart.
   */
  leaseWriter(holder: string): Promise<{ readonly lease: number; readonly stampLast: Stamp }>;
  /** Remembers `stamp` as one that every later writer's stamps must exceed; durable when it resolves. A promise never goes down. */
  promise(stamp: Stamp): Promise<void>;
}
