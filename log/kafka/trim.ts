/** What of a log in Kafka may be removed, in pieces that are removed at once. */
import type { Seq } from '../../core/words.ts';
import { planTrim, type TrimRequest } from '../retention.ts';
import type { FrameIndex } from './frame-index.ts';

/** Of 256 frames or 4 MiB each: planning them holds nobody up for long. */
const STEPS_MAX = 64;

export interface Removal {
  /** By partition: the first seq that stays. */
  readonly before: ReadonlyMap<number, Seq>;
  readonly frames: number;
  readonly bytes: number;
}

/** Plans without removing; empty where nothing more may go. */
export function planRemoval(index: FrameIndex, request: TrimRequest): Removal {
  const plan = new Map<number, { readonly through: Seq; readonly bytes: number }>();
  let frames = 0;
  let bytes = 0;
  for (let steps = 0; steps < STEPS_MAX; steps += 1) {
    const step = planTrim(index.trimView(plan), request);
    if (step === undefined) break;
    plan.set(step.partition, { through: step.through, bytes: step.bytes + (plan.get(step.partition)?.bytes ?? 0) });
    frames += step.frames;
    bytes += step.bytes;
  }
  return { before: new Map([...plan].map(([partition, { through }]) => [partition, through + 1])), frames, bytes };
}
