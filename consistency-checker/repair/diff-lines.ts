/** What a repair would change, a line each: `- user:7.unread = (nothing)`, `+ user:7.unread = 12`. */
import type { ElementDifference } from '../drift.ts';
import { dateTime, plainText } from '../report/phrases.ts';

const ELEMENTS_MAX = 20;

/** `changes`: before and after, in the order of their versions and values. */
export function diffLines(
  key: string,
  changes: readonly { readonly difference: ElementDifference; readonly part: 'element' | 'expiry' | 'whole' }[],
  nowMs: number,
): readonly string[] {
  const lines = changes.slice(0, ELEMENTS_MAX).flatMap(({ difference, part }) => {
    const name = part === 'element' && difference.name !== '' ? `${plainText(key)}.${plainText(difference.name)}` : plainText(key);
    return ([0, 1] as const).map((side) => `${side === 0 ? '-' : '+'} ${name} ${textOf(difference, { part, side, nowMs })}`);
  });
  const more = changes.length - ELEMENTS_MAX;
  return more > 0 ? [...lines, `… and ${more} more elements`] : lines;
}

function textOf(
  { versions, values }: ElementDifference,
  at: { readonly part: string; readonly side: 0 | 1; readonly nowMs: number },
): string {
  const value = values[at.side];
  if (at.part === 'expiry') return expiryText(value);
  if (value === null) return '= (nothing)';
  // Where only versions change, both lines would read the same.
  const version =
    values[0] === values[1] ? ` (${versions[at.side] === '' ? 'no version' : `version ${plainText(versions[at.side])}`})` : '';
  return `= ${value === '' ? '(there)' : plainText(value)}${version}`;
}

function expiryText(value: string | null): string {
  const match = /^(expires|expired) at (\d+)$/.exec(value ?? '');
  if (match === null) return 'expires never';
  return `${match[1]} at ${dateTime(Number(match[2]))}`;
}
