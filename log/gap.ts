/** The one way in which every log adapter says that frames are missing (invariant I4). */
import { WmbError } from '../core/errors.ts';
import type { LogEpoch, LogName, RoomId, Seq } from '../core/words.ts';

/** A reader asked for `from`; the log has `first` to `next - 1`. The message names the missing range. */
export function gapError(
  log: { readonly log: LogName; readonly origin: RoomId; readonly epoch: LogEpoch },
  asked: { readonly partition: number; readonly from: Seq; readonly first: Seq; readonly next: Seq },
): WmbError {
  const { partition, from, first, next } = asked;
  const lane = `${log.log}/${log.origin}/${partition}@${log.epoch}`;
  if (from > next) {
    return new WmbError(
      'LOG_GAP',
      `${lane}: frames ${next} to ${from - 1} are missing: the log ends before ${next}, as after a lost tail or a restore`,
    );
  }
  return new WmbError('LOG_GAP', `${lane}: frames ${from} to ${first - 1} are missing; ${holds(first, next)}`);
}

function holds(first: Seq, next: Seq): string {
  return first < next ? `the log holds ${first} to ${next - 1}` : `the log holds nothing before ${next}`;
}
