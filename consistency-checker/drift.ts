/**
 * A drift: a difference between two rooms that outlived the grace period below both rooms' marks. The record says everything that an operator asks:
 * what, both sides, which side is wrong and why, the write request behind it with its timeline, the suspected cause, and the repair.
 *
 * `stuck` is the one kind that is no difference of content: a path that nothing comes through any more. It is an alarm and closes by itself.
 */
import { createHash } from 'node:crypto';
import type { RoomId } from '../core/words.ts';

export type DriftLevel = 'L0' | 'L1' | 'L2' | 'L3' | 'L4';

export type DriftKind =
  /** L0: canaries do not arrive, or a partition with backlog does not move. */
  | 'stuck'
  /** L1: below both marks, one room has no receipt, or gave the write request up, and the other has applied it. */
  | 'lost'
  /** L1: it waits in a parking lot. */
  | 'parked'
  /** L1: one room took it for a duplicate, the other applied it. */
  | 'duplicated'
  /** L2: one room does not show what the other shows. */
  | 'missing'
  /** L2: one room shows an older version. */
  | 'stale'
  /** L2: one room shows what the other has deleted, or what no write request made. */
  | 'extra'
  /** L3: the same version, another value. */
  | 'value'
  /** L4: a slave's database shows a row otherwise than the master's, or only one of them has it. */
  | 'row';

export type DriftCause =
  /** The receipt says that it was applied, and its effects are not there. */
  | 'missed-apply'
  /** Changed, deleted or created directly in the store, not by a write request. */
  | 'behind-back'
  | 'parked'
  /** An operator accepted a loss, or discarded it. */
  | 'given-up'
  | 'duplicate-window'
  | 'path'
  | 'unknown';

export type DriftStatus = 'open' | 'repaired' | 'healed';

/** One room's side of a drift. */
export interface DriftSide {
  readonly room: RoomId;
  /** Short, for people: `"42" (hash field n) by beijing at 2026-11-22 20:15:44.123, expires never`, `nothing`, `parked: PROCESSOR_FAILED`. */
  readonly shows: string;
  /** Of the key's visible entry, or empty. */
  readonly version: string;
  readonly hash: string;
  readonly bytes: number;
  /** 0: none. */
  readonly expireAtMs: number;
}

/** One element of a key that differs; `name` empty for a string, or for the key as a whole (its deletion, its expiry). Or a column of a row: then the versions are the row's. */
export interface ElementDifference {
  readonly name: string;
  /** Versions and values by room, in the order of `Drift.sides`; empty version: not there; value null: deleted. */
  readonly versions: readonly [string, string];
  readonly values: readonly [string | null, string | null];
}

/** One step of a write request on its way. */
export interface Hop {
  readonly room: RoomId;
  /** `stamped`, `logged`, `applied`, `superseded`, `duplicate`, `parked`, `rejected`, `waiting`, `unknown`. */
  readonly what: string;
  /** Wall clock of `room`; 0: not known. */
  readonly atMs: number;
  /** A code, a position, a lane state: what explains the hop. */
  readonly detail: string;
}

export interface WriteTimeline {
  readonly requestId: string;
  readonly position: string;
  readonly stamp: string;
  readonly kind: string;
  readonly key: string;
  readonly hops: readonly Hop[];
}

export interface RepairPlan {
  /** `retry`: of what is parked. `rewrite`: of a row, in the master. `none`: nothing to do by WMB; `text` says what to do. */
  readonly action: 'resend' | 'push' | 'retry' | 'rewrite' | 'none';
  /** The right side, where there is one. */
  readonly from: RoomId | '';
  /** The wrong side: its own checker does the repair. */
  readonly to: RoomId | '';
  /** What it would change, a line each: `- old`, `+ new`. */
  readonly diff: readonly string[];
  /** The command that does it. */
  readonly command: string;
  readonly text: string;
}

export interface Drift {
  /** 8 hex digits, the same in both rooms' checkers. */
  readonly id: string;
  readonly level: DriftLevel;
  readonly kind: DriftKind;
  /** A cache key, a position (L1), a lane (L0), or a row of a database (L4). */
  readonly subject: { readonly type: 'key' | 'write' | 'lane' | 'row'; readonly name: string };
  /** The two rooms in the order of their ids. */
  readonly sides: readonly [DriftSide, DriftSide];
  readonly elements: readonly ElementDifference[];
  /** Which side is wrong; empty where that cannot be told. */
  readonly wrong: RoomId | '';
  readonly why: string;
  readonly cause: DriftCause;
  readonly causeText: string;
  readonly write: WriteTimeline | undefined;
  readonly repair: RepairPlan;
  readonly status: DriftStatus;
  /** Wall clock of the room whose checker found it. */
  readonly firstSeenMs: number;
  readonly confirmedMs: number;
  /** 0 while it is open. */
  readonly closedMs: number;
  /** Why it is open still after a repair was tried, or how it closed. */
  readonly note: string;
}

/** The same in both rooms: of the two rooms and the subject. */
export function driftId(rooms: readonly [RoomId, RoomId], subject: Drift['subject']): string {
  const text = JSON.stringify([...rooms].sort().concat(subject.type, subject.name));
  return createHash('sha1').update(text).digest('hex').slice(0, 8);
}

/** An entry of the audit: who did what, when, and what came of it. */
export interface AuditEntry {
  readonly atMs: number;
  readonly driftId: string;
  readonly action: RepairPlan['action'];
  readonly subject: string;
  /** `begun` stays where a kill came in between. */
  readonly result: 'begun' | 'repaired' | 'unchanged' | 'overtaken' | 'outdated' | 'refused' | 'failed' | 'interrupted';
  readonly by: string;
  readonly detail: string;
}

/** An entry as it is kept. */
export interface KeptAudit extends AuditEntry {
  readonly id: number;
}

/** Where the checker keeps what it found and what it did. Adapters: report/embedded-book.ts, report/memory-book.ts. */
export interface DriftBook {
  open(): Promise<void>;
  /** Inserts or replaces by id. */
  put(drifts: readonly Drift[]): Promise<void>;
  get(id: string): Promise<Drift | undefined>;
  /** Newest confirmed first. */
  list(options: { readonly status: DriftStatus | 'all'; readonly limit: number }): Promise<readonly Drift[]>;
  counts(): Promise<{ readonly open: number; readonly repaired: number; readonly healed: number }>;
  /** Appends; the id of the entry. */
  audit(entry: AuditEntry): Promise<number>;
  settleAudit(id: number, result: AuditEntry['result'], detail: string): Promise<void>;
  /** Newest first. */
  audits(limit: number): Promise<readonly KeptAudit[]>;
  close(): Promise<void>;
}
