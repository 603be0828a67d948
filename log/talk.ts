/**
 * What the processes that append to one log say to each other: a list of records that all of them read in the same order, each its own among those of the others. Kafka is what puts
 * them in order; nobody has to agree with anybody.
 */
export interface Heard {
  /** One more than that of the record before. Where it is greater, what was said between the two is forgotten. */
  readonly at: number;
  readonly value: Uint8Array;
}

export interface Talk {
  /** Durable when it resolves. After a failure it may have been said all the same. LOG_UNAVAILABLE, LOG_DENIED. */
  say(value: Uint8Array): Promise<void>;
  /** What was said behind `after` (-1: everything that is kept), and what will be, a list at a time; it is empty where nothing was for a while. Throws as `say`. */
  hear(after: number, over: AbortSignal): AsyncIterable<readonly Heard[]>;
  /** What was said before `at` may go. */
  forget(at: number): Promise<void>;
  close(): void;
}
