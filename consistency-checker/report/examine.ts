/** Judges all parts of a key that differ, and finds the cause. */

import { effectsOf } from '../../core/converge/effects-of.ts';
import { MemoryCell } from '../../core/converge/memory-cell.ts';
import { applyEffect } from '../../core/converge/rules.ts';
import type { KeyState } from '../../core/converge/state.ts';
import { visible } from '../../core/converge/visible.ts';
import type { RoomId } from '../../core/words.ts';
import type { ConfirmedKey } from '../cache/comparison.ts';
import type { ElementDifference } from '../drift.ts';
import { causeOf } from './cause.ts';
import { type Case, judge, versionsOf } from './judge.ts';
import { KeyHistories } from './key-history.ts';
import type { KeyVerdict, PartVerdict } from './key-verdict.ts';
import { byKiller } from './killed-expiry.ts';
import { partOf } from './parts.ts';
import { plainText } from './phrases.ts';
import type { Findings, Sources } from './sources.ts';
import type { ElementVerdict, SideIndex } from './verdict.ts';
import { WitnessStand } from './witnesses.ts';

/** Parts looked into one by one; for the rest the greater version is taken as right. */
const JUDGED_MAX = 64;

export class Examiner {
  readonly #sources: Sources;
  readonly #histories: KeyHistories;
  readonly #witnesses: WitnessStand;

  constructor(sources: Sources) {
    this.#sources = sources;
    this.#histories = new KeyHistories(sources);
    this.#witnesses = new WitnessStand(sources);
  }

  /** The write requests behind what differs of all these keys: whoever has many to examine has them looked up together. */
  lookUp(all: readonly ConfirmedKey[]): Promise<Findings> {
    return this.#sources.find(new Set(all.flatMap(({ elements }) => versionsOf(elements.slice(0, JUDGED_MAX)))));
  }

  /**
   * Undefined: what differs is no drift of the key, because its write requests are parked, or of a kind that is not for one of the rooms. `findings`: from {@link lookUp},
   * with this key among those asked for.
   */
  async examine(confirmed: ConfirmedKey, peer: RoomId, findings?: Findings): Promise<KeyVerdict | undefined> {
    const { own, runtime } = this.#sources.options;
    const { key, mine, theirs, horizons, elements } = confirmed;
    const judged = elements.slice(0, JUDGED_MAX);
    const of: Case = {
      key,
      rooms: [own, peer],
      answers: [mine, theirs],
      nowMs: runtime.nowMs(),
      findings: findings ?? (await this.lookUp([confirmed])),
      sources: this.#sources,
      histories: this.#histories,
      horizons,
      witnesses: this.#witnesses,
    };
    const parts: PartVerdict[] = [];
    const { isHidden, isLed } = membersOf(of);
    for (const difference of judged) {
      if (isHidden(difference)) parts.push(follower(of, difference));
      else parts.push(await this.#part(of, (await byKiller(of, difference)) ?? (await judge(of, difference))));
    }
    const rest = elements.slice(JUDGED_MAX).map((difference) => byVersion(of, difference));
    const main = mainOf(of, parts);
    // What pushed them out differs too, and is on its way, or parked: the others only follow it.
    if (main === undefined || (main.follows && isLed)) return undefined;
    const cause = await causeOf(of, main, this.#witnesses);
    const certain = parts.every((part) => part.apart || part.wrong !== main.wrong || part.certain);
    return {
      key,
      rooms: of.rooms,
      answers: of.answers,
      horizons,
      nowMs: of.nowMs,
      parts: [...parts, ...rest],
      main,
      cause,
      certain,
      unjudged: rest.length,
    };
  }

  async #part(of: Case, verdict: ElementVerdict): Promise<PartVerdict> {
    const { write, wrong } = verdict;
    const part = { ...verdict, apart: false, follows: false };
    if (write === undefined || wrong === undefined) return part;
    const rooms = this.#sources.options.topology.kinds[write.write.kind]?.rooms;
    if (rooms !== undefined && of.rooms.some((room) => !rooms.includes(room))) return { ...part, apart: true };
    const receipt = await this.#sources.receipt(of.rooms[wrong], write.position);
    return { ...part, apart: typeof receipt !== 'string' && receipt.outcome === 'parked' };
  }
}

function byVersion(of: Case, difference: ElementDifference): PartVerdict {
  const { versions, values } = difference;
  const wrong: SideIndex | undefined = versions[0] === versions[1] ? undefined : versions[0] < versions[1] ? 0 : 1;
  const kind = wrong === undefined ? 'value' : values[wrong] === null ? 'missing' : values[1 - wrong] === null ? 'extra' : 'stale';
  const part = partOf(difference, [of.answers[0].state, of.answers[1].state]);
  return { difference, part, wrong, kind, certain: false, why: '', write: undefined, effect: undefined, apart: false, follows: false };
}

interface Members {
  /** Of a timeline, what nobody would see if both rooms had everything: newer members push it out. */
  readonly isHidden: (difference: ElementDifference) => boolean;
  /** Members that would be seen differ as well. */
  readonly isLed: boolean;
}

function membersOf({ answers, nowMs }: Case): Members {
  const [mine, theirs] = [answers[0].state, answers[1].state];
  if (mine?.type !== 'timeline' || theirs?.type !== 'timeline') return { isHidden: () => false, isLed: false };
  const union = new MemoryCell();
  for (const effect of [...effectsOf(mine), ...effectsOf(theirs)]) applyEffect(union, effect, '');
  const shown = visible('', union, nowMs)?.value;
  const members = shown?.type === 'zset' ? shown.members.map(([member]) => member) : [];
  const versionIn = ({ registers }: KeyState, member: string) => registers.find(({ name }) => name === member)?.version;
  return {
    isHidden: (difference) => partOf(difference, [mine, theirs]) === 'element' && !members.includes(difference.name),
    isLed: members.some((member) => versionIn(mine, member) !== versionIn(theirs, member)),
  };
}

function follower(of: Case, difference: ElementDifference): PartVerdict {
  const why = `newer members push \`${plainText(difference.name)}\` of ${plainText(of.key)} out in one of the rooms`;
  return { ...byVersion(of, difference), wrong: undefined, why, follows: true };
}

const KINDS = ['missing', 'stale', 'extra', 'value'];

/**
 * The part that the report speaks of: one whose wrong side is known rather than one of which it is not, and the same in both rooms' checkers. The drift is about that
 * side; what is wrong on the other one is reported when this one is put right.
 */
function mainOf(of: Case, parts: readonly PartVerdict[]): PartVerdict | undefined {
  const rank = ({ wrong, kind, certain }: PartVerdict) => [
    wrong === undefined ? 1 : 0,
    certain ? 0 : 1,
    wrong !== undefined && of.rooms[wrong] > of.rooms[wrong === 0 ? 1 : 0] ? 1 : 0,
    KINDS.indexOf(kind),
  ];
  const [open, others] = [parts.filter(({ apart, follows }) => !apart && !follows), parts.filter(({ follows }) => follows)];
  const candidates = (open.length > 0 ? open : others).map((part) => ({ part, rank: rank(part).join('.') }));
  return candidates.reduce(
    (best: (typeof candidates)[number] | undefined, it) => (best === undefined || it.rank < best.rank ? it : best),
    undefined,
  )?.part;
}
