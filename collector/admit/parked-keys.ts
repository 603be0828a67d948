/** The keys of a lane that something parked holds up, each with its oldest parked place. A mirror of the parking lot. */
import type { Seq } from '../../core/words.ts';

interface Place {
  readonly seq: Seq;
  readonly index: number;
}

export class ParkedKeys {
  readonly #oldest = new Map<string, Place>();

  /** Takes over what the book lists, oldest first. */
  load(rows: readonly (Place & { readonly key: string })[]): void {
    this.#oldest.clear();
    for (const row of rows) this.add(row.key, row);
  }

  add(key: string, place: Place): void {
    const known = this.#oldest.get(key);
    if (known === undefined || isBefore(place, known)) this.#oldest.set(key, { seq: place.seq, index: place.index });
  }

  /** What is the oldest now that one has left; undefined: the key is free. */
  set(key: string, place: Place | undefined): void {
    if (place === undefined) this.#oldest.delete(key);
    else this.#oldest.set(key, { seq: place.seq, index: place.index });
  }

  /** Whether something of the key that stands before `place` is parked. */
  holds(key: string, place: Place): boolean {
    if (this.#oldest.size === 0) return false;
    const oldest = this.#oldest.get(key);
    return oldest !== undefined && isBefore(oldest, place);
  }
}

function isBefore(a: Place, b: Place): boolean {
  return a.seq < b.seq || (a.seq === b.seq && a.index < b.index);
}
