/** What is asked of a node and changes nothing. */
import type { Mark } from '../../core/words.ts';
import type { Connection } from './connection.ts';
import { bucketKey } from './layout.ts';
import { readMarks } from './marks.ts';
import { Packer } from './packer.ts';
import { textOf } from './shown.ts';
import { type StoredKey, storedKey } from './stored-key.ts';

export interface RoomLook {
  /** Fields of `wmb:room`. */
  readonly room: ReadonlyMap<string, string>;
  readonly marks: ReadonlyMap<string, Mark>;
}

export class NodeReader {
  readonly #connection: Connection;
  readonly #packer = new Packer();

  constructor(connection: Connection) {
    this.#connection = connection;
  }

  async look(): Promise<RoomLook> {
    const [room, marks] = (await this.#connection.call('look', '')) as [Buffer[], Buffer[]];
    return { room: pairsOf(room), marks: readMarks(pairsOf(marks)) };
  }

  /** Whose cache it is, without the functions. */
  async identity(): Promise<ReadonlyMap<string, string>> {
    const names = ['id', 'schema'];
    const values = (await this.#connection.command('HMGET', 'wmb:room', ...names)) as readonly (Buffer | null)[];
    return new Map(names.flatMap((name, at) => (values[at] ? [[name, values[at].toString()]] : [])));
  }

  /** Of these commands, those that the user may not give. */
  async denied(commands: readonly (readonly [command: string, ...rest: string[]])[]): Promise<readonly string[]> {
    const packer = this.#packer;
    packer.array(commands.length);
    for (const [command, ...rest] of commands) {
      packer.array(2 + rest.length);
      for (const text of [command, 'wmb:room', ...rest]) packer.text(text);
    }
    return (await this.#connection.call('denied', packer.take())).map(String);
  }

  /** Everything of these keys, at one moment. */
  async loadWhole(keys: readonly string[]): Promise<readonly StoredKey[]> {
    if (keys.length === 0) return [];
    const answers = await this.load(keys.map((key) => ({ key, names: [] })));
    return answers.map((answer, index) => storedKey(keys[index] ?? '', answer as readonly unknown[]));
  }

  /** As the function `load` answers: for `names` where that is enough, and otherwise for the whole key. */
  load(wanted: readonly { readonly key: string; readonly names: readonly string[] }[]): Promise<readonly unknown[]> {
    const packer = this.#packer;
    packer.array(wanted.length);
    for (const { key, names } of wanted) {
      packer.array(4);
      packer.text(bucketKey(key));
      packer.text(key);
      packer.array(names.length);
      for (const name of names) packer.text(name);
      packer.array(names.length);
      for (const name of names) packer.text(`e${name}`);
    }
    return this.#connection.call('load', packer.take());
  }

  /** Every key that has its head in one of the buckets, in the order asked for, at one moment. */
  async buckets(buckets: readonly number[]): Promise<readonly (readonly StoredKey[])[]> {
    this.#packer.array(buckets.length);
    for (const bucket of buckets) this.#packer.number(bucket);
    const filled = await this.#connection.call('buckets', this.#packer.take());
    const all = new Array<readonly StoredKey[]>(buckets.length).fill(NO_KEYS);
    for (let at = 0; at < filled.length; at += 2) all[Number(filled[at])] = storedKeys(filled[at + 1] as readonly unknown[]);
    return all;
  }

  /** Key, head, key, head, and so on, of some buckets. */
  async heads(buckets: readonly number[]): Promise<readonly Buffer[]> {
    this.#packer.array(buckets.length);
    for (const bucket of buckets) this.#packer.number(bucket);
    return (await this.#connection.call('heads', this.#packer.take())) as readonly Buffer[];
  }

  /** Those of the keys that have no head. */
  async strays(keys: readonly string[]): Promise<readonly string[]> {
    this.#packer.array(keys.length * 2);
    for (const key of keys) {
      this.#packer.text(bucketKey(key));
      this.#packer.text(key);
    }
    return (await this.#connection.call('strays', this.#packer.take())).map(textOf);
  }

  async scan(cursor: string, options: { readonly match: string; readonly count: number }): Promise<readonly [string, readonly Buffer[]]> {
    const { match, count } = options;
    const answer = await this.#connection.command('SCAN', cursor, 'MATCH', match, 'COUNT', String(count));
    const [next, names] = answer as [Buffer, Buffer[]];
    return [next.toString(), names];
  }
}

const NO_KEYS: readonly StoredKey[] = [];

/** Key, answer, key, answer, and so on. */
function storedKeys(found: readonly unknown[]): readonly StoredKey[] {
  return Array.from({ length: found.length / 2 }, (_, at) => storedKey(textOf(found[2 * at]), found[2 * at + 1] as readonly unknown[]));
}

function pairsOf(flat: readonly Buffer[]): ReadonlyMap<string, string> {
  const pairs = new Map<string, string>();
  for (let at = 0; at < flat.length; at += 2) pairs.set(String(flat[at]), String(flat[at + 1]));
  return pairs;
}
