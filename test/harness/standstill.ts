/**
 * Whether this process stands still, as on a machine that is busy with other things. What others think of one that is silent meanwhile is nothing that a test can hold against
 * it; and whoever counts silence counts it anew afterwards.
 */
const LOOK_MS = 50;
/** From then on it is called one. */
export const STILL_MS = 1_000;

export interface Watched {
  /** How long it stood still at most. */
  readonly longestMs: number;
  /** Since the beginning, or since it last stood still for a second. */
  readonly awakeMs: number;
}

/** Looks from now on; what it returns ends it. */
export function standstill(): () => Watched {
  let lastMs = performance.now();
  let sinceMs = lastMs;
  let longestMs = 0;
  const look = () => {
    const nowMs = performance.now();
    longestMs = Math.max(longestMs, nowMs - lastMs);
    if (nowMs - lastMs > STILL_MS) sinceMs = nowMs;
    lastMs = nowMs;
  };
  const timer = setInterval(look, LOOK_MS).unref();
  return () => {
    clearInterval(timer);
    look();
    return { longestMs, awakeMs: lastMs - sinceMs };
  };
}
