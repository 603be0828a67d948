/** What a repair would change, a line each: `- user:7.unread = (nothing)`, `+ user:7.unread = 12`. */
import type { KeyState } from '../../core/converge/state.ts';
import type { ElementDifference } from '../drift.ts';
import type { Part } from '../report/parts.ts';
import { dateTime, plainText } from '../report/phrases.ts';

const ELEMENTS_MAX = 20;

/** Of the type `type`, or that it has afterwards; `changes`: before and after, in the order of their versions and values. */
export function diffLines(
  key: string,
  changes: readonly { readonly difference: ElementDifference; readonly part: Part }[],
  type: KeyState['type'] | undefined,
): readonly string[] {
  const hasMembers = type === 'set' || type === 'timeline';
  const lines = changes.slice(0, ELEMENTS_MAX).flatMap(({ difference, part }) => {
    const name = part === 'element' && type !== 'string' ? `${plainText(key)}.${plainText(difference.name)}` : plainText(key);
    const text = (side: 0 | 1) =>
      part === 'expiry' ? expiryText(difference.values[side]) : `= ${valueText(difference, side, hasMembers)}`;
    return [`- ${name} ${text(0)}`, `+ ${name} ${text(1)}`];
  });
  const more = changes.length - ELEMENTS_MAX;
  return more > 0 ? [...lines, `… and ${more} more elements`] : lines;
}

function valueText({ versions, values }: ElementDifference, side: 0 | 1, hasMembers: boolean): string {
  const value = values[side];
  if (value === null) return '(nothing)';
  const shown = value === '' ? (hasMembers ? '(member)' : '""') : plainText(value);
  // Where only versions change, both lines would read the same.
  if (values[0] !== values[1]) return shown;
  return `${shown} (${versions[side] === '' ? 'no version' : `version ${plainText(versions[side])}`})`;
}

function expiryText(value: string | null): string {
  const match = /^(expires|expired) at (\d+)$/.exec(value ?? '');
  return match === null ? 'expires never' : `${match[1]} at ${dateTime(Number(match[2]))}`;
}
