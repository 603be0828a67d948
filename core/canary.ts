/**
 * Canaries: write requests of the checker that mean nothing and go the whole way that all others go, so that silence on a lane is never
 * mistaken for health. Intake takes them although their kind is reserved; processors make nothing of them, in any room.
 */

/** No topology lists it. */
export const CANARY_KIND = 'wmb.canary';

/** Keys of canaries begin so. Nothing is ever stored under them. */
export const CANARY_KEY_PREFIX = 'wmb.canary/';
