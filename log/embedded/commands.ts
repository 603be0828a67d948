/** What the worker thread does, and what is said between it and the thread that owns the log. */
import type { DatabaseSync } from 'node:sqlite';
import { type ErrorCode, WmbError } from '../../core/errors.ts';
import type { Stamp } from '../../core/stamp.ts';
import type { Seq } from '../../core/words.ts';
import type { FrameDraft } from '../log.ts';
import type { TrimRequest, TrimStep } from '../retention.ts';
import { appendFrames, insertLease, raisePromise, readIdentity } from './schema.ts';
import { inTransaction, logError } from './sqlite.ts';
import { trimStep } from './trim.ts';

/** Frames of one commit, back to back in one buffer that is handed over, not copied. */
export interface PackedDrafts {
  readonly bytes: Uint8Array<ArrayBuffer>;
  readonly facts: readonly { readonly partition: number; readonly size: number; readonly count: number; readonly stampLast: Stamp }[];
}

export type Command =
  /** Opens the database: an error here is an error of the log's open. */
  | { readonly type: 'open' }
  | { readonly type: 'append'; readonly packed: PackedDrafts }
  | { readonly type: 'lease'; readonly holder: string; readonly nowMs: number }
  | { readonly type: 'promise'; readonly stamp: Stamp }
  /** One step; the owner asks again until there is none, so that appends get their turn in between. */
  | { readonly type: 'trim'; readonly request: TrimRequest }
  | { readonly type: 'close' };

export interface Answers {
  readonly open: undefined;
  readonly append: readonly Seq[];
  readonly lease: { readonly lease: number; readonly stampLast: Stamp };
  readonly promise: undefined;
  readonly trim: TrimStep | undefined;
  readonly close: undefined;
}

export interface Request {
  readonly id: number;
  readonly command: Command;
}

export type Reply =
  | { readonly id: number; readonly value: Answers[Command['type']] }
  | { readonly id: number; readonly failure: { readonly code: ErrorCode; readonly message: string } };

/** Packs drafts: the one copy between intake's buffer and SQLite. */
export function packDrafts(drafts: readonly FrameDraft[]): PackedDrafts {
  const bytes = new Uint8Array(drafts.reduce((sum, draft) => sum + draft.bytes.length, 0));
  let at = 0;
  const facts = drafts.map((draft) => {
    bytes.set(draft.bytes, at);
    at += draft.bytes.length;
    return { partition: draft.partition, size: draft.bytes.length, count: draft.count, stampLast: draft.stampLast };
  });
  return { bytes, facts };
}

function unpackDrafts({ bytes, facts }: PackedDrafts): Omit<FrameDraft, 'stampFirst'>[] {
  let at = 0;
  return facts.map(({ partition, size, count, stampLast }) => {
    at += size;
    return { partition, count, stampLast, bytes: bytes.subarray(at - size, at) };
  });
}

/** Carries one command out. Whatever fails has changed nothing. `place` names the file in messages. */
export function execute(db: DatabaseSync, place: string, command: Command): Answers[Command['type']] {
  try {
    switch (command.type) {
      case 'append':
        return inTransaction(db, () => appendFrames(db, unpackDrafts(command.packed)));
      case 'lease':
        return inTransaction(db, () => insertLease(db, command.holder, command.nowMs));
      case 'promise':
        return inTransaction(db, () => raisePromise(db, command.stamp));
      case 'trim': {
        const identity = readIdentity(db, place);
        return identity && trimStep(db, identity, command.request);
      }
      case 'close':
        db.close();
        return undefined;
      case 'open':
        return undefined;
    }
  } catch (cause) {
    throw logError(cause, place);
  }
}

/** The reply to one request, whatever happens. */
export function reply(id: number, work: () => Answers[Command['type']]): Reply {
  try {
    return { id, value: work() };
  } catch (cause) {
    const { code, message } = cause instanceof WmbError ? cause : logError(cause, 'worker');
    return { id, failure: { code, message } };
  }
}
