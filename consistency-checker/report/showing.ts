/** What each side shows of a part and who made it, in words. */
import { stampMs } from '../../core/stamp.ts';
import type { ElementDifference } from '../drift.ts';
import type { Part } from './parts.ts';
import { deed, moment, plainText, writeName } from './phrases.ts';
import type { Finding } from './sources.ts';
import type { ElementVerdict, SideIndex } from './verdict.ts';

/** `field unread of user:7 as 3`, `no field …`, `an expiry at …`. */
export function showing(
  at: { readonly difference: ElementDifference; readonly part: Part; readonly name: string; readonly nowMs: number },
  side: SideIndex,
): string {
  const value = at.difference.values[side];
  if (at.part === 'expiry') return `${expiryWords(value, at.nowMs)} for ${at.name.replace(/^the expiry of /, '')}`;
  if (value === null) return `no ${at.name}`.replace(/^no (?!field|member)/, 'nothing of ');
  return value === '' && at.part === 'element' ? at.name : `${at.name} as ${plainText(value) || '""'}`;
}

function expiryWords(value: string | null, nowMs: number): string {
  const [, , ms] = /^(expires|expired) at (\d+)$/.exec(value ?? '') ?? [];
  if (ms === undefined) return 'no expiry';
  return `${value?.startsWith('expired') ? 'an expiry that has passed,' : 'an expiry'} at ${moment(Number(ms), nowMs)}`;
}

/** `write request w-17 (…) set it to 12 at 20:15:44.123`. */
export function whoMade({ write, effect }: Pick<ElementVerdict, 'write' | 'effect'>, nowMs: number): string {
  if (write === undefined || effect === undefined) return 'no write request says so';
  return `${writeName(write.write.requestId, write.position)} ${deed(effect, nowMs)} at ${moment(stampMs(effect.version), nowMs)}`;
}

/** The write request exists, and what it does now is not what is shown. */
export function notMade(at: { readonly key: string }, finding: Finding): string {
  if (finding.status !== 'found') return '';
  const name = writeName(finding.found.write.requestId, finding.found.position);
  if (finding.effects === undefined) return `${name} has its stamp, but what it does cannot be told: ${finding.error}`;
  const touches = finding.effects.some(({ key }) => key === at.key);
  return `${name} has its stamp, but does not ${touches ? 'make this of it' : 'touch this key'} as the processors are now`;
}
