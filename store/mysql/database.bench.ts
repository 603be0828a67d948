/**
 * Database effects, one row per write request, against batched inserts of the same rows by the bare client, one transaction per 256. Both on a server in a
 * container, or on the one that WMB_TEST_MYSQL (or WMB_TEST_MARIADB) names: node store/mysql/database.bench.ts
 */
import mysql from 'mysql2/promise';
import { parseAddress } from '../../core/config/address.ts';
import { formatStamp } from '../../core/stamp.ts';
import type { DatabaseWrite } from '../database.ts';
import { makeSchema, opened, type TestServer, testServer } from './database-kit.ts';

const WRITES = 51_200;
const BATCH = 256;
const ROUNDS = 3;
const EPOCH = '00000000000000aa';
const TABLE = `CREATE TABLE IF NOT EXISTS messages (id VARCHAR(128) NOT NULL, sender BIGINT NOT NULL, recipient BIGINT NOT NULL,
  sent_at BIGINT NOT NULL, body VARCHAR(400), wmb_stamp CHAR(24) NOT NULL, PRIMARY KEY (id));`;
const BODY = 'x'.repeat(100);

const stamp = (n: number) => formatStamp({ ms: 1_700_000_000_000 + n, counter: 0, writer: 0x0100_0001 });
const requestId = (n: number) => `01a2187c-${String(n * 7_919).padStart(12, '0')}`;

async function reference(server: TestServer, schema: string): Promise<number> {
  const { host, port } = parseAddress(server.address) ?? { host: '127.0.0.1', port: 3306 };
  const connection = await mysql.createConnection({ host, port, user: server.user, password: server.password, database: schema });
  const startMs = performance.now();
  for (let from = 0; from < WRITES; from += BATCH) {
    const rows = Array.from({ length: BATCH }, (_, at) => [requestId(from + at), from, at, 1_082_040_961, BODY, stamp(from + at)]);
    await connection.query('START TRANSACTION');
    await connection.query('INSERT INTO messages (id, sender, recipient, sent_at, body, wmb_stamp) VALUES ?', [rows]);
    await connection.query('COMMIT');
  }
  const ms = performance.now() - startMs;
  await connection.end();
  return ms;
}

async function ours(server: TestServer, lanes: number): Promise<number> {
  const made = await makeSchema(server, TABLE);
  const store = await opened(made.options);
  const startMs = performance.now();
  const batches = WRITES / BATCH / lanes;
  await Promise.all(
    Array.from({ length: lanes }, async (_, partition) => {
      const lane = { log: 'writes' as const, origin: 'beijing', partition };
      for (let batch = 0; batch < batches; batch += 1) {
        const from = (partition * batches + batch) * BATCH;
        const writes = Array.from({ length: BATCH }, (_, at): DatabaseWrite => {
          const n = from + at;
          const values = { sender: from, recipient: at, sent_at: 1_082_040_961, body: BODY };
          return {
            requestId: requestId(n),
            stamp: stamp(n),
            seq: batch,
            index: at,
            key: `user:${n % 512}`,
            statements: [{ op: 'upsert', table: 'messages', key: { id: requestId(n) }, values }],
          };
        });
        const result = await store.execute({ moves: [{ ...lane, epoch: EPOCH, expected: batch - 1, next: batch }], lane, writes });
        if (!result.moved || result.outcomes.some((it) => it.status !== 'committed')) throw new Error('a write was refused');
      }
    }),
  );
  const ms = performance.now() - startMs;
  await store.close();
  await made.remove();
  return ms;
}

for (const name of ['WMB_TEST_MYSQL', 'WMB_TEST_MARIADB'] as const) {
  const server = await testServer(name);
  if (server === undefined) continue;
  for (let round = 0; round < ROUNDS; round += 1) {
    const made = await makeSchema(server, TABLE);
    const referenceMs = await reference(server, made.options.schema);
    await made.remove();
    const [oneMs, eightMs] = [await ours(server, 1), await ours(server, 8)];
    const rate = (ms: number) => `${Math.round((WRITES / ms) * 1_000)} writes/s`;
    process.stdout.write(
      `${name}: reference ${rate(referenceMs)}; one lane ${rate(oneMs)} (${(referenceMs / oneMs).toFixed(2)}); eight lanes ${rate(eightMs)} (${(referenceMs / eightMs).toFixed(2)})\n`,
    );
  }
}
