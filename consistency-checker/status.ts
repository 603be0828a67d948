/** What the checker says of itself, to people and in the report. */
import type { Config } from '../core/config/types.ts';
import type { Runtime } from '../core/runtime.ts';
import type { CheckerStatus } from '../proto/gen/wmb/v1/checker.ts';
import type { Checker } from './checker.ts';
import type { WatchedBook } from './report/watched-book.ts';

export interface StatusSource {
  readonly config: Config;
  readonly instance: string;
  readonly checker: Pick<Checker, 'peers'>;
  readonly book: WatchedBook;
  /** Of the digest tree. */
  readonly leaves: { readonly keys: number; readonly built: number };
  /** See CacheCopy. */
  readonly copy: { readonly text: string };
  /** See DatabaseRounds; undefined: this is no slave room with a database on a server. */
  readonly database: { readonly text: string } | undefined;
  /** Monotonic. */
  readonly startedMs: number;
  readonly runtime: Runtime;
}

export async function statusOf({
  config,
  instance,
  checker,
  book,
  leaves,
  copy,
  database,
  startedMs,
  runtime,
}: StatusSource): Promise<CheckerStatus> {
  const counts = await book.counts();
  return {
    room: config.room.id,
    topologyEpoch: config.topology.epoch,
    instance,
    uptimeMs: Math.round(runtime.monotonicMs() - startedMs),
    nowMs: Math.floor(runtime.nowMs()),
    peers: checker.peers().map(({ room, verifiedMs, reason, suspects, open, canaryAgeMs, rounds, roundBytes, roundMs }) => ({
      room,
      verifiedMs: Math.floor(verifiedMs),
      reason,
      suspects,
      open,
      canaryAgeMs,
      rounds,
      roundBytes,
      roundMs,
    })),
    ...counts,
    keys: leaves.keys,
    built: leaves.built,
    copy: copy.text,
    database: database?.text ?? '',
  };
}
