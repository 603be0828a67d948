/**
 * How one key is put right, from both rooms' states read now: what goes to the wrong room's store, and what it would change there, tried out on a copy.
 *
 * - `resend`: the lost effects again, where every wrong part has its own one and nothing but a lost apply is to be made good.
 * - `push`: the right side's state. Parts that are wrong on the *other* side, and parts whose write request is parked, stay as they are here: a push must not take
 *   away what only this room has got right. And what the right side shows of a part otherwise than its write request made it is never copied:
 *   that part is as the write request made it.
 */
import type { Topology } from '../../core/config/types.ts';
import type { Effect } from '../../core/converge/effects.ts';
import { MemoryCell } from '../../core/converge/memory-cell.ts';
import { mend } from '../../core/converge/mend.ts';
import { compareText } from '../../core/converge/order.ts';
import { applyEffect } from '../../core/converge/rules.ts';
import { cellOf, exportState, isDamaged, type KeyState, stateDigest } from '../../core/converge/state.ts';
import type { Version } from '../../core/stamp.ts';
import type { CacheRepair } from '../../store/inspection.ts';
import { elementDifferences } from '../cache/elements.ts';
import { settledBy } from '../cache/settled.ts';
import type { ElementDifference } from '../drift.ts';
import { type KeyVerdict, type PartVerdict, partsOf } from '../report/key-verdict.ts';
import { type Part, partOf } from '../report/parts.ts';
import { plainText, plural } from '../report/phrases.ts';
import type { SideIndex } from '../report/verdict.ts';
import { diffLines } from './diff-lines.ts';
import { lastLane, pooled, seenOf } from './passed.ts';

export interface KeyPlan {
  /** Undefined: it cannot be done; `text` says why. */
  readonly repair: CacheRepair | undefined;
  readonly diff: readonly string[];
  readonly text: string;
  /** The parts that would be right afterwards. */
  readonly parts: readonly PartVerdict[];
}

export interface PlanOptions {
  readonly verdict: KeyVerdict;
  readonly wrong: SideIndex;
  readonly topology: Topology;
  /** The other side is right about everything: somebody decided so. */
  readonly whole: boolean;
}

const NOTHING: Omit<KeyState, 'key'> = { type: 'none', kill: '', expireAtMs: 0, caps: [], registers: [], increments: [], expiries: [] };
const VERSION = /^[0-9a-f]{28}$/;

export function planKey(options: PlanOptions): KeyPlan {
  const { verdict, wrong, whole } = options;
  const parts = whole ? verdict.parts.filter(({ apart }) => !apart) : partsOf(verdict, wrong);
  const work: Work = {
    ...options,
    parts,
    kept: verdict.parts.filter((part) => !parts.includes(part) && !part.follows),
    right: wrong === 0 ? 1 : 0,
  };
  if (isDamaged(stateOf(work, work.right))) return unreadable(work);
  const resend = whole ? undefined : resendOf(work);
  return (resend && tried(work, resend)) ?? tried(work, pushOf(work)) ?? impossible(work);
}

interface Work extends PlanOptions {
  readonly right: SideIndex;
  readonly parts: readonly PartVerdict[];
  readonly kept: readonly PartVerdict[];
}

function stateOf({ verdict }: Work, side: SideIndex): KeyState | undefined {
  return verdict.answers[side].state;
}

/** What the right side had passed when it was read. */
function horizonOf({ verdict, right, wrong }: Work) {
  return pooled(verdict.horizons[right], verdict.horizons[wrong]);
}

function resendOf(work: Work): CacheRepair | undefined {
  const { verdict, parts } = work;
  if (verdict.cause.cause !== 'missed-apply' || verdict.unjudged > 0) return undefined;
  const effects = new Map<Version, Effect>();
  for (const { effect, certain } of parts) {
    if (effect === undefined || !certain) return undefined;
    effects.set(effect.version, effect);
  }
  const sorted = [...effects.values()].sort((a, b) => (a.version < b.version ? -1 : 1));
  return { ...compareAndSet(work), action: 'resend', effects: sorted };
}

function pushOf(work: Work): CacheRepair {
  return { ...compareAndSet(work), action: 'push', state: wholeState(work), upTo: upToOf(work) };
}

function compareAndSet(work: Work): { readonly key: string; readonly expected: string; readonly seen: Version } {
  return { key: work.verdict.key, expected: stateDigest(stateOf(work, work.wrong)), seen: seenOf(horizonOf(work)) };
}

/** The right side's state, with the parts that it shows otherwise than they were made as they were made. */
function rightState(work: Work): KeyState | undefined {
  const { key } = work.verdict;
  return work.parts.reduce(
    (state, { contradicted, effect, part, difference }) => {
      if (contradicted !== true || effect === undefined) return state;
      const { registers, expiries, kill, ...rest } = state ?? { key, ...NOTHING };
      const cell = cellOf({
        ...rest,
        kill: kill === effect.version ? '' : kill,
        registers: part === 'expiry' ? registers : registers.filter(({ name }) => name !== difference.name),
        expiries: expiries.filter(({ version }) => version !== effect.version),
      });
      applyEffect(cell, effect, '');
      return exportState(key, cell);
    },
    stateOf(work, work.right),
  );
}

/** The right side's state, with the parts that stay as they are in the wrong room. */
function wholeState(work: Work): KeyState {
  const { key } = work.verdict;
  const right = rightState(work) ?? { key, ...NOTHING };
  const own = stateOf(work, work.wrong) ?? { key, ...NOTHING };
  const names = new Set(work.kept.filter(({ part }) => part === 'element').map(({ difference }) => difference.name));
  const keepsExpiry = work.kept.some(({ part }) => part === 'expiry');
  if (names.size === 0 && !keepsExpiry) return right;
  const merge = <T extends { readonly name: string }>(theirs: readonly T[], ours: readonly T[]) =>
    [...theirs.filter(({ name }) => !names.has(name)), ...ours.filter(({ name }) => names.has(name))].sort((a, b) =>
      compareText(a.name, b.name),
    );
  return {
    ...right,
    type: right.type === 'none' ? own.type : right.type,
    registers: merge(right.registers, own.registers),
    increments: merge(right.increments, own.increments),
    ...(keepsExpiry ? { expiries: own.expiries, expireAtMs: own.expireAtMs } : {}),
  };
}

/**
 * Up to where the right side's state stands for everything. What the wrong room has stored is known exactly (the repair is compare-and-set), so it is enough
 * that the right side had passed each of those versions, by the lanes of the room that gave it. Another room that is away has no say in it.
 */
function upToOf(work: Work): Version {
  const { passage } = settledBy(work.topology, [horizonOf(work)]);
  const versions = versionsIn(stateOf(work, work.wrong)).sort();
  const ahead = versions.findIndex((version) => passage(version) !== 'passed');
  return (ahead < 0 ? versions.at(-1) : versions[ahead - 1]) ?? '';
}

function versionsIn(state: KeyState | undefined): Version[] {
  if (state === undefined) return [];
  const all = [...state.registers, ...state.increments, ...state.caps, ...state.expiries].map(({ version }) => version);
  return [...all, state.kill].filter((version) => VERSION.test(version));
}

/** Undefined where the parts would not be right afterwards, or others would be changed that must stay. */
function tried(work: Work, repair: CacheRepair): KeyPlan | undefined {
  const { verdict, parts, kept, wrong } = work;
  const [before, target] = [stateOf(work, wrong), rightState(work)];
  const cell = before === undefined ? new MemoryCell() : cellOf(before);
  if (mend(cell, repair, '') === 'overtaken') return undefined;
  const after = exportState(verdict.key, cell);
  const left = differing(after, target, verdict.nowMs);
  if (parts.some((part) => left.some((it) => isSame(it, part)))) return undefined;
  const changed = differing(before, after, verdict.nowMs);
  if (kept.some((part) => changed.some((it) => isSame(it, part)))) return undefined;
  return { repair, parts, diff: diffLines(verdict.key, changed, typeOf(after) ?? typeOf(before)), text: textOf(work, repair) };
}

function typeOf(state: KeyState | undefined): KeyState['type'] | undefined {
  return state === undefined || state.type === 'none' ? undefined : state.type;
}

interface Differing {
  readonly difference: ElementDifference;
  readonly part: Part;
}

function differing(from: KeyState | undefined, to: KeyState | undefined, nowMs: number): readonly Differing[] {
  return elementDifferences(from, to, nowMs).map((difference) => ({ difference, part: partOf(difference, [from, to]) }));
}

function isSame(a: Differing, b: Differing): boolean {
  return a.part === b.part && a.difference.name === b.difference.name;
}

function textOf({ verdict, wrong, right, parts, kept }: Work, repair: CacheRepair): string {
  const [to, from] = [verdict.rooms[wrong], verdict.rooms[right]];
  const key = plainText(verdict.key);
  if (repair.action === 'resend') {
    return `applies ${plural(repair.effects.length, 'lost effect')} of logged write requests to ${key} in ${to} again, with ${repair.effects.length === 1 ? 'its own version' : 'their own versions'}`;
  }
  const stays =
    kept.length === 0
      ? ''
      : `; ${plural(kept.length, 'part')} of it in which ${to} is not the wrong side ${kept.length === 1 ? 'stays' : 'stay'}`;
  const anew = parts.filter(({ contradicted, effect }) => contradicted === true && effect !== undefined).length;
  const made =
    anew === 0
      ? ''
      : `; ${plural(anew, 'part')} of it as the write request made ${anew === 1 ? 'it' : 'them'}, which ${from} does not show either`;
  return `copies what ${from} has of ${key} into ${to}, with its versions${made}; what was written after that stays${stays}`;
}

function unreadable({ verdict, right }: Work): KeyPlan {
  const from = verdict.rooms[right];
  const text = `what ${from} has stored of ${plainText(verdict.key)} is damaged and must not be copied; repair ${from} first, or write the key anew`;
  return { repair: undefined, diff: [], text, parts: [] };
}

function impossible(work: Work): KeyPlan {
  const { verdict, wrong, right } = work;
  const horizon = horizonOf(work);
  const lane = lastLane(horizon);
  const [from, to] = [verdict.rooms[right], verdict.rooms[wrong]];
  const text =
    lane !== undefined && verdict.parts.some(({ difference }) => difference.versions.some((version) => version > seenOf(horizon)))
      ? `it cannot be put right yet: ${from} has not heard of lane ${lane.origin}/${lane.partition} for too long to tell what ${to} may have deleted since; when ${lane.origin} is back, it can`
      : `both rooms are wrong about parts of ${plainText(verdict.key)} that cannot be taken apart; name the room that is to be right with --from ROOM, or write the key anew`;
  return { repair: undefined, diff: [], text, parts: [] };
}
