/**
 * Some elements of a big collection, as a cell of the rules: those that the effects of a batch name. Whatever else the rules ask for makes it
 * throw NEEDS_WHOLE, and the key is read whole.
 */
import type { Expiry, Increment, KeyCell, KeyHead, Register } from '../../core/converge/cell.ts';
import { settleIncrements } from '../../core/converge/settle.ts';
import { foldIncrements } from '../../core/converge/value.ts';
import type { Version } from '../../core/stamp.ts';
import { stampMs } from '../../core/stamp.ts';
import { decodeElement, elementField, encodeElement, type StoredElement } from './elements.ts';
import type { Head } from './head.ts';
import { elementsHead } from './head.ts';
import { type ChangeContext, elementOf, type KeyChange } from './key-change.ts';
import { type Argument, type Command, commandsOf, elementCommand, scoreText, textOf } from './shown.ts';
import { seenElement, shownType } from './stored-key.ts';

export const NEEDS_WHOLE = Symbol('the whole key is needed');

/** More of one element are folded as far as the floor allows. */
const INCREMENTS_MAX = 64;

interface Element {
  register: Register | undefined;
  increments: Increment[];
  isChanged: boolean;
}

export class SomeCell implements KeyCell {
  readonly head: KeyHead;
  readonly #key: string;
  readonly #stored: Buffer;
  readonly #dueMs: number;
  readonly #elements = new Map<string, Element>();

  /** `answer`: as the function `load` gives it for `names`. */
  constructor(key: string, head: Head & { readonly kind: 'elements' }, names: readonly string[], answer: readonly unknown[]) {
    this.#key = key;
    this.#stored = answer[1] as Buffer;
    this.#dueMs = head.dueMs === 0 ? Infinity : head.dueMs;
    this.head = { type: head.type, kill: head.kill, expireAtMs: 0, caps: [], members: 0 };
    const [records, values] = [answer[2] as (Buffer | null)[], answer[3] as (Buffer | number | null)[]];
    for (const [index, name] of names.entries()) this.#elements.set(name, readElement(head.type, records[index], values[index]));
  }

  headChanged(): void {}

  register(name: string): Register | undefined {
    return this.#element(name).register;
  }

  setRegister(name: string, register: Register): void {
    const element = this.#element(name);
    element.register = register;
    element.isChanged = true;
  }

  hasIncrement(name: string, version: Version): boolean {
    return this.#element(name).increments.some((increment) => increment.version === version);
  }

  addIncrement(name: string, increment: Increment): void {
    const element = this.#element(name);
    let at = element.increments.length;
    while (at > 0 && (element.increments[at - 1]?.version ?? '') > increment.version) at--;
    element.increments.splice(at, 0, increment);
    element.isChanged = true;
  }

  dropIncrements(name: string, upTo: Version): void {
    const element = this.#element(name);
    if (element.increments.length === 0) return;
    element.increments = element.increments.filter(({ version }) => version > upTo);
    element.isChanged = true;
  }

  /** Of the elements that are here. */
  *increments(upTo: Version): Iterable<readonly [string, readonly Increment[]]> {
    for (const [name, { increments }] of this.#elements) {
      const found = increments.filter(({ version }) => version <= upTo);
      if (found.length > 0) yield [name, found];
    }
  }

  /** There are none, or the key would have been read whole. */
  expiries(): readonly Expiry[] {
    return [];
  }

  dropExpiries(): void {}

  addExpiry(): never {
    throw NEEDS_WHOLE;
  }

  dropRegister(): never {
    throw NEEDS_WHOLE;
  }

  registers(): never {
    throw NEEDS_WHOLE;
  }

  tombstones(): never {
    throw NEEDS_WHOLE;
  }

  top(): never {
    throw NEEDS_WHOLE;
  }

  dropUpTo(): never {
    throw NEEDS_WHOLE;
  }

  change({ change, settled }: ChangeContext): KeyChange {
    const isLong = [...this.#elements.values()].some(({ isChanged, increments }) => isChanged && increments.length > INCREMENTS_MAX);
    if (isLong && settled !== '') settleIncrements(this, settled);
    const changed = [...this.#elements].filter(([, { isChanged }]) => isChanged);
    const { type, kill } = this.head;
    const shown = shownType(type);
    const commands: Command[] = [];
    const fields: Argument[] = [];
    let dueMs = this.#dueMs;
    for (const [name, element] of changed) {
      const text = shownText(element);
      commands.push(elementCommand(shown, this.#key, name, text));
      fields.push(elementField(name), encodeElement(elementOf(type, element, text)));
      dueMs = Math.min(dueMs, dueOf(element));
    }
    commands.push(...commandsOf('HSET', `wmb:e:${this.#key}`, fields));
    const head = elementsHead({ type, kill, hasExpiries: false, change, dueMs: dueMs === Infinity ? 0 : dueMs });
    return { key: this.#key, expected: this.#stored, type: shown, head: changed.length === 0 ? undefined : head, commands, dueMs };
  }

  #element(name: string): Element {
    const element = this.#elements.get(name);
    if (element === undefined) throw NEEDS_WHOLE;
    return element;
  }
}

function readElement(type: KeyHead['type'], record: Buffer | null | undefined, value: Buffer | number | null | undefined): Element {
  // Membership comes as 0 or 1.
  const isThere = value !== null && value !== undefined && value !== 0;
  const actual = isThere ? (typeof value === 'number' ? '' : textOf(value)) : undefined;
  const none = record === null || record === undefined;
  if (none && actual === undefined) return { register: undefined, increments: [], isChanged: false };
  const element: StoredElement | undefined = none ? undefined : decodeElement(record);
  const { register, increments } = seenElement(type, element, { actual, mayExpire: false });
  return { register, increments: [...increments], isChanged: false };
}

function shownText({ register, increments }: Element): string | undefined {
  const value = foldIncrements(register?.value ?? null, increments);
  if (typeof value === 'number') return Number.isNaN(value) ? undefined : scoreText(value);
  return value ?? undefined;
}

function dueOf({ register, increments }: Element): number {
  const first = increments[0];
  if (first !== undefined) return stampMs(first.version);
  return register?.value === null ? stampMs(register.version) : Infinity;
}
