/**
 * The duplicate window of one lane: the request ids of its last `limit` write requests. Every room feeds it the same write requests in
 * the same order, so that every room calls the same ones duplicates.
 *
 * No strings are kept. A ring holds a 128-bit hash of each id, and an open-addressing table finds the newest ring place of a hash: 24 bytes
 * a write request, 1.5 MiB for the default of 65,536. It starts small and doubles, so that a quiet lane costs next to nothing.
 */

const FIRST_CAPACITY = 512;
const WORDS = 4;

export class DuplicateWindow {
  readonly #limit: number;
  #capacity: number;
  /** Hash of the id at each ring place, four words each. */
  #ring: Uint32Array;
  /** Ring place + 1 of the newest write request with a hash; 0: free. Twice as many slots as places, so probes stay short. */
  #table: Int32Array;
  #mask: number;
  /** Ring place of the next write request. */
  #next = 0;
  #size = 0;
  readonly #hash = new Uint32Array(WORDS);

  /** `limit`: number of write requests within which a repeated id is a duplicate, at least 1. */
  constructor(limit: number) {
    this.#limit = limit;
    this.#capacity = Math.min(limit, FIRST_CAPACITY);
    this.#ring = new Uint32Array(this.#capacity * WORDS);
    this.#table = new Int32Array(slotsFor(this.#capacity));
    this.#mask = this.#table.length - 1;
  }

  get size(): number {
    return this.#size;
  }

  /** Bytes held. */
  get bytes(): number {
    return this.#ring.byteLength + this.#table.byteLength;
  }

  /** Takes the next write request in; says whether its id is that of one of the `limit` before it. */
  add(requestId: string): boolean {
    hash128(requestId, this.#hash);
    const seen = this.#table[this.#slotOf(this.#hash, 0)] !== 0;
    if (this.#size === this.#capacity) {
      if (this.#capacity < this.#limit) this.#grow();
      else this.#forget(this.#next);
    }
    const place = this.#next;
    this.#ring.set(this.#hash, place * WORDS);
    this.#table[this.#slotOf(this.#hash, 0)] = place + 1;
    this.#next = place + 1 === this.#capacity ? 0 : place + 1;
    if (this.#size < this.#capacity) this.#size += 1;
    return seen;
  }

  /** Frees the table's slot for the hash at `place`, unless a newer write request has the same id. */
  #forget(place: number): void {
    let hole = this.#slotOf(this.#ring, place * WORDS);
    if (this.#table[hole] !== place + 1) return;
    // Linear probing without tombstones: what stands behind the hole moves up when its own home lies at or before the hole.
    for (let slot = (hole + 1) & this.#mask; ; slot = (slot + 1) & this.#mask) {
      const entry = this.#table[slot] ?? 0;
      if (entry === 0) break;
      const home = (this.#ring[(entry - 1) * WORDS] ?? 0) & this.#mask;
      if (((slot - home) & this.#mask) >= ((slot - hole) & this.#mask)) {
        this.#table[hole] = entry;
        hole = slot;
      }
    }
    this.#table[hole] = 0;
  }

  /** The slot that holds the hash at `words[at…]`, or the free slot where it belongs. */
  #slotOf(words: Uint32Array, at: number): number {
    let slot = (words[at] ?? 0) & this.#mask;
    for (;;) {
      const entry = this.#table[slot] ?? 0;
      if (entry === 0 || this.#same((entry - 1) * WORDS, words, at)) return slot;
      slot = (slot + 1) & this.#mask;
    }
  }

  #same(place: number, words: Uint32Array, at: number): boolean {
    const ring = this.#ring;
    return (
      ring[place] === words[at] &&
      ring[place + 1] === words[at + 1] &&
      ring[place + 2] === words[at + 2] &&
      ring[place + 3] === words[at + 3]
    );
  }

  /** Doubles. It is only called when the ring is full for the first time, so the oldest stands at place 0. */
  #grow(): void {
    const ring = this.#ring;
    const size = this.#capacity;
    this.#capacity = Math.min(this.#limit, size * 2);
    this.#ring = new Uint32Array(this.#capacity * WORDS);
    this.#ring.set(ring);
    this.#table = new Int32Array(slotsFor(this.#capacity));
    this.#mask = this.#table.length - 1;
    for (let place = 0; place < size; place += 1) this.#table[this.#slotOf(this.#ring, place * WORDS)] = place + 1;
    this.#next = size;
  }
}

function slotsFor(capacity: number): number {
  return 2 ** Math.ceil(Math.log2(capacity * 2));
}

/** MurmurHash3 x86 128 over the UTF-16 code units of `text`, two to a word; the same on every machine. */
export function hash128(text: string, out: Uint32Array): void {
  let a = 0x9368e53c;
  let b = 0x586dcd20;
  let c = 0x8ffa8ef1;
  let d = 0x3cde9a42;
  const units = text.length;
  for (let at = 0; at < units; at += 8) {
    a ^= Math.imul(rotate(Math.imul(word(text, at), 0x239b961b), 15), 0xab0e9789);
    a = (Math.imul((rotate(a, 19) + b) | 0, 5) + 0x561ccd1b) | 0;
    b ^= Math.imul(rotate(Math.imul(word(text, at + 2), 0xab0e9789), 16), 0x38b34ae5);
    b = (Math.imul((rotate(b, 17) + c) | 0, 5) + 0x0bcaa747) | 0;
    c ^= Math.imul(rotate(Math.imul(word(text, at + 4), 0x38b34ae5), 17), 0xa1e38b93);
    c = (Math.imul((rotate(c, 15) + d) | 0, 5) + 0x96cd1c35) | 0;
    d ^= Math.imul(rotate(Math.imul(word(text, at + 6), 0xa1e38b93), 18), 0x239b961b);
    d = (Math.imul((rotate(d, 13) + a) | 0, 5) + 0x32ac3b17) | 0;
  }
  a ^= units;
  b ^= units;
  c ^= units;
  d ^= units;
  a = (a + b + c + d) | 0;
  const e = finish((b + a) | 0);
  const f = finish((c + a) | 0);
  const g = finish((d + a) | 0);
  a = (finish(a) + e + f + g) | 0;
  out[0] = a;
  out[1] = (e + a) | 0;
  out[2] = (f + a) | 0;
  out[3] = (g + a) | 0;
}

/** Two code units as a word; beyond the end they are 0 (the length is mixed in apart). */
function word(text: string, at: number): number {
  if (at + 1 < text.length) return text.charCodeAt(at) | (text.charCodeAt(at + 1) << 16);
  return at < text.length ? text.charCodeAt(at) : 0;
}

function rotate(value: number, bits: number): number {
  return (value << bits) | (value >>> (32 - bits));
}

function finish(value: number): number {
  let h = value;
  h = Math.imul(h ^ (h >>> 16), 0x85ebca6b);
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35);
  return h ^ (h >>> 16);
}
