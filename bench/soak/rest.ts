/** After the troubles: the rooms have to come to rest, and everything has to be equal. */
import { setTimeout as pause } from 'node:timers/promises';
import type { KeyEntry } from '../../proto/gen/wmb/v1/admin.ts';
import type { CheckerStatus } from '../../proto/gen/wmb/v1/checker.ts';
import type { RoomClients } from '../../test/harness/clients.ts';
import { checkerStatus } from './watch.ts';

const POLL_MS = 250;
/** A key that expires so soon may be gone in one room already: expiry is each room's own. */
const EXPIRY_MS_MARGIN = 5_000;

/** Polls until `probe` is true; false where the time has run out, or nobody wants it any more. */
export async function eventually(
  probe: () => Promise<boolean>,
  { waitMsMax, signal }: { readonly waitMsMax: number; readonly signal: AbortSignal },
): Promise<boolean> {
  for (const deadline = Date.now() + waitMsMax; Date.now() < deadline && !signal.aborted; ) {
    if (await probe().catch(() => false)) return true;
    await pause(POLL_MS);
  }
  return false;
}

/** Why not every checker has read its room as a whole and, since `sinceMs`, found it equal to every other; empty: they have. */
export async function whyNotVerified(clients: readonly RoomClients[], sinceMs: number): Promise<readonly string[]> {
  const statuses = await Promise.all(clients.map(checkerStatus));
  return statuses.flatMap((status) => reasonsOf(status, sinceMs));
}

function reasonsOf({ room, built, open, peers }: CheckerStatus, sinceMs: number): string[] {
  const reasons = built === 1 ? [] : [`${room}: the tree is built to ${Math.round(built * 100)} %`];
  if (open > 0) reasons.push(`${room}: ${open} drifts and alarms are open`);
  for (const { room: peer, reason, suspects, verifiedMs } of peers) {
    if (reason !== '') reasons.push(`${room}–${peer}: ${reason}`);
    else if (suspects > 0) reasons.push(`${room}–${peer}: ${suspects} suspects`);
    else if (verifiedMs <= sinceMs) reasons.push(`${room}–${peer}: not verified since the rooms are at rest`);
  }
  return reasons;
}

/** Keys that are not the same in every room, in words; their number first, then some of them. */
export async function differences(
  clients: readonly RoomClients[],
): Promise<{ readonly keys: number; readonly different: readonly string[] }> {
  const dumps = await Promise.all(clients.map((client) => client.dump()));
  const keys = new Set(dumps.flatMap((dump) => [...dump.keys()]));
  const nowMs = Date.now();
  const different = [...keys].filter((key) => {
    const entries = dumps.map((dump) => dump.get(key));
    if (entries.some((entry) => entry !== undefined && entry.expireAtMs !== 0 && entry.expireAtMs < nowMs + EXPIRY_MS_MARGIN)) return false;
    return new Set(entries.map(textOf)).size > 1;
  });
  return { keys: keys.size, different: different.map((key) => `${key}: ${dumps.map((dump) => textOf(dump.get(key))).join(' ≠ ')}`) };
}

function textOf(entry: KeyEntry | undefined): string {
  return entry === undefined ? 'nothing' : JSON.stringify(entry);
}
