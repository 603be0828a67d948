import type { DatabaseOutcome } from './database.ts';

/**
 * What became of the write requests of one frame, as a database keeps it: one row per frame, because a row per write request would cost a third
 * more per write. `committed` is a JSON object of request ids by index, `refused` one of `{ requestId, reason }` by index, or NULL.
 */
export interface RequestRecord {
  readonly index: number;
  readonly requestId: string;
  /** Undefined: committed. */
  readonly refusal: string | undefined;
}

export const COMMITTED: DatabaseOutcome = { status: 'committed' };
/** Of one that did not run, because it is going to run behind a refused one of its key. */
export const BEHIND_REFUSED: DatabaseOutcome = { status: 'refused', reason: 'an earlier write request of its key was refused' };

/** As read from the database; undefined where there is none. */
export type RecordRow = Readonly<Record<string, unknown>> | undefined;

type Refusals = Record<string, { readonly requestId: string; readonly reason: string }>;

/**
 * The row with `requests` added to it (or, for a retried write request, corrected). Where the row is of another request, the retried one comes from an
 * older epoch of the lane and has no record any more.
 */
export function mergedRecord(
  row: RecordRow,
  requests: readonly RequestRecord[],
): { readonly committed: string; readonly refused: string | null } {
  const committed = commits(row);
  const refused = refusals(row);
  for (const { index, requestId, refusal } of requests) {
    if ((committed[index] ?? refused[index]?.requestId ?? requestId) !== requestId) continue;
    if (refusal === undefined) {
      committed[index] = requestId;
      delete refused[index];
    } else refused[index] = { requestId, reason: refusal };
  }
  const any = Object.keys(refused).length > 0;
  return { committed: JSON.stringify(committed), refused: any ? JSON.stringify(refused) : null };
}

/** Whether exactly this write request is recorded as committed: a retry must not run its statements again. */
export function isRecorded(row: RecordRow, write: { readonly index: number; readonly requestId: string }): boolean {
  return commits(row)[write.index] === write.requestId;
}

/** Reasons of the refused ones, by index. */
export function refusedIn(row: RecordRow): ReadonlyMap<number, string> {
  return new Map(Object.entries(refusals(row)).map(([index, { reason }]) => [Number(index), reason]));
}

function commits(row: RecordRow): Record<string, string> {
  return row === undefined ? {} : JSON.parse(String(row.committed));
}

function refusals(row: RecordRow): Refusals {
  return row === undefined || row.refused === null ? {} : JSON.parse(String(row.refused));
}
