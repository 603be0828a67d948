/**
 * Timelines: the newest members by version. A cap holds for the members up to the version it came with, so that a cap raised or lowered
 * later counts from there on: a member is shown while fewer newer members stand above it than the smallest cap given with it or after it.
 * A delete in between takes the oldest away and leaves this unchanged; so what is hidden once is hidden for good and may be dropped.
 */
import type { Version } from '../stamp.ts';
import type { Cap, EffectResult, KeyCell, Register } from './cell.ts';
import type { Effect } from './effects.ts';

export function addMember(cell: KeyCell, effect: Extract<Effect, { op: 'timeline' }>, settled: Version): EffectResult {
  const { head } = cell;
  const { version, member } = effect;
  const stored = cell.register(member);
  const superseded = stored !== undefined && stored.version >= version;
  if (stored?.version === version) return 'duplicate';
  if (version <= settled) return superseded || (stored === undefined && isHidden(cell, version)) ? 'superseded' : 'late';
  // A cap counts even where its member has been added again since.
  const caps = withCap(head.caps, { version, cap: effect.cap });
  if (!superseded) cell.setRegister(member, { version, value: '' });
  if (stored === undefined) head.members++;
  if (superseded && caps === head.caps) return 'superseded';
  head.caps = caps;
  cell.headChanged();
  trim(cell, settled);
  return superseded ? 'superseded' : 'applied';
}

/** Members that are shown, newest first, out of `members` in any order. */
export function shownMembers<T extends Register>(members: Iterable<T>, caps: readonly Cap[]): T[] {
  const newest = [...members].sort((a, b) => (a.version < b.version ? 1 : -1));
  const hiddenFrom = newest.findIndex((member, rank) => rank >= capAt(caps, member.version));
  return hiddenFrom < 0 ? newest : newest.slice(0, hiddenFrom);
}

/** The smallest cap that holds for a member of this version. */
function capAt(caps: readonly Cap[], version: Version): number {
  return caps.find((cap) => cap.version >= version)?.cap ?? Infinity;
}

/** Caps ascend with their versions: one at or above which a later one is not greater never decides. */
function withCap(caps: readonly Cap[], added: Cap): readonly Cap[] {
  if (caps.some((cap) => cap.version >= added.version && cap.cap <= added.cap)) return caps;
  const before = caps.filter((cap) => cap.version < added.version && cap.cap < added.cap);
  return [...before, added, ...caps.filter((cap) => cap.version > added.version)];
}

/** Drops hidden members, not at every turn: finding them reads the whole timeline. */
function trim(cell: KeyCell, settled: Version): void {
  const { head } = cell;
  const widest = head.caps.at(-1)?.cap ?? 0;
  if (head.members <= widest + Math.max(8, widest >> 2)) return;
  const members = Array.from(cell.registers(), ([name, register]) => ({ ...register, name }));
  const shown = shownMembers(members, head.caps);
  const kept = new Set(shown);
  for (const member of members) if (!kept.has(member)) cell.dropRegister(member.name);
  const oldest = shown.at(-1)?.version ?? '';
  head.caps = head.caps.filter((cap) => cap.version > settled || cap.version >= oldest);
  head.members = shown.length;
}

function isHidden(cell: KeyCell, version: Version): boolean {
  let newer = 0;
  for (const [, register] of cell.registers()) if (register.version > version) newer++;
  return newer >= capAt(cell.head.caps, version);
}
