/** Numbers under increments. */
import type { Increment } from './cell.ts';

const INTEGER = /^(?:0|-?[1-9]\d*)$/;

/**
 * A register's value under its increments, which are in version order. Integers are exact and do not wrap at 64 bits, since wrapping would
 * make the refusal of an overflow depend on the order; what is no integer counts as 0, also where a store was damaged. Doubles are added one after the other, so that
 * every room rounds alike.
 */
export function foldIncrements(value: string | number | null, increments: readonly Increment[]): string | number | null {
  const first = increments[0];
  if (first === undefined) return value;
  if (typeof first.delta === 'number') {
    return increments.reduce((sum, { delta }) => sum + Number(delta), typeof value === 'number' ? value : 0) + 0;
  }
  const base = typeof value === 'string' ? integerOf(value) : 0n;
  return String(increments.reduce((sum, { delta }) => sum + integerOf(delta), base));
}

function integerOf(delta: string | number): bigint {
  return INTEGER.test(String(delta)) ? BigInt(delta) : 0n;
}
