import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { ComparableDatabase, RowKey, RowRange } from '../../store/row-comparison.ts';
import { compareDatabases } from './comparison.ts';

/** A table `t` of numbers, whose hashes are the values; `position` counts changes. */
class Side implements ComparableDatabase {
  readonly rowsById = new Map<number, string>();
  readonly follows: Side | undefined;
  /** Called before each read by key. */
  beforeLook: () => void = () => {};
  changes = 0;

  constructor(count: number, follows?: Side) {
    for (let id = 0; id < count; id += 1) this.rowsById.set(id, `v${id}`);
    this.follows = follows;
  }

  set(id: number, value: string): void {
    this.rowsById.set(id, value);
    this.changes += 1;
  }

  #in({ after, upTo }: Omit<RowRange, 'table'>) {
    const rows = [...this.rowsById].filter(
      ([id]) => (after === undefined || id > Number(after[0])) && (upTo === undefined || id <= Number(upTo[0])),
    );
    return rows.sort(([a], [b]) => a - b).map(([id, hash]) => ({ key: [id], hash }));
  }

  async tables() {
    return ['t'];
  }
  async boundary(_table: string, after: RowKey | undefined, rows: number) {
    return this.#in({ after, upTo: undefined })[rows - 1]?.key;
  }
  async digest(range: RowRange) {
    return JSON.stringify(this.#in(range));
  }
  async hashes(range: RowRange) {
    return this.#in(range);
  }
  async hashesOf(_table: string, keys: readonly RowKey[]) {
    this.beforeLook();
    return this.#in({ after: undefined, upTo: undefined }).filter(({ key }) => keys.some((wanted) => wanted[0] === key[0]));
  }
  async row() {
    return undefined;
  }
  async position() {
    return String(this.changes);
  }
  async reaches() {
    return this.follows !== undefined;
  }
  async overwrites() {
    return true;
  }
  async close() {}
}

async function compare(master: Side, slave: Side, rowsMax = 100) {
  const found = [];
  for await (const table of compareDatabases({ master, slave, chunkRows: 10, behindMsMax: 1, rowsMax })) found.push(table);
  return found[0];
}

describe('comparing a slave’s rows with the master’s', () => {
  it('finds a pair of swapped values, missing rows and extra ones, and nothing else', async () => {
    const master = new Side(100);
    const slave = new Side(100, master);
    slave.rowsById.set(41, 'v42');
    slave.rowsById.set(42, 'v41');
    slave.rowsById.delete(7);
    slave.rowsById.set(1_000, 'x');
    const compared = await compare(master, slave);
    assert.deepEqual(
      compared?.differing.map(({ key, kind }) => [key[0], kind]),
      [
        [7, 'missing'],
        [41, 'value'],
        [42, 'value'],
        [1_000, 'extra'],
      ],
    );
  });

  it('does not call different what has only not arrived when the chunk is read', async () => {
    const master = new Side(20);
    const slave = new Side(20, master);
    master.set(3, 'new');
    slave.reaches = async () => {
      slave.rowsById.set(3, 'new');
      return true;
    };
    assert.deepEqual((await compare(master, slave))?.differing, []);
  });

  it('does not call different what the master writes at every look, and says so', async () => {
    const master = new Side(20);
    const slave = new Side(20, master);
    slave.rowsById.set(3, 'older');
    master.beforeLook = () => master.set(3, `newer${master.changes}`);
    const compared = await compare(master, slave);
    assert.deepEqual([compared?.differing, compared?.unsettled], [[], 1]);
  });

  it('ends with an error where the slave does not come as far', async () => {
    const slave = new Side(20);
    slave.rowsById.set(3, 'x');
    await assert.rejects(compare(new Side(20), slave), { code: 'STORE_UNAVAILABLE' });
  });

  it('names no more rows than it may', async () => {
    const master = new Side(100);
    assert.equal((await compare(master, new Side(0, master), 15))?.differing.length, 15);
  });
});
