/** The checks that are made at every repair of a key (I9): it was as the checker had seen it, and what is newer than both rooms have passed is still there. */
import { type KeyState, stateDigest } from '../../core/converge/state.ts';
import type { CacheRepair, RepairOutcome } from '../../store/inspection.ts';
import { type Failure, failure } from './failure.ts';

export interface Repaired {
  readonly room: string;
  readonly repair: CacheRepair;
  readonly outcome: RepairOutcome | undefined;
  readonly before: KeyState | undefined;
  readonly after: KeyState | undefined;
}

export function checkRepair({ room, repair, outcome, before, after }: Repaired): Failure | undefined {
  const isOvertaken = stateDigest(before) !== repair.expected;
  if (isOvertaken && (outcome === 'repaired' || outcome === 'unchanged'))
    return failure(
      'I9',
      `a repair of ${repair.key} in ${room} is overtaken by what was written meanwhile`,
      `it was ${outcome} all the same: ${JSON.stringify(before)}`,
    );
  if (outcome !== 'repaired') {
    const isSame = stateDigest(before) === stateDigest(after);
    return isSame
      ? undefined
      : failure('I9', `a repair of ${repair.key} in ${room} that is ${outcome} changes nothing`, JSON.stringify(after));
  }
  if (repair.action === 'resend') return undefined;
  const lost = [...(before?.registers ?? []), ...(before?.increments ?? [])].find((it) => it.version > repair.upTo && !has(after, it));
  return (
    lost &&
    failure('I9', `a repair of ${repair.key} in ${room} leaves what is newer than ${repair.upTo}`, `it lost ${JSON.stringify(lost)}`)
  );
}

/** As it was, or under something newer: a type that has won kills up to the newest of the one before, that one included. */
function has(state: KeyState | undefined, { name, version }: { readonly name: string; readonly version: string }): boolean {
  if (state === undefined) return false;
  return (
    state.kill >= version ||
    isPushedOut(state, version) ||
    [...state.registers, ...state.increments].some((it) => it.name === name && it.version >= version)
  );
}

/** Of a timeline: a cap holds for it, and as many members as that are newer. The right side may have had them already where its lanes are ahead of the slowest. */
function isPushedOut({ caps, registers }: KeyState, version: string): boolean {
  const newer = registers.filter((it) => it.version > version).length;
  return caps.some((it) => it.version >= version && newer >= it.cap);
}
