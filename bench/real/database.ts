/**
 * Database effects, one row per write request, in batches of 256, beside batched inserts of the same rows by the bare client, one transaction per 256: by one lane, and
 * by as many as a room has.
 */
import mysql from 'mysql2/promise';
import { formatStamp } from '../../core/stamp.ts';
import type { DatabaseStore, DatabaseWrite } from '../../store/database.ts';
import { makeSchema, opened } from '../../store/mysql/database-kit.ts';
import { type SqlServer, startMariadb, startMysql } from '../../test/containers/mysql.ts';
import type { Row } from '../report.ts';
import { removeAll } from './servers.ts';
import { type Measured, median, perSecond, timed, usageRows } from './timed.ts';

const BATCH = 256;
const LANES = 8;
const EPOCH = '00000000000000aa';
export const TABLE = `CREATE TABLE IF NOT EXISTS messages (id VARCHAR(128) NOT NULL, sender BIGINT NOT NULL, recipient BIGINT NOT NULL,
  sent_at BIGINT NOT NULL, body VARCHAR(400), wmb_stamp CHAR(24) NOT NULL, PRIMARY KEY (id));`;
const BODY = 'x'.repeat(100);
const SENT_AT = 1_082_040_961;
const TARGET = { must: 0.5, aim: 0.8 };

const PRODUCTS = { MySQL: startMysql, MariaDB: startMariadb } as const;

const stamp = (n: number) => formatStamp({ ms: 1_700_000_000_000 + n, counter: 0, writer: 0x0100_0001 });
const requestId = (n: number) => `01a2187c-${String(n * 7_919).padStart(12, '0')}`;

export async function measureDatabase(count: number, rounds: number): Promise<Row[]> {
  const rows: Row[] = [];
  for (const [product, start] of Object.entries(PRODUCTS)) {
    const server = await start({ hostNetwork: true });
    try {
      rows.push(...(await measure(product, server, { count, rounds })));
    } finally {
      await removeAll([server]);
    }
  }
  return rows;
}

async function measure(product: string, server: SqlServer, scale: { readonly count: number; readonly rounds: number }): Promise<Row[]> {
  const bare: Measured[] = [];
  const one: Measured[] = [];
  const eight: Measured[] = [];
  // The first round warms everything up.
  for (let round = 0; round <= scale.rounds; round += 1) {
    bare.push(await reference(server, scale.count));
    one.push(await ours(server, 1, scale.count));
    eight.push(await ours(server, LANES, scale.count));
  }
  const reached = median(bare.slice(1), perSecond);
  return [
    ...usageRows(`reference: ${product}, batched inserts by the bare client`, reached, 'row'),
    ...rowsOf(`database effects into ${product}, one lane`, median(one.slice(1), perSecond), reached),
    ...rowsOf(`database effects into ${product}, ${LANES} lanes`, median(eight.slice(1), perSecond), reached),
  ];
}

async function reference(server: SqlServer, count: number): Promise<Measured> {
  const made = await makeSchema(server, TABLE);
  const { host, port, user, password } = server;
  const connection = await mysql.createConnection({ host, port, user, password, database: made.options.schema });
  const insert = async () => {
    for (let from = 0; from < count; from += BATCH) {
      const rows = Array.from({ length: BATCH }, (_, at) => [requestId(from + at), from, at, SENT_AT, BODY, stamp(from + at)]);
      await connection.query('START TRANSACTION');
      await connection.query('INSERT INTO messages (id, sender, recipient, sent_at, body, wmb_stamp) VALUES ?', [rows]);
      await connection.query('COMMIT');
    }
  };
  const measured = await timed(server, count, insert);
  await connection.end();
  await made.remove();
  return measured;
}

async function ours(server: SqlServer, lanes: number, count: number): Promise<Measured> {
  const made = await makeSchema(server, TABLE);
  const store = await opened(made.options);
  const measured = await timed(server, count, () => execute(store, lanes, count));
  await store.close();
  await made.remove();
  return measured;
}

/** So many rows, in batches, over so many lanes at a time. */
export async function execute(store: DatabaseStore, lanes: number, count: number): Promise<void> {
  const batches = Math.floor(count / BATCH / lanes);
  await Promise.all(
    Array.from({ length: lanes }, async (_, partition) => {
      const lane = { log: 'writes' as const, origin: 'beijing', partition };
      for (let seq = 0; seq < batches; seq += 1) {
        const writes = writesOf((partition * batches + seq) * BATCH, seq);
        const result = await store.execute({ moves: [{ ...lane, epoch: EPOCH, expected: seq - 1, next: seq }], lane, writes });
        if (!result.moved || result.outcomes.some((it) => it.status !== 'committed')) throw new Error('a write was refused');
      }
    }),
  );
}

function writesOf(from: number, seq: number): DatabaseWrite[] {
  return Array.from({ length: BATCH }, (_, index): DatabaseWrite => {
    const id = requestId(from + index);
    const values = { sender: from, recipient: index, sent_at: SENT_AT, body: BODY };
    const statements = [{ op: 'upsert' as const, table: 'messages', key: { id }, values }];
    return { requestId: id, stamp: stamp(from + index), seq, index, key: `user:${(from + index) % 512}`, statements };
  });
}

function rowsOf(what: string, measured: Measured, reached: Measured): Row[] {
  const ratio = measured.perSecond / reached.perSecond;
  const target = { text: `≥ ${TARGET.must}, aim ${TARGET.aim}`, met: ratio >= TARGET.must };
  return [...usageRows(what, measured, 'row'), { what: '  of the bare client', value: ratio, unit: 'ratio', target }];
}
