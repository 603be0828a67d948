/** Wording that admission and retries share. */
import { type Stamp, stampMs } from '../../core/stamp.ts';

/** Why a stamp is parked. */
export function formatStampMs(stamp: Stamp, nowMs: number): string {
  return `its stamp is ${stampMs(stamp) - nowMs} ms ahead of this room’s clock; it is retried when the clock has come up to it`;
}
