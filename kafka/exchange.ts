/** What is asked of a broker, for library.ts to send. */

/** One request and how its answer is read. */
export interface Exchange<T> {
  readonly apiKey: number;
  readonly apiVersion: number;
  readonly apiName: string;
  readonly encode: () => Sent;
  readonly decode: (answer: Buffer) => Decoded<T>;
  /** How long the broker may let the answer wait, beyond what it needs. */
  readonly waitMs: number;
}

export interface Decoded<T> {
  readonly value: T;
  /** Milliseconds that the broker asks this client to wait, because of its quota. */
  readonly throttledMs: number;
}

/** What is sent, in pieces. */
export interface Sent {
  readonly bytes: number;
  pieces(): readonly Uint8Array[];
}
