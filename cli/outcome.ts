/** Outcomes as the wire numbers them and people read them. */
import { OUTCOMES, type Outcome } from '../core/words.ts';
import { Outcome as WireOutcome } from '../proto/gen/wmb/v1/writes.ts';

/** Empty where it is not known. */
export function outcomeName(outcome: WireOutcome): Outcome | '' {
  return OUTCOMES.find((name) => WireOutcome[`OUTCOME_${name.toUpperCase() as Uppercase<Outcome>}`] === outcome) ?? '';
}
