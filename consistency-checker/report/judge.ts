/**
 * Which side is wrong about one part of a key. A majority of two does not exist, so it goes to the source: the version that differs names the write request that made it.
 *
 * - That write request exists and made it: the side that does not show it is wrong. Unless that side shows nothing at all and a later delete is found: rooms forget
 *   deletes, and the other side may be the one that missed it.
 * - No write request has that version: the side that shows it is wrong.
 * - It cannot be told: evidence that one side was changed behind WMB's back, then a third room, then the greater version.
 */
import { STAMP_DIGITS, stampMs, type Version } from '../../core/stamp.ts';
import type { RoomId } from '../../core/words.ts';
import { elementDifferences } from '../cache/elements.ts';
import type { ElementDifference } from '../drift.ts';
import type { RoomView, StateAnswer } from '../room.ts';
import type { LaterDeletes } from './later-deletes.ts';
import { type Part, partName, partOf, type States, shownBy, speaksOf } from './parts.ts';
import { dateTime, deed, moment, plainText, plural, writeName } from './phrases.ts';
import type { Finding, Sources } from './sources.ts';
import type { ElementVerdict, SideIndex } from './verdict.ts';
import type { WitnessStand } from './witnesses.ts';

const VERSION = /^[0-9a-f]{28}$/;

export interface Case {
  readonly key: string;
  readonly rooms: readonly [RoomId, RoomId];
  readonly answers: readonly [StateAnswer, StateAnswer];
  readonly nowMs: number;
  /** By version; every version of the differences is in it. */
  readonly findings: ReadonlyMap<Version, Finding>;
  readonly sources: Sources;
  readonly laterDeletes: LaterDeletes;
  readonly witnesses: WitnessStand;
}

export async function judge(of: Case, difference: ElementDifference): Promise<ElementVerdict> {
  const { versions, values } = difference;
  const part = partOf(difference, statesOf(of));
  const at: Subject = { ...of, difference, part, name: partName(of.key, difference.name, part, statesOf(of)) };
  const malformed = ([0, 1] as const).filter((side) => part !== 'expiry' && values[side] !== null && !VERSION.test(versions[side]));
  if (malformed.length > 0) return withoutVersion(at, malformed);
  const count = await judgeCounts(at);
  if (count !== undefined) return count;
  if (versions[0] === versions[1]) return await sameVersion(at);
  const greater: SideIndex = versions[0] > versions[1] ? 0 : 1;
  const finding = findingAt(at, versions[greater]);
  const effect = effectOf(at, finding, versions[greater]);
  if (finding.status === 'found' && effect !== undefined) {
    const { found } = finding;
    if (values[1 - greater] === null && versions[1 - greater] === '') return await absent(at, greater, { found, effect });
    return genuine(at, greater, { write: found, effect });
  }
  if (finding.status === 'none') return forged(at, greater, finding.reason);
  const reason = finding.status === 'unknown' ? finding.reason : notMade(at, finding);
  return await weigh(at, greater, reason, isNobodys(at, versions[greater]) ? undefined : greater);
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

// ── what each side shows, in words ──

export function showing(
  at: { readonly difference: ElementDifference; readonly part: Part; readonly name: string; readonly nowMs: number },
  side: SideIndex,
): string {
  const value = at.difference.values[side];
  if (at.part === 'expiry') return `${expiryWords(value, at.nowMs)} for ${at.name.replace(/^the expiry of /, '')}`;
  if (value === null) return `no ${at.name}`.replace(/^no (?!field|member)/, 'nothing of ');
  return value === '' && at.part === 'element' ? at.name : `${at.name} as ${plainText(value) || '""'}`;
}

function expiryWords(value: string | null, nowMs: number): string {
  const [, , ms] = /^(expires|expired) at (\d+)$/.exec(value ?? '') ?? [];
  if (ms === undefined) return 'no expiry';
  return `${value?.startsWith('expired') ? 'an expiry that has passed,' : 'an expiry'} at ${moment(Number(ms), nowMs)}`;
}

// ── decided by the source ──

function genuine(
  at: Subject,
  right: SideIndex,
  by: { readonly write: ElementVerdict['write']; readonly effect: ElementVerdict['effect'] },
  note = '',
): ElementVerdict {
  const wrong = other(right);
  return {
    ...by,
    ...{ difference: at.difference, part: at.part, wrong, kind: kindOf(at, wrong), certain: note === '' },
    why: `${at.rooms[wrong]} shows ${showing(at, wrong)}; ${whoMade(at, by)}${note}`,
  };
}

function whoMade(
  at: Subject,
  { write, effect }: { readonly write: ElementVerdict['write']; readonly effect: ElementVerdict['effect'] },
): string {
  if (write === undefined || effect === undefined) return 'no write request says so';
  return `${writeName(write.write.requestId, write.position)} ${deed(effect, at.nowMs)} at ${moment(stampMs(effect.version), at.nowMs)}`;
}

/**
 * The side with the greater version shows a genuine value, the other has nothing at all: a delete that it has forgotten would look the same. So a delete is looked for
 * first, whatever else speaks for a loss: a room may have been tampered with, or keep no receipt any more, and have deleted it all the same.
 */
async function absent(at: Subject, showingSide: SideIndex, { found, effect }: Found): Promise<ElementVerdict> {
  const lacking = other(showingSide);
  const by = { write: found, effect };
  const { key, part, difference } = at;
  const view = at.sources.options.rooms(at.rooms[lacking]);
  const later = view && (await at.laterDeletes.after({ key, part, name: difference.name, version: effect.version }, found, view));
  if (later?.found !== undefined) return missedDelete(at, lacking, later.found);
  if (later?.complete || (await isLost(at, showingSide, by))) return genuine(at, showingSide, by);
  if (later === undefined) return genuine(at, showingSide, by, `; whether ${at.rooms[lacking]} deleted it since cannot be told`);
  const unsure = `; whether a later write request deleted it cannot be told for certain: among the newest ${plural(later.looked, 'write request')} of its partition there is none that did`;
  const vote = await thirdRooms(at);
  if (vote !== undefined) return byThird(at, vote, `${whoMade(at, by)}${unsure}`);
  return genuine(at, showingSide, by, `${unsure}, so what is shown is taken as right`);
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
    why: `${at.rooms[wrong]} still shows ${showing(at, wrong)}; ${whoMade(at, { write, effect })}, and ${at.rooms[right]} shows it no more`,
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
  const [version] = at.difference.versions;
  const finding = findingAt(at, version);
  const effect = effectOf(at, finding, version);
  const made = effect === undefined ? undefined : shownBy(effect, at.part);
  const both = `both rooms show the same version of ${at.name}, with different values`;
  if (finding.status !== 'found' || effect === undefined || made === undefined) {
    const reason =
      finding.status === 'none' || finding.status === 'unknown'
        ? finding.reason
        : effect === undefined
          ? notMade(at, finding)
          : `it is a sum, of which ${whoMade(at, { write: finding.found, effect })} says a part only`;
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
      why: `${at.rooms[wrong]} shows ${showing(at, wrong)}; ${whoMade(at, by)}, and ${at.rooms[other(wrong)]} shows that`,
    };
  const shows = ([0, 1] as const).map((side) => `${at.rooms[side]} shows ${showing(at, side)}`).join(', ');
  return { ...common, wrong, why: `neither room shows what ${whoMade(at, by)}: ${shows}; both were changed` };
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
    why: `${at.rooms[wrong]} shows ${showing(at, wrong)} and lacks ${plural(missing, 'increment')} of it; ${whoMade(at, by)}`,
  };
}

const UNKNOWN: Finding = { status: 'unknown', reason: '' };

function lackedIncrements([mine, theirs]: States, name: string): readonly [readonly Version[], readonly Version[]] {
  const of = (state: States[0]) => (state?.increments ?? []).filter((it) => it.name === name).map(({ version }) => version);
  const base = (state: States[0]) =>
    [state?.kill ?? '', state?.registers.find((it) => it.name === name)?.version ?? ''].sort().at(-1) ?? '';
  const lacked = (from: States[0], by: States[0]) => of(from).filter((version) => version > base(by) && !of(by).includes(version));
  return [lacked(theirs, mine), lacked(mine, theirs)];
}

// ── decided by what else is known ──

/** `greater`: the side that wins where nothing else decides; undefined: none does. */
async function weigh(at: Subject, shown: SideIndex | undefined, reason: string, greater: SideIndex | undefined): Promise<ElementVerdict> {
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

interface Vote {
  readonly wrong: SideIndex;
  readonly rooms: readonly RoomId[];
}

/** Third rooms that agree with one side, when none agrees with the other. */
async function thirdRooms(at: Subject): Promise<Vote | undefined> {
  const { topology, rooms } = at.sources.options;
  const votes: [RoomId[], RoomId[]] = [[], []];
  for (const { id } of topology.rooms) {
    const view = at.rooms.includes(id) ? undefined : rooms(id);
    const state = view === undefined ? undefined : await stateIn(view, at.key);
    if (state === undefined) continue;
    for (const side of [0, 1] as const) {
      const differs = elementDifferences(at.answers[side].state, state.state, at.nowMs).some(
        (it) => it.name === at.difference.name && partOf(it, [at.answers[side].state, state.state]) === at.part,
      );
      if (!differs) votes[side].push(id);
    }
  }
  if (votes[0].length > 0 === votes[1].length > 0) return undefined;
  return votes[0].length > 0 ? { wrong: 1, rooms: votes[0] } : { wrong: 0, rooms: votes[1] };
}

async function stateIn(view: RoomView, key: string): Promise<StateAnswer | undefined> {
  try {
    return (await view.states([key]))[0];
  } catch {
    return undefined;
  }
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
  if (difference.versions[0] === difference.versions[1]) return 'value';
  if (shows === null) return 'missing';
  // Newer, and wrong all the same: nobody wrote it.
  if (difference.versions[wrong] > difference.versions[other(wrong)]) return 'extra';
  return shown === null && part !== 'expiry' ? 'extra' : 'stale';
}

/** The write request exists, and what it does now is not what is shown. */
function notMade(at: Subject, finding: Finding): string {
  if (finding.status !== 'found') return '';
  const name = writeName(finding.found.write.requestId, finding.found.position);
  if (finding.effects === undefined) return `${name} has its stamp, but what it does cannot be told: ${finding.error}`;
  const touches = finding.effects.some(({ key }) => key === at.key);
  return `${name} has its stamp, but does not ${touches ? 'make this of it' : 'touch this key'} as the processors are now`;
}

export function other(side: SideIndex): SideIndex {
  return side === 0 ? 1 : 0;
}

/** The stamps that a case has to look up. */
export function versionsOf(differences: readonly ElementDifference[]): Version[] {
  const versions = differences.flatMap((it) => it.versions).filter((version) => version.length >= STAMP_DIGITS);
  return [...new Set(versions)];
}
