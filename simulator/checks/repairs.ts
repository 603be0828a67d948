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
  if (outcome !== 'repaired') {
    const isSame = stateDigest(before) === stateDigest(after);
    return isSame
      ? undefined
      : failure('I9', `a repair of ${repair.key} in ${room} that is ${outcome} changes nothing`, JSON.stringify(after));
  }
  if (stateDigest(before) !== repair.expected)
    return failure(
      'I9',
      `a repair of ${repair.key} in ${room} is overtaken by what was written meanwhile`,
      `it was done all the same: ${JSON.stringify(before)}`,
    );
  if (repair.action === 'resend') return undefined;
  const lost = [...(before?.registers ?? []), ...(before?.increments ?? [])].find((it) => it.version > repair.upTo && !has(after, it));
  return (
    lost &&
    failure('I9', `a repair of ${repair.key} in ${room} leaves what is newer than ${repair.upTo}`, `it lost ${JSON.stringify(lost)}`)
  );
}

/** As it was, or under something newer. */
function has(state: KeyState | undefined, { name, version }: { readonly name: string; readonly version: string }): boolean {
  if (state === undefined) return false;
  return state.kill > version || [...state.registers, ...state.increments].some((it) => it.name === name && it.version >= version);
}
