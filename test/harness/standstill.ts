/**
 * How long this process has stood still at most, as on a machine that is busy with other things. What others think of one that is silent for so long is nothing that a
 * test can hold against it.
 */
const LOOK_MS = 50;

/** Looks from now on; what it returns ends it, and says how many milliseconds it was. */
export function standstill(): () => number {
  let last = performance.now();
  let longestMs = 0;
  const look = () => {
    const nowMs = performance.now();
    longestMs = Math.max(longestMs, nowMs - last);
    last = nowMs;
  };
  const timer = setInterval(look, LOOK_MS).unref();
  return () => {
    clearInterval(timer);
    look();
    return longestMs;
  };
}
