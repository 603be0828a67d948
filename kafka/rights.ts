/** Kafka says that a right on a topic is missing, and not which: what was asked of it tells. */

export const RIGHTS = ['READ', 'WRITE', 'DESCRIBE', 'DESCRIBE_CONFIGS', 'DELETE', 'CREATE'] as const;
export type Right = (typeof RIGHTS)[number];

export interface MissingRight {
  readonly right: Right;
  /** Undefined: the topic that the message is about. */
  readonly topic: string | undefined;
}

/** Kafka's own number of it. */
export const TOPIC_AUTHORIZATION_FAILED = 29;
/** Far from Kafka's. */
const FIRST = 10_000;

/** The error of an answer to what takes a right: of a missing one the number says which. For `protocolError`, see {@link rightBehind}. */
export function errorWithout(right: Right, error: number): number {
  return error === TOPIC_AUTHORIZATION_FAILED ? FIRST + RIGHTS.indexOf(right) : error;
}

export function rightBehind(error: number): Right | undefined {
  return RIGHTS[error - FIRST];
}

/** Marks what it fails with, for trouble.ts. */
export async function needing<T>(right: Right, topic: string, asking: Promise<T>): Promise<T> {
  try {
    return await asking;
  } catch (cause) {
    if (cause instanceof Error) Object.assign(cause, { missing: { right, topic } satisfies MissingRight });
    throw cause;
  }
}

/** The mark of an error, where it has one. */
export function missingRight(error: Error): MissingRight | undefined {
  return 'missing' in error ? (error.missing as MissingRight | undefined) : undefined;
}
