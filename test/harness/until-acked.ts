/** Submits as an application should: what was not taken is sent again, with the same request ids, until it is acked. */
import { setTimeout as pause } from 'node:timers/promises';
import { type Error as SubmitError, Wait, type WriteRequest, type WriteResult } from '../../proto/gen/wmb/v1/writes.ts';
import type { RoomClients } from './clients.ts';

const AGAIN_MS = 200;
const DEADLINE_MS = 10_000;

export interface Acking {
  /** Of one write request that the room has taken. */
  readonly acked: (result: WriteResult) => void;
  /** Before these are sent again. */
  readonly again: (left: readonly WriteRequest[]) => void;
  /** Whether to send again what is refused for good; default: not. */
  readonly insists?: (error: SubmitError) => boolean;
  /** Aborted: nothing is sent any more. */
  readonly signal?: AbortSignal;
}

/** Resolves when all are acked as durable. Rejects where one is refused for good, and where it is aborted. */
export async function submitUntilAcked(
  client: RoomClients,
  writes: readonly WriteRequest[],
  { acked, again, insists = () => false, signal }: Acking,
): Promise<void> {
  for (let left = writes; left.length > 0; ) {
    signal?.throwIfAborted();
    const { results } = await client
      .submit({ writes: [...left], wait: Wait.WAIT_LOGGED, deadlineMs: DEADLINE_MS, batchId: 0 })
      .catch(() => ({ results: [] }));
    const taken = new Set<string>();
    for (const result of results) {
      const { requestId, stamp, error } = result;
      if (error?.retry === 'never' && !insists(error)) throw new Error(`${client.room.id}: ${requestId}: ${error.code}: ${error.message}`);
      if (stamp === '') continue;
      taken.add(requestId);
      acked(result);
    }
    left = left.filter(({ requestId }) => !taken.has(requestId));
    if (left.length === 0) return;
    again(left);
    await pause(AGAIN_MS);
  }
}
