/** How a write request that one room gave up, or has no receipt of, is made good: its effects that are still the winners on the right side, applied again. */
import { MemoryCell } from '../../core/converge/memory-cell.ts';
import { mend } from '../../core/converge/mend.ts';
import { cellOf, exportState, stateDigest } from '../../core/converge/state.ts';
import type { CacheRepair } from '../../store/inspection.ts';
import { elementDifferences } from '../cache/elements.ts';
import type { LostKey } from '../report/lost.ts';
import { partOf } from '../report/parts.ts';
import { plural } from '../report/phrases.ts';
import type { ReceiptVerdict } from '../report/receipt-verdict.ts';
import { diffLines } from './diff-lines.ts';
import { pooled, seenOf } from './passed.ts';

export interface LostPlan {
  /** One for each key. Empty: nothing can be done; `text` says why. */
  readonly repairs: readonly CacheRepair[];
  readonly diff: readonly string[];
  readonly text: string;
}

export function planLost({ lost, found, rooms, wrong, requestId }: ReceiptVerdict, nowMs: number): LostPlan {
  if (lost === undefined || found === undefined) {
    return {
      repairs: [],
      diff: [],
      text: 'its effects cannot be told now; where its keys differ, that is a drift of its own with a repair of its own',
    };
  }
  if (lost.keys.length === 0 || wrong === undefined) {
    return { repairs: [], diff: [], text: 'it has no effects on the cache; whether the database lacks it must be looked up there' };
  }
  const seen = seenOf(pooled(lost.horizons.right, lost.horizons.wrong));
  const repairs = lost.keys.map(
    ({ key, effects, wrong: answer }): CacheRepair => ({ action: 'resend', key, expected: stateDigest(answer.state), seen, effects }),
  );
  const effects = lost.keys.reduce((sum, each) => sum + each.effects.length, 0);
  const text = `applies ${plural(effects, 'effect')} of ${requestId || 'the write request'} on ${plural(lost.keys.length, 'key')} in ${rooms[wrong]} again, with ${effects === 1 ? 'its own version' : 'their own versions'}`;
  return { repairs, diff: lost.keys.flatMap((each, at) => changesOf(each, repairs[at], nowMs)), text };
}

function changesOf({ key, wrong: { state } }: LostKey, repair: CacheRepair | undefined, nowMs: number): readonly string[] {
  if (repair === undefined) return [];
  const cell = state === undefined ? new MemoryCell() : cellOf(state);
  mend(cell, repair, '');
  const after = exportState(key, cell);
  const changes = elementDifferences(state, after, nowMs).map((difference) => ({ difference, part: partOf(difference, [state, after]) }));
  return diffLines(key, changes, (after ?? state)?.type);
}
