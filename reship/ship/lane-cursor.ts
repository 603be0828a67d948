/** Where one session stands in one lane, and the errors that end a lane without ending the session. */
import type { WmbError } from '../../core/errors.ts';
import type { LogName, Seq } from '../../core/words.ts';
import type { Downward, Upward } from '../../link/link.ts';
import type { LogReader } from '../../log/log.ts';

export interface LaneCursor {
  readonly reader: LogReader;
  readonly partition: number;
  next: Seq;
  /** Frames below it are history: the peer has them already. */
  readonly liveFrom: Seq;
  /** Bytes that the peer still takes. Below zero where the last frame was larger than what was left. */
  creditBytes: number;
  /** On the list of lanes to look at. */
  ready: boolean;
  halted: boolean;
}

type Resume = Extract<Upward, { type: 'resume' }>;
type Gap = Extract<Downward, { type: 'gap' }>;

/** Why a lane cannot resume as asked, or undefined when it can. */
export function resumeGap(reader: LogReader, resume: Resume): Gap | undefined {
  const { log, partition, after } = resume;
  const { first, next } = reader.extent(partition);
  const gap = (missingFrom: Seq, missingTo: Seq, why: string) =>
    gapOf({ log, partition, missingFrom, missingTo }, `${reader.origin}.${log}/${partition}: ${why}`);
  if (resume.epoch !== reader.epoch) {
    return gap(0, after, `the mark is at seq ${after} of log epoch ${resume.epoch}, but the log was made anew as epoch ${reader.epoch}`);
  }
  if (after + 1 < first)
    return gap(after + 1, first - 1, `frames ${after + 1} to ${first - 1} are no longer in the log, which begins at ${first}`);
  if (after >= next)
    return gap(next, after, `the mark is at seq ${after}, but the log ends at ${next - 1}: frames ${next} to ${after} were lost`);
  return undefined;
}

/** The gap message for a read that failed with LOG_GAP or LOG_CORRUPT at `cursor`. */
export function readGap(cursor: LaneCursor, error: WmbError): Gap {
  const { reader, partition, next } = cursor;
  const { first } = reader.extent(partition);
  const lane = { log: reader.log, partition };
  if (error.code === 'LOG_CORRUPT')
    return { ...gapOf({ ...lane, missingFrom: next, missingTo: next }, error.message), code: 'LOG_CORRUPT' };
  return gapOf({ ...lane, missingFrom: next, missingTo: Math.max(next, first - 1) }, error.message);
}

function gapOf(range: { log: LogName; partition: number; missingFrom: Seq; missingTo: Seq }, message: string): Gap {
  return { type: 'gap', code: 'LOG_GAP', ...range, message };
}
