/** Two receipts of one write request that differ, judged: which room is wrong, why, and what of it is still to be made good. */
import type { Effect } from '../../core/converge/effects.ts';
import { processesWrites } from '../../core/topology.ts';
import { formatPosition, type RoomId } from '../../core/words.ts';
import type { DriftKind } from '../drift.ts';
import type { ConfirmedReceipt } from '../messages/comparison.ts';
import type { ReceiptSide } from '../messages/sides.ts';
import type { FoundWrite } from '../room.ts';
import { receiptText } from './cause.ts';
import { type LostEffects, lostEffects } from './lost.ts';
import { plainText, plural, writeName } from './phrases.ts';
import type { Sources } from './sources.ts';
import type { CauseFound, SideIndex } from './verdict.ts';

export interface ReceiptVerdict {
  readonly confirmed: ConfirmedReceipt;
  readonly rooms: readonly [RoomId, RoomId];
  readonly kind: Extract<DriftKind, 'lost' | 'parked' | 'duplicated'>;
  readonly wrong: SideIndex | undefined;
  readonly why: string;
  readonly cause: CauseFound;
  /** Undefined: its origin's log does not have it any more, or is silent. */
  readonly found: FoundWrite | undefined;
  /** `lost` only; undefined: what its effects are cannot be told. */
  readonly lost: LostEffects | undefined;
  readonly requestId: string;
  /** Why nothing of it is to be made good, although the receipts differ; empty: something is, or that cannot be told. */
  readonly madeGood: string;
}

const REQUEST_LOOK_MS = 500;

/** Undefined: it is no drift, because the kind is not for one of the rooms. */
export async function judgeReceipt(confirmed: ConfirmedReceipt, peer: RoomId, sources: Sources): Promise<ReceiptVerdict | undefined> {
  const { own, runtime } = sources.options;
  const { mine, theirs } = confirmed;
  const found = await findAt(confirmed, sources);
  const requestId = found?.write.requestId ?? confirmed.requestId;
  const of: Subject = { confirmed, rooms: [own, peer], found, requestId, sides: [mine, theirs], nowMs: runtime.nowMs(), sources };
  const outcomes = [mine.outcome, theirs.outcome];
  if (outcomes.includes('parked')) return parked(of);
  if (isForeignKind(of)) return undefined;
  if (found === undefined && (await isBeyondFrame(of))) return miscounted(of);
  return outcomes.includes('duplicate') ? duplicated(of) : lost(of);
}

interface Subject extends Pick<ReceiptVerdict, 'confirmed' | 'rooms' | 'found' | 'requestId'> {
  readonly sides: readonly [ReceiptSide, ReceiptSide];
  readonly nowMs: number;
  readonly sources: Sources;
}

async function findAt({ position }: ConfirmedReceipt, { options }: Sources): Promise<FoundWrite | undefined> {
  try {
    return (await options.rooms(position.origin)?.findWrites({ by: 'position', positions: [position] }))?.[0];
  } catch {
    return undefined;
  }
}

/** Whether the log has the frame, and in it no such write request. */
async function isBeyondFrame({ confirmed: { position }, sources }: Subject): Promise<boolean> {
  if (position.index === 0) return false;
  const last = { ...position, index: position.index - 1 };
  const found = await sources.options
    .rooms(position.origin)
    ?.findWrites({ by: 'position', positions: [last, position] })
    .catch(() => []);
  return found?.length === 1 && formatPosition(found[0]?.position ?? position) === formatPosition(last);
}

/** Of two books that count a frame differently, the one that has more than the log. */
function miscounted(of: Subject): ReceiptVerdict {
  const wrong: SideIndex = of.sides[0].outcome === 'none' ? 1 : 0;
  const { origin, index } = of.confirmed.position;
  return {
    ...common(of),
    ...{ kind: 'lost', wrong, madeGood: 'nothing is to be repaired: there is no such write request, so nothing of it can be missing' },
    why: `the receipt book of ${of.rooms[wrong]} counts more write requests of the frame of ${formatPosition(of.confirmed.position)} than there are: the log of ${origin} has ${index}`,
    cause: {
      cause: 'behind-back',
      text: `${said(of, wrong)}, for what was never logged: the row of the frame was changed in the receipt book`,
    },
  };
}

function isForeignKind({ found, rooms, sources }: Subject): boolean {
  const handled = found && sources.options.topology.kinds[found.write.kind]?.rooms;
  return handled !== undefined && rooms.some((room) => !handled.includes(room));
}

function common(of: Subject): Pick<ReceiptVerdict, 'confirmed' | 'rooms' | 'found' | 'requestId' | 'lost' | 'madeGood'> {
  const { confirmed, rooms, found, requestId } = of;
  return { confirmed, rooms, found, requestId, lost: undefined, madeGood: '' };
}

function nameOf({ requestId, confirmed }: Subject): string {
  return writeName(requestId, confirmed.position);
}

function said(of: Subject, side: SideIndex): string {
  return receiptText(of.rooms[side], of.sides[side], of.nowMs);
}

/** Both rooms' checkers say the same, whichever of them looks. */
async function parked(of: Subject): Promise<ReceiptVerdict> {
  const [wrong, both] = whereParked(of);
  const other = wrong === 0 ? 1 : 0;
  const { code } = of.sides[wrong];
  const keys = await keysOf(of);
  const on = keys.length === 0 ? '' : `; it would change ${list(keys)}`;
  const there = both
    ? `, and in that of ${of.rooms[other]} as well, where it is to be retried too: \`wmb parked retry ${formatPosition(of.confirmed.position)} --room ${of.rooms[other]}\``
    : `; ${said(of, other)}`;
  return {
    ...common(of),
    ...{ kind: 'parked', wrong },
    why: `${nameOf(of)} waits in the parking lot of ${of.rooms[wrong]}${there}${on}`,
    cause: {
      cause: 'parked',
      text: `${said(of, wrong)}; until it is retried or discarded, later write requests of its key wait behind it${code === '' ? '' : ` (see \`wmb errors ${code}\`)`}`,
    },
  };
}

/**
 * In whose parking lot it waits, and whether it waits in both. A room that takes another one's effects only repeats the outcome: it has nothing that could be
 * retried there.
 */
function whereParked({ sides, rooms, sources: { options } }: Subject): readonly [wrong: SideIndex, both: boolean] {
  const saying = ([0, 1] as const).filter((side) => sides[side].outcome === 'parked');
  const holding = saying.filter((side) => sides[side].parkedMs > 0 || sides[side].attempts > 0);
  const processing = saying.filter((side) => processesWrites(options.topology, rooms[side]));
  const among = [holding, processing, saying].find((each) => each.length > 0) ?? [];
  const [first = 0] = [...among].sort((a, b) => (rooms[a] < rooms[b] ? -1 : 1));
  return [first, among.length === 2];
}

async function keysOf(of: Subject): Promise<readonly string[]> {
  const effects = await effectsOf(of);
  return [...new Set((effects ?? []).map(({ key }) => key))];
}

async function effectsOf({ found, sources }: Subject): Promise<readonly Effect[] | undefined> {
  if (found === undefined) return undefined;
  return (await sources.derive([found.write])).get(found.write.stamp)?.effects;
}

async function duplicated(of: Subject): Promise<ReceiptVerdict> {
  const took: SideIndex = of.sides[0].outcome === 'duplicate' ? 0 : 1;
  const applied: SideIndex = took === 0 ? 1 : 0;
  const earlier = await earlierOnes(of);
  const wrong = earlier === undefined ? undefined : earlier.length > 0 ? applied : took;
  const told =
    earlier === undefined
      ? `whether its request id was used before cannot be told`
      : earlier.length > 0
        ? `its request id was used before, at ${formatPosition(earlier.at(-1)?.position ?? of.confirmed.position)}, so ${of.rooms[applied]} should not have applied it`
        : `its request id was not used before, so ${of.rooms[took]} should have applied it`;
  return {
    ...common(of),
    ...{ kind: 'duplicated', wrong },
    why: `${of.rooms[took]} took ${nameOf(of)} for a duplicate, ${of.rooms[applied]} applied it; ${told}`,
    cause: {
      cause: 'duplicate-window',
      text: `${said(of, took)}, ${said(of, applied)}: the two rooms remembered different request ids when they took it`,
    },
  };
}

/** Write requests with the same id before this one in its partition; undefined: that cannot be told. */
async function earlierOnes({ requestId, confirmed: { position }, sources }: Subject): Promise<readonly FoundWrite[] | undefined> {
  if (requestId === '') return undefined;
  try {
    const found = await sources.options.rooms(position.origin)?.findWrites({ by: 'request', requestId, limitMs: REQUEST_LOOK_MS });
    const isBefore = (it: FoundWrite) =>
      it.position.seq < position.seq || (it.position.seq === position.seq && it.position.index < position.index);
    return found?.filter((it) => it.position.partition === position.partition && it.position.epoch === position.epoch && isBefore(it));
  } catch {
    return undefined;
  }
}

async function lost(of: Subject): Promise<ReceiptVerdict> {
  const isApplied = ({ outcome }: ReceiptSide) => outcome === 'applied' || outcome === 'superseded';
  const right: SideIndex = isApplied(of.sides[0]) ? 0 : 1;
  const wrong: SideIndex = right === 0 ? 1 : 0;
  const effects = await effectsOf(of);
  const views = [of.sources.options.rooms(of.rooms[0]), of.sources.options.rooms(of.rooms[1])] as const;
  const [rightView, wrongView] = [views[right], views[wrong]];
  const left =
    effects === undefined || rightView === undefined || wrongView === undefined
      ? undefined
      : await lostEffects(effects, { right: rightView, wrong: wrongView });
  const isMadeGood = effects !== undefined && effects.length > 0 && left?.keys.length === 0;
  const isAccepted = of.found === undefined && of.sides[wrong].code === 'LOG_GAP';
  return {
    ...common(of),
    ...{ kind: 'lost', wrong, lost: left, madeGood: isMadeGood ? EFFECTS_AGREE : isAccepted ? LOSS_ACCEPTED : '' },
    why: `${of.rooms[right]} applied ${nameOf(of)}, and ${of.rooms[wrong]} never did: ${said(of, wrong)}, although the marks of both rooms have passed it${whatIsMissing(left)}`,
    cause: causeOfLoss(of, wrong),
  };
}

const EFFECTS_AGREE =
  'nothing is to be repaired: its effects are there in both rooms, or have been overwritten since; only the receipts differ, and a receipt is never rewritten';

const LOSS_ACCEPTED =
  'nothing is to be repaired here: somebody accepted the loss of its frame (`wmb link skip`), and its log has it no more; where its keys differ, that is a drift of its own';

function whatIsMissing(left: LostEffects | undefined): string {
  if (left === undefined || left.keys.length === 0) return '';
  const effects = left.keys.reduce((sum, { effects: lacking }) => sum + lacking.length, 0);
  return `; ${plural(effects, 'effect')} of it ${effects === 1 ? 'is' : 'are'} missing there, on ${list(left.keys.map(({ key }) => key))}`;
}

function causeOfLoss(of: Subject, wrong: SideIndex): CauseFound {
  const room = of.rooms[wrong];
  const { outcome, code } = of.sides[wrong];
  if (code === 'LOG_GAP')
    return { cause: 'given-up', text: `${said(of, wrong)}: somebody accepted the loss of its frame in ${room} (\`wmb link skip\`)` };
  if (outcome === 'rejected')
    return {
      cause: 'given-up',
      text: `${said(of, wrong)}: it was discarded from the parking lot of ${room}, or its kind is passed over where it fails`,
    };
  return {
    cause: 'unknown',
    text: `${said(of, wrong)}: the frame was given up with an older log, or the receipt book of ${room} has lost it`,
  };
}

function list(keys: readonly string[]): string {
  const shown = keys.slice(0, 3).map((key) => plainText(key));
  return keys.length > shown.length ? `${shown.join(', ')} and ${plural(keys.length - shown.length, 'more key')}` : shown.join(', ');
}
