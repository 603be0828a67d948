/**
 * How long to wait before the next attempt: exponential with full jitter, so that peers that lost each other at the same moment do
 * not come back at the same moment.
 */
export interface BackoffLimits {
  readonly msMin: number;
  readonly msMax: number;
}

/** Delay before attempt number `attempt` (0 for the first retry), milliseconds: at least `msMin`, at most `msMax`. `random` is in [0, 1). */
export function backoffMs(attempt: number, limits: BackoffLimits, random: number): number {
  const ceiling = Math.min(limits.msMax, limits.msMin * 2 ** Math.min(attempt + 1, 30));
  return Math.min(limits.msMax, limits.msMin + random * Math.max(0, ceiling - limits.msMin));
}
