/**
 * A key on SQLite, for the time of one batch. The head is read once and written back at the end; of a collection only the elements that the
 * rules ask for are read, and changes to them are written at once.
 */
import type { StatementSync } from 'node:sqlite';
import { bucketOf } from '../../core/converge/bucket.ts';
import type { Cap, Expiry, Increment, KeyHead, Register } from '../../core/converge/cell.ts';
import { DAMAGED, emptyHead } from '../../core/converge/cell.ts';
import type { MendableCell } from '../../core/converge/mend.ts';
import type { Version } from '../../core/stamp.ts';
import type { CacheTables } from './cache-tables.ts';

/** What the key may have rows of, in `keys.parts`. */
const ELEMENTS = 1;
const INCREMENTS = 2;
const EXPIRIES = 4;

const TYPES: readonly KeyHead['type'][] = ['none', 'string', 'hash', 'set', 'zset', 'timeline'];

const TIMELINE = TYPES.indexOf('timeline');

/** A row of `keys`. */
export interface HeadRow {
  readonly type: number;
  readonly kill: Version;
  readonly version: Version;
  readonly value: string | null;
  readonly expire_at: number;
  readonly parts: number;
  readonly timeline: string | null;
}

export class EmbeddedCell implements MendableCell {
  readonly key: string;
  readonly head: KeyHead;
  readonly #tables: CacheTables;
  #stored: boolean;
  #changed = false;
  #dropped = 0;
  #parts = 0;
  #damage = NO_DAMAGE;
  /** Of a string. */
  #string: Register | undefined;

  /** `row`: where it was read already. */
  constructor(tables: CacheTables, key: string, row = tables.head.get(key) as HeadRow | undefined) {
    this.#tables = tables;
    this.key = key;
    this.#stored = row !== undefined;
    const timeline = row?.type === TIMELINE ? parseTimeline(row.timeline) : NO_TIMELINE;
    this.head = row === undefined ? emptyHead() : headOf(row, timeline);
    if (row === undefined) return;
    if (isTypeLost(row) || row.expire_at < 0 || timeline === undefined) this.#damage = damageOf(row, timeline);
    this.#parts = row.parts;
    // A value without its version is seen by whoever looks into the file, so it is not passed over.
    if (row.version !== '' || row.value !== null) this.#string = { version: row.version, value: row.value };
  }

  get bucket(): number {
    return bucketOf(this.key);
  }

  /** Number of rows removed through this cell. */
  get dropped(): number {
    return this.#dropped;
  }

  headChanged(): void {
    this.#changed = true;
  }

  /** Writes the head back where it changed. */
  flush(): void {
    if (!this.#changed) return;
    this.#changed = false;
    const { type, kill, expireAtMs, caps, members } = this.head;
    const { version = '', value = null } = this.#string ?? {};
    const damage = this.#damaged;
    const timeline = type === 'timeline' && !damage.timeline ? JSON.stringify({ caps, members }) : null;
    const typeStored = damage.type ? -1 : TYPES.indexOf(type);
    const row = [typeStored, kill, version, value, damage.expiry ? -1 : expireAtMs, this.#parts, timeline, this.key] as const;
    if (this.#stored) this.#tables.headChange.run(...row);
    else this.#tables.headPut.run(...row, bucketOf(this.key));
  }

  /** Removes whatever any table holds of the key, also what its head does not know of. */
  clear(): void {
    const { headDrop, elementsClear, incrementsClear, expiriesClear } = this.#tables;
    for (const statement of [headDrop, elementsClear, incrementsClear, expiriesClear]) this.#drop(statement, this.key);
    Object.assign(this.head, emptyHead());
    this.#string = undefined;
    this.#parts = 0;
    this.#damage = NO_DAMAGE;
    this.#stored = false;
    this.#changed = false;
  }

  /** Removes the key; nothing but its head may be left. */
  forget(): void {
    this.#drop(this.#tables.headDrop, this.key);
  }

  register(name: string): Register | undefined {
    if (this.head.type === 'string') return this.#string;
    const row = this.#has(ELEMENTS) ? (this.#tables.element.get(this.key, name) as Register | undefined) : undefined;
    return row && this.#typed(row);
  }

  setRegister(name: string, register: Register): void {
    if (this.head.type === 'string') {
      this.#string = register;
      this.#changed = true;
      return;
    }
    this.#tables.elementPut.run(this.key, name, register.version, register.value);
    this.#filled(ELEMENTS);
  }

  dropRegister(name: string): void {
    this.#drop(this.#tables.elementDrop, this.key, name);
  }

  *registers(): Iterable<readonly [string, Register]> {
    if (this.#string !== undefined) yield ['', this.#string];
    if (!this.#has(ELEMENTS)) return;
    for (const row of this.#tables.elements.all(this.key) as unknown as ({ name: string } & Register)[]) yield [row.name, this.#typed(row)];
  }

  tombstones(upTo: Version): readonly (readonly [string, Version])[] {
    if (!this.#has(ELEMENTS)) return [];
    const rows = this.#tables.tombstones.all(this.key, upTo) as unknown as { name: string; version: Version }[];
    return rows.map((row) => [row.name, row.version]);
  }

  hasIncrement(name: string, version: Version): boolean {
    return this.#has(INCREMENTS) && this.#tables.increment.get(this.key, name, version) !== undefined;
  }

  addIncrement(name: string, increment: Increment): void {
    this.#tables.incrementPut.run(this.key, name, increment.version, increment.delta);
    this.#filled(INCREMENTS);
  }

  dropIncrements(name: string, upTo: Version): void {
    if (this.#has(INCREMENTS)) this.#drop(this.#tables.incrementsDropOf, this.key, name, upTo);
  }

  *increments(upTo: Version): Iterable<readonly [string, readonly Increment[]]> {
    if (!this.#has(INCREMENTS)) return;
    const { increments, incrementsUpTo } = this.#tables;
    const rows = (upTo === '' ? increments.all(this.key) : incrementsUpTo.all(this.key, upTo)) as unknown as ({
      name: string;
    } & Increment)[];
    for (let from = 0, to = 0; from < rows.length; from = to) {
      const name = rows[from]?.name ?? '';
      while (rows[to]?.name === name) to++;
      yield [name, rows.slice(from, to)];
    }
  }

  expiries(): readonly Expiry[] {
    const rows = this.#has(EXPIRIES) ? (this.#tables.expiries.all(this.key) as unknown as { version: Version; at_ms: number }[]) : [];
    const expiries = rows.map((row) => ({ version: row.version, atMs: Math.max(0, row.at_ms) }));
    const { type, expiry, timeline } = this.#damaged;
    if (!(type || expiry || timeline || rows.some((row) => row.at_ms < 0))) return expiries;
    return [...expiries, { version: DAMAGED, atMs: expiries.at(-1)?.atMs ?? this.head.expireAtMs }];
  }

  /** Of the head. It stays until something replaces the key as a whole. */
  get #damaged(): Damage {
    return this.#damage.kill === this.head.kill ? this.#damage : NO_DAMAGE;
  }

  addExpiry(expiry: Expiry): void {
    this.#tables.expiryPut.run(this.key, expiry.version, expiry.atMs);
    this.#filled(EXPIRIES);
  }

  dropExpiries(upTo: Version): void {
    if (!this.#has(EXPIRIES)) return;
    this.#drop(this.#tables.expiriesDrop, this.key, upTo);
    this.#emptied(EXPIRIES, this.#tables.expiriesAny.get(this.key));
  }

  top(): Version {
    let top = this.#string?.version ?? '';
    for (const [part, statement] of [
      [ELEMENTS, this.#tables.elementsTop],
      [INCREMENTS, this.#tables.incrementsTop],
    ] as const) {
      if (!this.#has(part)) continue;
      const found = String(statement.get(this.key)?.['top']);
      if (found > top) top = found;
    }
    return top;
  }

  dropUpTo(upTo: Version): void {
    if (this.#string !== undefined && this.#string.version <= upTo) this.#string = undefined;
    if (this.#parts === 0) return;
    const { elementsDrop, elementsAny, incrementsDrop, incrementsAny } = this.#tables;
    if (this.#has(ELEMENTS)) {
      this.#drop(elementsDrop, this.key, upTo);
      this.#emptied(ELEMENTS, elementsAny.get(this.key));
    }
    if (this.#has(INCREMENTS)) {
      this.#drop(incrementsDrop, this.key, upTo);
      this.#emptied(INCREMENTS, incrementsAny.get(this.key));
    }
    this.dropExpiries(upTo);
  }

  /** A value that the key's type does not have is not taken for one that it has. */
  #typed(register: Register): Register {
    const { version, value } = register;
    if (this.head.type === 'hash' && typeof value === 'number') return { version, value: `${value} (a number)` };
    return this.head.type === 'zset' && typeof value === 'string' ? { version, value: Number.NaN } : register;
  }

  #drop(statement: StatementSync, ...params: readonly string[]): void {
    this.#dropped += Number(statement.run(...params).changes);
  }

  #has(part: number): boolean {
    return (this.#parts & part) !== 0;
  }

  #filled(part: number): void {
    if (this.#has(part)) return;
    this.#parts |= part;
    this.#changed = true;
  }

  #emptied(part: number, left: unknown): void {
    if (left !== undefined || !this.#has(part)) return;
    this.#parts &= ~part;
    this.#changed = true;
  }
}

/** What cannot be read of a head, and the kill that it had then. */
interface Damage {
  readonly type: boolean;
  readonly expiry: boolean;
  readonly timeline: boolean;
  readonly kill: Version;
}

const NO_DAMAGE: Damage = { type: false, expiry: false, timeline: false, kill: '' };

/** What is broken in a head shows as damage (DAMAGED), beside what can still be read. */
function headOf(row: HeadRow, timeline: Timeline | undefined): KeyHead {
  const type = isTypeLost(row) ? shownType(row) : (TYPES[row.type] ?? 'none');
  return { type, kill: row.kill, expireAtMs: Math.max(0, row.expire_at), ...(timeline ?? NO_TIMELINE) };
}

function damageOf(row: HeadRow, timeline: Timeline | undefined): Damage {
  return { type: isTypeLost(row), expiry: row.expire_at < 0, timeline: timeline === undefined, kill: row.kill };
}

function isTypeLost({ type, value }: HeadRow): boolean {
  return type < 0 || (type === 0 && value !== null);
}

function shownType(row: HeadRow): KeyHead['type'] {
  return row.value === null ? 'hash' : 'string';
}

type Timeline = Pick<KeyHead, 'caps' | 'members'>;
const NO_TIMELINE: Timeline = { caps: [], members: 0 };

function parseTimeline(text: string | null): Timeline | undefined {
  try {
    const { caps, members } = JSON.parse(text ?? '');
    return Array.isArray(caps) && caps.every(isCap) && Number.isSafeInteger(members) ? { caps, members } : undefined;
  } catch {
    return undefined;
  }
}

function isCap(cap: Partial<Cap> | null): cap is Cap {
  return typeof cap === 'object' && typeof cap?.version === 'string' && typeof cap.cap === 'number';
}
