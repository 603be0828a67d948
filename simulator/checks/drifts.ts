/**
 * What the checkers say, held against what was made (I8). A drift of a key that nothing was done to is a false alarm, whenever it is recorded; at rest, what still differs
 * must be recorded by both rooms' checkers, with the room that was harmed as the wrong side.
 */
import type { Drift } from '../../consistency-checker/drift.ts';
import { entryHash } from '../../core/converge/state.ts';
import type { RoomId } from '../../core/words.ts';
import type { MemoryCache } from '../../store/memory/cache.ts';
import type { Made } from '../made.ts';
import type { Room } from '../room.ts';
import type { Invariant } from './failure.ts';

export interface DriftsHost {
  readonly made: Made;
  readonly rooms: readonly Room[];
  readonly clock: { readonly ms: number };
  tell(line: string): void;
  fail(invariant: Invariant, expected: string, found: string): void;
}

/** A key that two rooms show differently. */
interface Difference {
  readonly key: string;
  readonly rooms: readonly [Room, Room];
}

export class Drifts {
  readonly #world: DriftsHost;

  constructor(world: DriftsHost) {
    this.#world = world;
  }

  /** A checker has written something into its book. */
  recorded(room: Room, drift: Drift): void {
    const { id, kind, subject, status, wrong, cause, causeText, sides } = drift;
    this.#world.tell(`${room.id} records ${id} ${status} ${kind} of ${subject.name}, wrong ${wrong || 'nobody knows'}: ${cause}`);
    if (status !== 'open' || kind === 'stuck' || kind === 'parked') return;
    const pair = sides.map((side) => side.room);
    const isMade = subject.type === 'key' && this.#world.made.rooms(subject.name, pair).length > 0;
    if (!isMade)
      this.#world.fail(
        'I8',
        `the checker of ${room.id} reports nothing that was not made`,
        `${kind} of ${subject.name}: ${drift.why}; ${causeText}; ${JSON.stringify(drift.elements)}`,
      );
  }

  /** What the rooms' checkers lack, or have too much, of what differs now; undefined where they say just that. */
  async missed(): Promise<string | undefined> {
    const differences = await this.differences();
    for (const { key, rooms } of differences) {
      const pair = rooms.map(({ id }) => id);
      for (const { id, checker } of rooms) {
        const found = openOf(checker?.book.openDrifts.values() ?? [], pair).find(({ subject }) => subject.name === key);
        if (found === undefined) return `${key} differs between ${pair.join(' and ')}, and the checker of ${id} says nothing`;
        const harmed = this.#world.made.rooms(key, pair);
        if (found.wrong !== '' && !harmed.includes(found.wrong))
          return `the checker of ${id} takes ${found.wrong} for wrong about ${key}, and ${harmed.join(' and ')} was harmed: ${found.why}`;
      }
    }
    return this.#tooMuch(differences);
  }

  #tooMuch(differences: readonly Difference[]): string | undefined {
    for (const { id, checker } of this.#world.rooms) {
      if (checker === undefined) return `the checker of ${id} is not up`;
      for (const { kind, subject, sides, why, causeText } of checker.book.openDrifts.values()) {
        const isReal = differences.some(
          ({ key, rooms }) => key === subject.name && sides.every(({ room }) => rooms.some((it) => it.id === room)),
        );
        if (!isReal || subject.type !== 'key') return `the checker of ${id} reports ${kind} of ${subject.name}: ${why}; ${causeText}`;
      }
      const reason = checker.checker.peers().find((peer) => peer.reason !== '');
      if (reason !== undefined) return `the checker of ${id} does not verify ${reason.room}: ${reason.reason}`;
    }
    return undefined;
  }

  /** Of all pairs of rooms. */
  async differences(): Promise<readonly Difference[]> {
    const shown = await Promise.all(this.#world.rooms.map(({ disks }) => shownBy(disks.cache.memory, this.#world.clock.ms)));
    const found: Difference[] = [];
    const { rooms } = this.#world;
    rooms.forEach((room, at) => {
      rooms.slice(at + 1).forEach((other, behind) => {
        const [ours, theirs] = [shown[at] ?? new Map(), shown[at + 1 + behind] ?? new Map()];
        for (const key of [...new Set([...ours.keys(), ...theirs.keys()])].sort())
          if (ours.get(key) !== theirs.get(key)) found.push({ key, rooms: [room, other] });
      });
    });
    return found;
  }
}

async function shownBy(cache: MemoryCache, nowMs: number): Promise<Map<string, string>> {
  const shown = new Map<string, string>();
  for await (const entry of cache.scan({ prefix: '', nowMs })) shown.set(entry.key, `${entry.version} ${entryHash(entry)}`);
  return shown;
}

function openOf(drifts: Iterable<Drift>, pair: readonly RoomId[]): readonly Drift[] {
  return [...drifts].filter(({ sides }) => sides.every(({ room }) => pair.includes(room)));
}
