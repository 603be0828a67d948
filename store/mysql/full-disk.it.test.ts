/** A database server whose disk is full. MySQL only: on a file system in memory MariaDB ends itself when that is full. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { formatStamp } from '../../core/stamp.ts';
import type { Lane } from '../../core/words.ts';
import { containersAvailable, NO_ENGINE } from '../../test/containers/engine.ts';
import { startMysql } from '../../test/containers/mysql.ts';
import type { DatabaseWrite } from '../database.ts';
import { makeSchema, opened } from './database-kit.ts';

const skip = !(await containersAvailable()) && NO_ENGINE;
const LANE: Lane = { log: 'writes', origin: 'beijing', partition: 0 };
const DATA = '/var/lib/mysql';
const SCHEMA = 'CREATE TABLE t (id BIGINT NOT NULL, x TEXT, wmb_stamp CHAR(24), PRIMARY KEY (id));';
/** Rows so large that the table has to grow. */
const ROWS = 16;
const TEXT = 'x'.repeat(20_000);

function batchOf(seq: number) {
  const writes = Array.from({ length: ROWS }, (_, index): DatabaseWrite => {
    const id = seq * ROWS + index;
    const stamp = formatStamp({ ms: 1_700_000_000_000 + id, counter: 0, writer: 0x0100_0001 });
    return { requestId: `r${id}`, stamp, seq, index, statements: [{ op: 'upsert', table: 't', key: { id }, values: { x: TEXT } }] };
  });
  return { moves: [{ ...LANE, epoch: '00000000000000aa', expected: seq - 1, next: seq }], lane: LANE, writes };
}

test('a full disk: nothing of the batch is committed, and it goes through when there is space', { skip }, async (t) => {
  const server = await startMysql({ hostNetwork: true, smallDisk: { path: DATA, megabytes: 320 } });
  t.after(() => server.remove());
  const made = await makeSchema(server, SCHEMA);
  const store = await opened(made.options);
  t.after(() => store.close());
  await store.execute(batchOf(0));
  await server.container.exec('sh', '-c', `dd if=/dev/zero of=${DATA}/filler bs=64k 2> /dev/null || true`);
  await assert.rejects(store.execute(batchOf(1)), {
    code: 'STORE_FULL',
    message: /no space is left in .* nothing of the batch was committed/,
  });
  assert.equal((await store.marks())[0]?.seq, 0);
  await server.container.exec('rm', `${DATA}/filler`);
  assert.equal((await store.execute(batchOf(1))).moved, true);
  assert.equal((await store.marks())[0]?.seq, 1);
  let rows = 0;
  for await (const _ of store.rows('t')) rows += 1;
  assert.equal(rows, 2 * ROWS);
});
