/**
 * Entries of the effect log: what the master's processor made of one write request. An entry is a write request itself, with the
 * stamp, request id and key of its source, the kind `wmb.effects`, and this JSON as payload. The entries of one frame of the source
 * follow each other in its order, and the final one says `last`: with it the source's derived mark moves. An entry without
 * `last` after that changes what was said of one write request (a retry from the parking lot).
 */
import type { ErrorCode } from '../../core/errors.ts';
import { WmbError } from '../../core/errors.ts';
import { isStamp, NO_STAMP, type Stamp } from '../../core/stamp.ts';
import type { LogEpoch, Outcome, RoomId, Seq, StampedWrite } from '../../core/words.ts';
import { OUTCOMES } from '../../core/words.ts';

export const EFFECTS_KIND = 'wmb.effects';

export interface EffectSource {
  readonly origin: RoomId;
  readonly partition: number;
  readonly epoch: LogEpoch;
  readonly seq: Seq;
  readonly index: number;
}

export interface EffectEntry {
  readonly source: EffectSource;
  /** `applied` means that the commands are to be applied; the slave's own cache says whether they were superseded. */
  readonly outcome: Outcome;
  readonly code: ErrorCode | '';
  readonly commands: readonly (readonly string[])[];
  readonly last: boolean;
  /** Of the source's frame, where it is the last entry: see FrameHeader. The entry's own stamp where it is left out. */
  readonly through?: Stamp;
}

export function entryWrite(source: StampedWrite, entry: EffectEntry): StampedWrite {
  const { code, commands, last, through } = entry;
  const payload = JSON.stringify({
    source: entry.source,
    outcome: entry.outcome,
    ...(code === '' ? {} : { code }),
    ...(commands.length === 0 ? {} : { commands }),
    ...(last ? { last } : {}),
    ...(through === undefined || through === source.stamp ? {} : { through }),
  });
  return {
    requestId: source.requestId,
    kind: EFFECTS_KIND,
    key: source.key,
    trace: source.trace,
    stamp: source.stamp,
    payload: Buffer.from(payload),
  };
}

/** FRAME_CORRUPT where it is not an entry; `where` names it. */
export function parseEntry(write: StampedWrite, where: string): EffectEntry {
  const wrong = (what: string) => new WmbError('FRAME_CORRUPT', `${where} is not an entry of an effect log: ${what}`);
  if (write.kind !== EFFECTS_KIND) throw wrong(`its kind is “${write.kind}”`);
  let parsed: Partial<EffectEntry>;
  try {
    parsed = JSON.parse(Buffer.from(write.payload).toString('utf8')) as Partial<EffectEntry>;
  } catch {
    throw wrong('its payload is not JSON');
  }
  const { source, outcome, code = '', commands = [], last = false, through = write.stamp } = parsed;
  if (source === undefined || typeof source.origin !== 'string' || !Number.isSafeInteger(source.seq) || !Number.isSafeInteger(source.index))
    throw wrong('it names no source');
  if (outcome === undefined || !OUTCOMES.includes(outcome)) throw wrong('it has no outcome');
  if (through !== NO_STAMP && !isStamp(through)) throw wrong('what it is settled through is no stamp');
  return { source, outcome, code, commands, last, through };
}
