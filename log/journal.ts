/**
 * A list of records that one process at a time appends to, and the next one begins with. Whoever takes it says so in the list itself: what the one before appends from then on is void, and it is told
 * so with its next append. So nobody has to know whether another one is dead.
 */
export interface JournalRecord {
  /** Ascending. */
  readonly at: number;
  readonly value: Uint8Array;
}

export interface Taken {
  /** Nothing was forgotten yet. */
  readonly isWhole: boolean;
  /** What those before have left, oldest first. Throws as {@link Journal.take}. */
  records(): AsyncIterable<JournalRecord>;
}

export interface Journal {
  /** Ends the time of whoever had it. LOG_UNAVAILABLE, LOG_DENIED, LOG_UNFIT, LOG_FOREIGN. */
  take(): Promise<Taken>;
  /**
   * Durable when it resolves, with where it stands. Records come in the order of the calls. STORE_LOCKED where another process has taken the journal, LOG_UNAVAILABLE: either
   * way nobody knows whether the record counts, and nothing more is appended until the journal is taken anew.
   */
  append(value: Uint8Array): Promise<number>;
  /** Begins a new part of the list, in its place among the appends: resolves with where. Rejects as {@link append}. */
  turn(): Promise<number>;
  /** What is before the part that begins at `at` may go. */
  forget(at: number): Promise<void>;
  close(): void;
}
