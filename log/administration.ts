/**
 * What people do to the logs of a room before its daemons may use them. Each step is told as a line when it is done, or, in a dry run, when it would be. Embedded logs need none of it:
 * their daemons make what is missing.
 */
import type { LogEpoch, LogName, Seq } from '../core/words.ts';

export interface LogAdministration {
  /** Makes the topics that are missing, and checks those that are there. With `newEpoch` the log begins again, empty, under a new epoch. */
  init(options: { readonly dryRun: boolean; readonly newEpoch: boolean }): AsyncIterable<string>;
  inspect(): Promise<LogView>;
}

/** What is stored of a log. */
export interface LogView {
  readonly log: LogName;
  readonly epoch: LogEpoch;
  /** Where the frames are. */
  readonly topic: string;
  /** Wrong settings, in words; empty where there are none. */
  readonly trouble: string;
  readonly partitions: readonly LogPartitionView[];
}

export interface LogPartitionView {
  readonly partition: number;
  readonly first: Seq;
  readonly next: Seq;
  /** The next seq as a daemon wrote it down last: `next` is never below it. */
  readonly noted: Seq;
  /** Of the broker; undefined: it has none. */
  readonly leader: number | undefined;
  readonly replicas: number;
  readonly inSync: number;
}
