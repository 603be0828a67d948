import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { compareDatabases } from './comparison.ts';
import { Side } from './side-kit.ts';

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

  it('ends with an error where a table has other columns in the slave', async () => {
    const slave = new Side(20);
    slave.shapes.set('t', 'note, id; primary key id');
    await assert.rejects(compare(new Side(20), slave), { code: 'SCHEMA_INVALID', message: /^table t is another one in the slave/ });
  });

  it('names no more rows than it may', async () => {
    const master = new Side(100);
    assert.equal((await compare(master, new Side(0, master), 15))?.differing.length, 15);
  });
});
