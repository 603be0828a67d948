/**
 * Retried write requests that the cache may have lost. A retry moves no mark, so a cache that comes back from an older copy is not brought it
 * again by the log. The book keeps what retries did for a while; whenever a lane is loaded, that which the cache may lack is applied again.
 * receipts/parking-lot.ts has the rule and why it holds.
 */
import { compileCommands } from '../../core/converge/commands.ts';
import { NO_STAMP } from '../../core/stamp.ts';
import { formatPosition, type Lane, type Mark, NOTHING_SEEN } from '../../core/words.ts';
import type { Generation } from '../../store/cache.ts';
import type { EpochLane, RetriedEffects } from '../receipts/receipts.ts';
import { type Context, cacheWentBack } from './context.ts';

/** Applied together; each may be as large as a write request may be. */
const STEP_WRITES = 64;

/** The cache's mark of the lane, as a retry has to remember it. Read it when the effects are in the cache. */
async function cacheMark(
  { view }: Context,
  { log, origin, partition, epoch }: EpochLane,
): Promise<{ readonly generation: Generation; readonly mark: Mark }> {
  const { generation, marks } = await view.marks();
  const found = marks.find((it) => it.log === log && it.origin === origin && it.partition === partition);
  return { generation, mark: found ?? { log, origin, partition, epoch, seq: NOTHING_SEEN } };
}

/** What the book must keep of a retry whose effects are in the cache. */
export async function effectsToKeep(context: Context, lane: EpochLane, commands: RetriedEffects['commands']): Promise<RetriedEffects> {
  return { commands, cacheMark: (await cacheMark(context, lane)).mark, nowMs: context.runtime.nowMs() };
}

/** Call it before anything else raises the cache's floor: what a copy still lacks would be late then. MARK_MOVED where the cache goes back meanwhile. */
export async function applyAgain(context: Context, lane: EpochLane): Promise<void> {
  const { book, cache, runtime, logger } = context;
  const { generation, mark } = await cacheMark(context, lane);
  for (let after = 0; ; ) {
    const rows = await book.retried(mark, mark.seq, after, STEP_WRITES);
    if (rows.length === 0) return;
    context.view.noteReapplied();
    const writes = rows.map((row) => compileCommands(row.commands, row.stamp));
    const result = await cache.apply({ generation, moves: [], writes, floor: NO_STAMP, nowMs: runtime.nowMs() });
    if (!result.moved) throw cacheWentBack(lane);
    for (const [at, row] of rows.entries()) {
      after = row.id;
      // With the same mark the cache may well have it, and have forgotten it for something newer; with an older one it has not.
      if (result.outcomes[at] !== 'late' || row.cacheSeq === mark.seq) continue;
      const message = 'it was retried, but the cache came back from an older copy and holds it for late; compare the key in both rooms';
      await book.parkAgain(row, { code: 'WRITE_LATE', message, nowMs: runtime.nowMs() });
      logger.error({ position: formatPosition(row.position), code: 'WRITE_LATE' }, 'a write request that was retried is parked again');
    }
  }
}

/** Of a lane that this room does not take frames of: nothing where the cache knows nothing of it. */
export async function applyDerivedAgain(context: Context, lane: Lane): Promise<void> {
  const { mark } = await cacheMark(context, { ...lane, epoch: '' });
  if (mark.epoch !== '') await applyAgain(context, mark);
}
