/**
 * One side of every comparison: what can be asked of a room. The checker asks its own room and each peer the same questions; the own room answers from its
 * stores, its logs and its collector (local-room.ts), a peer through its checker (remote-room.ts). So every rule of the checker is
 * written once, over two `RoomView`s, and the simulator brings its own.
 *
 * Every method may reject with a WmbError: UNREACHABLE or PEER_UNREACHABLE (silence), PEER_GARBAGE (an answer that cannot be), PROTOCOL_VERSION, TOPOLOGY_STALE,
 * IDENTITY_REFUSED. A room that does not answer is never called wrong: it is not verified, and since when is said.
 */
import type { KeyState } from '../core/converge/state.ts';
import type {
  CachePlace,
  CachePlaces,
  DerivedWrite,
  FrameReceipts,
  Horizon,
  LanePlace,
  ReceiptDetail,
  SeqRange,
  TakeOver,
} from '../core/inspection.ts';
import type { Stamp } from '../core/stamp.ts';
import type { Position, RoomId, StampedWrite } from '../core/words.ts';
import type { EntryDigest } from '../store/inspection.ts';

export type { CachePlace, CachePlaces, DerivedWrite, FrameReceipts, Horizon, LanePlace, ReceiptDetail, SeqRange, TakeOver };

/** Digests of the 16 children of each node asked for: 8 bytes each, big-endian, concatenated. */
export interface NodeDigests {
  readonly digests: Uint8Array;
  /** Visible keys in the whole room, as far as the tree is built. */
  readonly keys: number;
  /** Share of the tree that is built, 0 to 1: below 1 differences are looked at leaf by leaf all the same, but equality means less. */
  readonly built: number;
}

export interface StateAnswer {
  readonly key: string;
  readonly state: KeyState | undefined;
  /** When the key's bucket was seen to change without the collector having written it, wall clock of the room; 0: never. */
  readonly changedBehindMs: number;
}

export interface FoundWrite {
  readonly position: Position;
  readonly write: StampedWrite;
}

/** By what write requests are found in the room's own write log. */
export type WriteQuery =
  | { readonly by: 'stamp'; readonly stamps: readonly Stamp[] }
  | { readonly by: 'position'; readonly positions: readonly Position[] }
  /** From the newest back; `limitMs` of work at most. */
  | { readonly by: 'request'; readonly requestId: string; readonly limitMs: number };

export interface RoomView {
  readonly room: RoomId;
  horizon(): Promise<Horizon>;
  /**
   * The digest tree (cache/tree.ts): 65,536 leaves, fan-out 16. `level` 0 has 16 nodes; the leaves are level 3. `parents` are nodes of `level - 1`
   * (for level 0: [0]). Leaves asked for are computed anew where they were written or have expired since.
   */
  nodes(query: { readonly level: number; readonly parents: readonly number[] }): Promise<NodeDigests>;
  /** `urgent`: a person waits for it; it is not held back to the share of work that rounds have. */
  entries(buckets: readonly number[], urgent?: boolean): Promise<readonly (readonly EntryDigest[])[]>;
  states(keys: readonly string[]): Promise<readonly StateAnswer[]>;
  /**
   * A digest per range (16 hex digits): of each frame's seq, count and stamps, and of the receipts that are `duplicate`, `parked` or `rejected`. `applied`
   * and `superseded` are the same here, because which of two write requests came first may differ. Empty text: not all of the range has its receipts here.
   */
  receiptDigests(ranges: readonly SeqRange[]): Promise<readonly string[]>;
  receipts(range: SeqRange): Promise<readonly FrameReceipts[]>;
  /** Write requests of this room's own write log; those not found are left out. */
  findWrites(query: WriteQuery): Promise<readonly FoundWrite[]>;
  /** What this room's processors make of the write requests. A slave room of a master–slave topology has none: rejects with NOT_FOUND. */
  derive(writes: readonly StampedWrite[]): Promise<readonly DerivedWrite[]>;
}

/** What is asked of a room whose cache is copied, and of the one that copies it (repair/copy.ts). */
export interface CopySide extends Pick<RoomView, 'room' | 'nodes' | 'states'> {
  cachePlaces(): Promise<CachePlaces>;
  /** Of each bucket: every key of which anything is remembered, ascending. */
  keys(buckets: readonly number[]): Promise<readonly (readonly string[])[]>;
}
