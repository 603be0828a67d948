/**
 * Which side is wrong about one part of a key. A majority of two does not exist, so it goes to the source: the version that differs names the write request that made it.
 *
 * - That write request exists and made it: the side that does not show it is wrong. Unless that side shows nothing at all, or no expiry: rooms forget deletes, and the
 *   other side may be the one that missed it. Then all that the write logs have of the key says what is right, and where they do not go back far enough, nobody does.
 * - No write request has that version: the side that shows it is wrong.
 * - It cannot be told: evidence that one side was changed behind WMB's back, then a third room, then the greater version.
 */
import type { Horizon } from '../../core/inspection.ts';
import { STAMP_DIGITS, stampMs, type Version } from '../../core/stamp.ts';
import type { RoomId } from '../../core/words.ts';
import type { ElementDifference } from '../drift.ts';
import type { StateAnswer } from '../room.ts';
import { byDamage } from './damage.ts';
import type { KeyHistories, KeyHistory } from './key-history.ts';
import { lostCount } from './lost-count.ts';
import { expectedOf, standing, takerOf } from './oracle.ts';
import { isIncrement, lackedIncrements, type Part, partName, partOf, type States, shownBy, speaksOf } from './parts.ts';
import { dateTime, plainText, plural } from './phrases.ts';
import { notMade, showing, whoMade } from './showing.ts';
import type { Finding, Findings, Sources } from './sources.ts';
import { thirdRooms, type Vote } from './third-rooms.ts';
import type { ElementVerdict, SideIndex } from './verdict.ts';
import type { WitnessStand } from './witnesses.ts';

const VERSION = /^[0-9a-f]{28}$/;

export interface Case {
  readonly key: string;
  readonly rooms: readonly [RoomId, RoomId];
  readonly answers: readonly [StateAnswer, StateAnswer];
  readonly nowMs: number;
  /** By version; every version of the differences is in it. */
  readonly findings: Findings;
  readonly sources: Sources;
  readonly horizons: readonly [Horizon, Horizon];
  readonly histories: KeyHistories;
  readonly witnesses: WitnessStand;
}

export async function judge(of: Case, difference: ElementDifference): Promise<ElementVerdict> {
  const { versions, values } = difference;
  const part = partOf(difference, statesOf(of));
  const at: Subject = { ...of, difference, part, name: partName(of.key, difference.name, part, statesOf(of)) };
  const damage = byDamage(at, statesOf(of));
  if (damage !== undefined) return damage;
  const malformed = ([0, 1] as const).filter((side) => part !== 'expiry' && values[side] !== null && !VERSION.test(versions[side]));
  if (malformed.length > 0) return withoutVersion(at, malformed);
  const count = await judgeCounts(at);
  if (count !== undefined) return count;
  if (versions[0] === versions[1]) return await sameVersion(at);
  const greater: SideIndex = versions[0] > versions[1] ? 0 : 1;
  const finding = findingAt(at, versions[greater]);
  const effect = effectOf(at, finding, versions[greater]);
  if (isForgetful(at)) {
    const told = await byLogs(at);
    if (told !== undefined && (told.wrong === greater || effect === undefined)) return told;
  }
  if (finding.status === 'found' && effect !== undefined) {
    const { found } = finding;
    if (values[1 - greater] === null && versions[1 - greater] === '') return await absent(at, greater, { found, effect });
    return genuine(at, greater, { write: found, effect });
  }
  if (finding.status === 'none') return forged(at, greater, finding.reason);
  const reason = finding.status === 'unknown' ? finding.reason : notMade(at, finding);
  const isGone = values[other(greater)] === null && versions[other(greater)] === '';
  const isNewer = !isGone && !isNobodys(at, versions[greater]) && !isOthers(at, greater);
  return await weigh(at, greater, reason, isNewer ? greater : undefined);
}

interface Subject extends Case {
  readonly difference: ElementDifference;
  readonly part: Part;
  /** `field unread of user:7`. */
  readonly name: string;
}

function statesOf({ answers }: Case): States {
  return [answers[0].state, answers[1].state];
}

function findingAt({ findings }: Case, version: Version): Finding {
  return findings.get(version) ?? { status: 'unknown', reason: 'it was not looked for' };
}

function effectOf({ key, part, difference }: Subject, finding: Finding, version: Version) {
  if (finding.status !== 'found') return undefined;
  return finding.effects?.find((it) => it.version === version && it.key === key && speaksOf(it, part, difference.name));
}

/** The topology has no room that can have given it. */
function isNobodys({ sources }: Case, version: Version): boolean {
  return !VERSION.test(version) || sources.originOf(version) === undefined;
}

/** The write request with the version made something else, and what the processors make of the other side's shows that they are still the same. */
function isOthers(at: Subject, side: SideIndex): boolean {
  const [own, others] = [at.difference.versions[side], at.difference.versions[other(side)]];
  const finding = findingAt(at, own);
  if (finding.status !== 'found' || finding.effects === undefined) return false;
  return others === '' || effectOf(at, findingAt(at, others), others) !== undefined;
}

/** Versions do not tell: one side may have forgotten what took the expiry, or the key, away. */
function isForgetful({ part, difference: { versions }, ...at }: Subject): boolean {
  if (part !== 'element') return versions.includes('') || versions.some((version) => isNobodys({ ...at }, version));
  return versions.some((version) => version !== '' && isNobodys({ ...at }, version));
}

// ── decided by the source ──

function genuine(
  at: Subject,
  right: SideIndex,
  by: { readonly write: ElementVerdict['write']; readonly effect: ElementVerdict['effect'] },
): ElementVerdict {
  const wrong = other(right);
  const made = by.effect && shownBy(by.effect, at.part);
  // A moment that has passed reads otherwise, and is the same.
  const shown = at.difference.values[right]?.replace(at.part === 'expiry' ? /^expired/ : /^$/, 'expires') ?? null;
  const contradicted = made !== undefined && made !== (at.part === 'expiry' ? shown : at.difference.values[right]);
  const note = contradicted ? `, and ${at.rooms[right]} does not show that either, but ${showing(at, right)}` : '';
  return {
    ...by,
    ...{ difference: at.difference, part: at.part, wrong, kind: kindOf(at, wrong), certain: true, contradicted },
    why: `${at.rooms[wrong]} shows ${showing(at, wrong)}; ${whoMade(by, at.nowMs)}${note}`,
  };
}

/**
 * The side with the greater version shows a genuine value, the other has nothing at all: a delete that it has forgotten would look the same. So a delete is looked for
 * first, whatever else speaks for a loss: a room may have been tampered with, or keep no receipt any more, and have deleted it all the same.
 */
async function absent(at: Subject, showingSide: SideIndex, { found, effect }: Found): Promise<ElementVerdict> {
  const lacking = other(showingSide);
  const by = { write: found, effect };
  const { name } = at.difference;
  const history = await historyIn(at, lacking);
  const deeds = history?.deeds ?? [];
  const stands = standing([effect, ...deeds.map((deed) => deed.effect)], name, at.nowMs);
  const taker = takerOf(effect, deeds, { name, nowMs: at.nowMs });
  // Without another it came with its own expiry.
  if (stands === undefined) return missedDelete(at, lacking, taker ?? by);
  const isComplete = history !== undefined && history.above <= effect.version;
  if (isComplete && stands !== undefined && stands > effect.version && !isIncrement(effect)) return neither(at, by, deeds, stands);
  if (isComplete || (await isLost(at, showingSide, by))) return genuine(at, showingSide, by);
  const looked = history === undefined ? '' : `: among the newest ${plural(history.looked, 'write request')} there is none that did`;
  const unsure = `${whoMade(by, at.nowMs)}; whether a later write request deleted it cannot be told for certain${looked}`;
  const vote = await thirdRooms(at);
  return vote === undefined ? undecided(at, unsure) : byThird(at, vote, unsure);
}

async function historyIn(at: Subject, side: SideIndex): Promise<KeyHistory | undefined> {
  const view = at.sources.options.rooms(at.rooms[side]);
  return view && (await at.histories.of({ key: at.key, horizons: at.horizons }, view));
}

/** What is shown was written over since, and the other room has nothing of that either. */
function neither(
  at: Subject,
  by: { readonly write: Found['found']; readonly effect: Found['effect'] },
  deeds: KeyHistory['deeds'],
  version: Version,
) {
  const { write, effect } = deeds.find((deed) => deed.effect.version === version) ?? by;
  const shows = ([0, 1] as const).map((side) => `${at.rooms[side]} shows ${showing(at, side)}`).join(', ');
  const why = `neither room shows what ${whoMade({ write, effect }, at.nowMs)}: ${shows}`;
  return {
    difference: at.difference,
    part: at.part,
    wrong: undefined,
    kind: 'value' as const,
    certain: false,
    contradicted: true,
    write,
    effect,
    why,
  };
}

/**
 * By everything that was ever done to the key, in either room: what is parked in one of them is missing there, and says nothing against the other. Undefined: the write logs
 * do not have all of it, or both sides are as good.
 */
async function byLogs(at: Subject): Promise<ElementVerdict | undefined> {
  const deeds = await deedsInEither(at);
  if (deeds === undefined) return undefined;
  const { matches } = expectedOf(deeds, { ...at, states: statesOf(at), topology: at.sources.options.topology });
  if (matches[0] === matches[1]) return undefined;
  const wrong: SideIndex = matches[0] ? 1 : 0;
  const last = deeds.findLast(({ effect }) => speaksOf(effect, at.part, at.difference.name));
  const by = { write: last?.write, effect: last?.effect };
  const shown = `${at.rooms[wrong]} shows ${showing(at, wrong)}; after all that the write logs have of ${plainText(at.key)} it is ${showing(at, other(wrong))}`;
  const why = last === undefined ? shown : `${shown}: ${whoMade(by, at.nowMs)}`;
  return { ...by, difference: at.difference, part: at.part, wrong, kind: kindOf(at, wrong), certain: true, why };
}

/** In the order of their versions. Undefined: not all are known, or there is none. */
async function deedsInEither(at: Subject): Promise<KeyHistory['deeds'] | undefined> {
  const deeds = new Map<Version, KeyHistory['deeds'][number]>();
  for (const side of [0, 1] as const) {
    const history = await historyIn(at, side);
    if (history === undefined || history.above !== '') return undefined;
    for (const deed of history.deeds) deeds.set(deed.effect.version, deed);
  }
  if (deeds.size === 0) return undefined;
  return [...deeds.values()].sort((a, b) => (a.effect.version < b.effect.version ? -1 : 1));
}

/** What the lacking side lacks was never applied there, or was taken out of its store since. */
async function isLost(
  { answers, rooms, sources, witnesses, key }: Subject,
  showingSide: SideIndex,
  { write, effect }: { readonly write: Found['found']; readonly effect: Found['effect'] },
): Promise<boolean> {
  const [right, wrong] = [rooms[showingSide], rooms[other(showingSide)]];
  const { changedBehindMs } = answers[other(showingSide)];
  if (changedBehindMs >= stampMs(effect.version) && answers[showingSide].changedBehindMs === 0) return true;
  const receipt = await sources.receipt(wrong, write.position);
  if (typeof receipt !== 'string' && UNDONE.includes(receipt.outcome)) return true;
  const heard = await witnesses.hear(write.position, { right, wrong }, key);
  return heard !== undefined && heard.shown > 0 && heard.shared === 0;
}

/** A room that has no receipt may have done it long ago. */
const UNDONE: readonly string[] = ['parked', 'rejected', 'duplicate'];

type Found = { readonly found: NonNullable<ElementVerdict['write']>; readonly effect: NonNullable<ElementVerdict['effect']> };

function missedDelete(
  at: Subject,
  right: SideIndex,
  { write, effect }: { readonly write: NonNullable<ElementVerdict['write']>; readonly effect: NonNullable<ElementVerdict['effect']> },
): ElementVerdict {
  const wrong = other(right);
  return {
    ...{ difference: at.difference, part: at.part, wrong, kind: at.part === 'expiry' ? 'stale' : 'extra', certain: true, write, effect },
    why: `${at.rooms[wrong]} still shows ${showing(at, wrong)}; ${whoMade({ write, effect }, at.nowMs)}, and ${at.rooms[right]} shows it no more`,
  };
}

function forged(at: Subject, wrong: SideIndex, reason: string): ElementVerdict {
  const isDeleted = at.difference.values[wrong] === null;
  return {
    ...{
      difference: at.difference,
      part: at.part,
      wrong,
      kind: isDeleted ? 'missing' : 'extra',
      certain: true,
      write: undefined,
      effect: undefined,
    },
    why: `${at.rooms[wrong]} shows ${showing(at, wrong)}, which no write request made: ${reason}`,
  };
}

function withoutVersion(at: Subject, malformed: readonly SideIndex[]): ElementVerdict {
  const [first] = malformed;
  const wrong = malformed.length === 1 ? first : undefined;
  const common = { difference: at.difference, part: at.part, write: undefined, effect: undefined, certain: wrong !== undefined };
  if (wrong === undefined)
    return { ...common, wrong, kind: 'value', why: `both rooms show ${at.name} without a version: its metadata is lost in both` };
  const version = plainText(at.difference.versions[wrong]);
  const what = version === '' ? 'has lost its version' : `has “${version}” for a version, which is none`;
  const kind = at.difference.values[other(wrong)] === null ? 'extra' : 'stale';
  return {
    ...common,
    wrong,
    kind,
    why: `${at.rooms[wrong]} shows ${showing(at, wrong)}, but it ${what}: no write request can have left it so`,
  };
}

// ── the same version, another value ──

async function sameVersion(at: Subject): Promise<ElementVerdict> {
  // What it was set to may have expired since.
  const told = at.difference.values.includes(null) ? await byLogs(at) : undefined;
  if (told !== undefined) return told;
  const [version] = at.difference.versions;
  const finding = findingAt(at, version);
  const effect = effectOf(at, finding, version);
  const made = effect === undefined ? undefined : shownBy(effect, at.part);
  const both = `both rooms show the same version of ${at.name}, with different values`;
  const lost = finding.status === 'found' ? lostCount(at, statesOf(at), { write: finding.found, effect }) : undefined;
  if (lost !== undefined) return lost;
  if (finding.status !== 'found' || effect === undefined || made === undefined) {
    const reason =
      finding.status === 'none' || finding.status === 'unknown'
        ? finding.reason
        : effect === undefined
          ? notMade(at, finding)
          : `it is a sum, of which ${whoMade({ write: finding.found, effect }, at.nowMs)} says a part only`;
    return await weigh(at, undefined, `${both}; ${reason}`, undefined);
  }
  const by = { write: finding.found, effect };
  const wrongs = ([0, 1] as const).filter((side) => at.difference.values[side] !== made);
  const wrong = wrongs.length === 1 ? wrongs[0] : undefined;
  const common = { ...by, difference: at.difference, part: at.part, kind: 'value' as const, certain: wrong !== undefined };
  if (wrong !== undefined)
    return {
      ...common,
      wrong,
      why: `${at.rooms[wrong]} shows ${showing(at, wrong)}; ${whoMade(by, at.nowMs)}, and ${at.rooms[other(wrong)]} shows that`,
    };
  const shows = ([0, 1] as const).map((side) => `${at.rooms[side]} shows ${showing(at, side)}`).join(', ');
  return { ...common, wrong, contradicted: true, why: `neither room shows what ${whoMade(by, at.nowMs)}: ${shows}; both were changed` };
}

// ── counters ──

/** Increments that one side lacks although the other has them apart, and nothing there has covered them. */
async function judgeCounts(at: Subject): Promise<ElementVerdict | undefined> {
  if (at.part !== 'element') return undefined;
  const [lackedByMine, lackedByTheirs] = lackedIncrements(statesOf(at), at.difference.name);
  if (lackedByMine.length + lackedByTheirs.length === 0) return undefined;
  const findings = await at.sources.find([...lackedByMine, ...lackedByTheirs]);
  const provenBy = (versions: readonly Version[]) =>
    versions.findLast((version) => effectOf(at, findings.get(version) ?? UNKNOWN, version) !== undefined);
  const [mine, theirs] = [provenBy(lackedByMine), provenBy(lackedByTheirs)];
  if ((mine === undefined) === (theirs === undefined)) return undefined;
  const wrong: SideIndex = mine !== undefined ? 0 : 1;
  const version = mine ?? theirs ?? '';
  const finding = findings.get(version) ?? UNKNOWN;
  const effect = effectOf(at, finding, version);
  if (finding.status !== 'found' || effect === undefined) return undefined;
  const by = { write: finding.found, effect };
  const isGone = at.difference.values[wrong] === null && at.difference.versions[wrong] === '';
  if (isGone) return await absent(at, other(wrong), { found: finding.found, effect });
  const missing = (wrong === 0 ? lackedByMine : lackedByTheirs).length;
  return {
    ...{ ...by, difference: at.difference, part: at.part, wrong, kind: kindOf(at, wrong), certain: true },
    why: `${at.rooms[wrong]} shows ${showing(at, wrong)} and lacks ${plural(missing, 'increment')} of it; ${whoMade(by, at.nowMs)}`,
  };
}

const UNKNOWN: Finding = { status: 'unknown', reason: '' };

// ── decided by what else is known ──

/** `greater`: the side that wins where nothing else decides; undefined: none does. */
async function weigh(at: Subject, shown: SideIndex | undefined, reason: string, greater: SideIndex | undefined): Promise<ElementVerdict> {
  const told = await byLogs(at);
  if (told !== undefined) return told;
  const common = { difference: at.difference, part: at.part, certain: false, write: undefined, effect: undefined };
  const changed = ([0, 1] as const).filter((side) => at.answers[side].changedBehindMs > 0);
  const [suspect] = changed;
  if (changed.length === 1 && suspect !== undefined) {
    const when = dateTime(at.answers[suspect].changedBehindMs);
    const why = `${at.rooms[suspect]} shows ${showing(at, suspect)}, and what is stored there was seen to change at ${when} without a write request; ${reason}`;
    return { ...common, wrong: suspect, kind: shown === undefined ? 'value' : kindOf(at, suspect), why };
  }
  const vote = await thirdRooms(at);
  if (vote !== undefined) return byThird(at, vote, reason);
  if (greater !== undefined) {
    const wrong = other(greater);
    const why = `${at.rooms[wrong]} shows ${showing(at, wrong)}, ${at.rooms[greater]} ${showing(at, greater)}, which is newer and is therefore taken as right; ${reason}, and no room was seen to be changed without a write request`;
    return { ...common, wrong, kind: kindOf(at, wrong), why };
  }
  const shows = ([0, 1] as const).map((side) => `${at.rooms[side]} shows ${showing(at, side)}`).join(', ');
  const why = `${shows}; which is right cannot be told: ${reason}; ${changed.length === 2 ? 'both rooms were seen to change' : 'neither room was seen to change'} without a write request`;
  return { ...common, wrong: undefined, kind: shown === undefined ? 'value' : kindOf(at, other(shown)), why };
}

function undecided(at: Subject, reason: string): ElementVerdict {
  const shows = ([0, 1] as const).map((side) => `${at.rooms[side]} shows ${showing(at, side)}`).join(', ');
  const why = `${shows}; which is right cannot be told: ${reason}`;
  const common = { difference: at.difference, part: at.part, write: undefined, effect: undefined };
  return { ...common, wrong: undefined, kind: 'value', certain: false, why };
}

function byThird(at: Subject, { wrong, rooms }: Vote, reason: string): ElementVerdict {
  const right = other(wrong);
  return {
    ...{ difference: at.difference, part: at.part, wrong, kind: kindOf(at, wrong), certain: false, write: undefined, effect: undefined },
    why: `${at.rooms[wrong]} shows ${showing(at, wrong)}, while ${rooms.join(' and ')} agree${rooms.length === 1 ? 's' : ''} with ${at.rooms[right]}; ${reason}`,
  };
}

// ── in common ──

function kindOf({ difference, part }: Subject, wrong: SideIndex): ElementVerdict['kind'] {
  const [shows, shown] = [difference.values[wrong], difference.values[other(wrong)]];
  if (shows === null) return 'missing';
  if (difference.versions[0] === difference.versions[1]) return 'value';
  // Newer, and wrong all the same: nobody wrote it.
  if (difference.versions[wrong] > difference.versions[other(wrong)]) return 'extra';
  return shown === null && part !== 'expiry' ? 'extra' : 'stale';
}

export function other(side: SideIndex): SideIndex {
  return side === 0 ? 1 : 0;
}

/** The stamps that a case has to look up. */
export function versionsOf(differences: readonly ElementDifference[]): Version[] {
  return [...new Set(differences.flatMap((it) => it.versions).filter((version) => version.length >= STAMP_DIGITS))];
}
