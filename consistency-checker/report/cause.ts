/** What probably happened on the wrong side: from its receipt of the write request, from evidence, and from the other effects of the same frame. */
import type { RoomId } from '../../core/words.ts';
import type { ReceiptSide } from '../messages/sides.ts';
import { type Case, other } from './judge.ts';
import { isIncrement } from './parts.ts';
import { dateTime, moment, plural } from './phrases.ts';
import type { CauseFound, ElementVerdict, SideIndex } from './verdict.ts';
import type { Witnesses, WitnessStand } from './witnesses.ts';

export async function causeOf(of: Case, verdict: ElementVerdict, stand: WitnessStand): Promise<CauseFound> {
  const { wrong, write } = verdict;
  if (wrong === undefined) return { cause: 'unknown', text: evidence(of, 0) || evidence(of, 1) || 'nothing shows what happened' };
  const room = of.rooms[wrong];
  if (write === undefined) return withoutWrite(of, verdict, wrong);
  const isSum = verdict.effect !== undefined && isIncrement(verdict.effect);
  if (verdict.kind === 'value' && !isSum) {
    const seen = evidence(of, wrong) || 'no evidence of the moment is left';
    return {
      cause: 'behind-back',
      text: `a version and its value are written together, so the value was changed afterwards, directly in the store of ${room}; ${seen}`,
    };
  }
  const receipt = await of.sources.receipt(room, write.position);
  if (typeof receipt === 'string') return { cause: 'unknown', text: `the receipt of ${room} cannot be read: ${receipt}` };
  const said = receiptText(room, receipt, of.nowMs);
  if (receipt.outcome === 'parked') return { cause: 'parked', text: said };
  if (receipt.outcome === 'rejected') return { cause: 'given-up', text: `${said}: it was given up there` };
  if (receipt.outcome === 'duplicate') return { cause: 'duplicate-window', text: said };
  if (receipt.outcome === 'none') return { cause: 'unknown', text: `${said}, or keeps it no longer` };
  const witnesses = await stand.hear(write.position, { right: of.rooms[other(wrong)], wrong: room }, of.key);
  if (of.answers[wrong].changedBehindMs > 0 && !isFrameLost(witnesses))
    return { cause: 'behind-back', text: `${said}, and ${evidence(of, wrong)}: it was changed directly in the store` };
  return byWitnesses(of, verdict, { wrong, said, witnesses });
}

/** The evidence is about a bucket, and may be about another of its keys. Where nothing of the frame is there, and nobody has touched the rest of it, it is. */
function isFrameLost(witnesses: Witnesses | undefined): boolean {
  return witnesses !== undefined && witnesses.shown > 0 && witnesses.shared === 0 && witnesses.changed === 0;
}

function withoutWrite(of: Case, verdict: ElementVerdict, wrong: SideIndex): CauseFound {
  const seen = evidence(of, wrong);
  if (verdict.certain) {
    return {
      cause: 'behind-back',
      text: `no write request can have left ${of.rooms[wrong]} so: its store was changed directly${seen === '' ? '' : `; ${seen}`}`,
    };
  }
  if (seen !== '') return { cause: 'behind-back', text: `${seen}: its store was changed directly` };
  return { cause: 'unknown', text: `nothing shows what happened in ${of.rooms[wrong]}` };
}

interface Heard {
  readonly wrong: SideIndex;
  readonly said: string;
  readonly witnesses: Witnesses | undefined;
}

function byWitnesses(of: Case, { difference, effect }: ElementVerdict, { wrong, said, witnesses }: Heard): CauseFound {
  if (witnesses === undefined) return { cause: 'unknown', text: `${said}; the other effects of its frame cannot be asked for` };
  const { shown, shared } = witnesses;
  if (shown > 0 && shared === 0) {
    const others = `${plural(shown, 'other effect')} of the same frame ${shown === 1 ? 'is' : 'are'} missing there as well`;
    return { cause: 'missed-apply', text: `${said}, and ${others}: its effects were lost` };
  }
  if (shown > 0) {
    const others =
      shared === shown
        ? `${plural(shown, 'other effect')} of the same frame ${shown === 1 ? 'is' : 'are'} there`
        : `${shared} of ${shown} other effects of the same frame are there`;
    return {
      cause: 'behind-back',
      text: `${said}, and ${others}: it was applied, and the key was changed afterwards, directly in the store of ${of.rooms[wrong]}`,
    };
  }
  if (effect !== undefined && isIncrement(effect))
    return { cause: 'missed-apply', text: `${said}, and the sum there is without it: its effects were lost` };
  if (difference.versions[wrong] !== '' || difference.values[wrong] !== null) {
    return { cause: 'missed-apply', text: `${said}, and what stands there is older than it: its effects were lost` };
  }
  return {
    cause: 'unknown',
    text: `${said}; its frame has no other effects to judge by, so it was either never applied there (missed apply), or deleted in the store since`,
  };
}

/** Empty where there is none. */
function evidence({ answers, rooms }: Case, side: SideIndex): string {
  const { changedBehindMs } = answers[side];
  return changedBehindMs === 0
    ? ''
    : `what is stored in ${rooms[side]} was seen to change at ${dateTime(changedBehindMs)} without a write request`;
}

/** `guangzhou’s receipt says applied at 20:15:44.201`. */
export function receiptText(room: RoomId, { outcome, code, atMs, parkedMs, attempts }: ReceiptSide, nowMs: number): string {
  if (outcome === 'none') return `${room} has no receipt of it`;
  const since = outcome === 'parked' && parkedMs > 0 ? ` since ${moment(parkedMs, nowMs)}, tried ${plural(attempts, 'time')}` : '';
  const at = since === '' && atMs > 0 ? ` at ${moment(atMs, nowMs)}` : since;
  return `${room}'s receipt says ${outcome}${code === '' ? '' : ` (${code})`}${at}`;
}
