import assert from 'node:assert/strict';
import { DatabaseSync } from 'node:sqlite';
import { describe, it } from 'node:test';
import { LANE } from './database-kit.ts';
import { inTransaction, openOwnTables, RequestTable } from './database-tables.ts';

function makeTable(): { readonly db: DatabaseSync; readonly requests: RequestTable } {
  const db = new DatabaseSync(':memory:');
  openOwnTables(db, { room: 'beijing', role: 'master' }, 'memory');
  return { db, requests: new RequestTable(db) };
}

describe('the record of requests', () => {
  it('is bounded: the oldest committed ones go, the refused ones stay, for a cache from an old copy asks for them', () => {
    const { db, requests } = makeTable();
    inTransaction(db, () => {
      for (let seq = 0; seq < 70_000; seq += 1) {
        requests.record(LANE, seq, [{ index: 0, requestId: `r${seq}`, refusal: seq === 1 ? 'no' : undefined }]);
        requests.trim();
      }
    });
    const kept = Number(db.prepare('SELECT count(*) AS n FROM wmb_requests').get()?.n);
    assert.ok(kept >= 65_536 && kept <= 65_536 + 1_024 + 1, `${kept} are kept`);
    assert.equal(requests.isCommitted(LANE, { seq: 0, index: 0, requestId: 'r0' }), false);
    assert.equal(requests.isCommitted(LANE, { seq: 69_999, index: 0, requestId: 'r69999' }), true);
    assert.deepEqual([...requests.refused(LANE, 1)], [[0, 'no']]);
    db.close();
  });

  it('keeps the record of a frame when a write request of an older epoch is retried at the same place', () => {
    const { db, requests } = makeTable();
    requests.record(LANE, 5, [{ index: 0, requestId: 'new', refusal: 'no' }]);
    requests.record(LANE, 5, [{ index: 0, requestId: 'old', refusal: undefined }]);
    assert.deepEqual([...requests.refused(LANE, 5)], [[0, 'no']]);
    db.close();
  });
});
