/** Takes one lane over a gap, or says what that would lose. */
import { asWmbError, WmbError } from '../../core/errors.ts';
import type { Logger } from '../../core/logger.ts';
import { laneKey } from '../../core/words.ts';
import type { SkippedLane } from '../../proto/gen/wmb/v1/admin.ts';
import type { LaneConsumer } from '../lane.ts';
import type { LaneLink } from './lane-link.ts';

/** A lane that cannot be skipped says so in its answer, and stays stopped. */
export async function skipGap(
  lane: LaneLink,
  consumer: LaneConsumer,
  options: { readonly confirmed: boolean; readonly logger: Logger },
): Promise<SkippedLane> {
  const { log, partition } = lane.lane;
  const gap = lane.stoppedOn;
  const { reason, epoch } = lane.status();
  try {
    if (gap === undefined || consumer.skipGap === undefined)
      throw new WmbError('LOG_GAP', `it has not stopped on missing frames: ${reason}`);
    const { from, to, writes, next, epoch: missingEpoch } = await consumer.skipGap(gap, options.confirmed);
    const missing = { epoch: missingEpoch, missingFrom: from, missingTo: to, writes, nextEpoch: next.epoch, nextSeq: next.seq };
    if (options.confirmed) {
      options.logger.warn(
        { lane: laneKey(lane.lane), ...missing, reason },
        'frames were given up by an operator: their write requests are rejected',
      );
      lane.unpause('an operator gave up what is missing');
    }
    return { log, partition, reason, refused: '', ...missing };
  } catch (cause) {
    const { code, message } = asWmbError(cause);
    const refused = code === 'LOG_GAP' ? message : `${code}: ${message}`;
    return { log, partition, reason, refused, epoch, missingFrom: 0, nextEpoch: '', nextSeq: 0 };
  }
}
