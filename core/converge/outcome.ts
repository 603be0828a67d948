/** What became of a write request, from what became of its effects. */
import type { EffectResult } from './cell.ts';

/**
 * The effects of a write request share its stamp, so the floor covers all of them or none. One that is there in exactly this version proves that
 * the request was applied before, even where others of its effects have been overwritten or forgotten since.
 */
export function outcomeOf(results: readonly EffectResult[]): EffectResult {
  if (results.length === 0) return 'applied';
  for (const result of ORDER) if (results.includes(result)) return result;
  return 'applied';
}

const ORDER: readonly EffectResult[] = ['applied', 'duplicate', 'late', 'superseded'];
