/** What every drift book does. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { AuditEntry, Drift, DriftBook } from '../drift.ts';
import { DRIFT } from './drift.fixture.ts';

export function driftBookContract(name: string, open: () => Promise<DriftBook>): void {
  const drift = (id: string, more: Partial<Drift> = {}): Drift => ({ ...DRIFT, id, ...more });
  const ids = (drifts: readonly Drift[]) => drifts.map(({ id }) => id);

  test(`${name}: a drift comes back as it was put, and putting it again replaces it`, async () => {
    const book = await open();
    await book.put([drift('a')]);
    assert.deepEqual(await book.get('a'), drift('a'));
    assert.equal(await book.get('b'), undefined);
    await book.put([drift('a', { status: 'healed', closedMs: 9, note: 'gone' })]);
    assert.deepEqual(await book.get('a'), drift('a', { status: 'healed', closedMs: 9, note: 'gone' }));
    assert.deepEqual(await book.counts(), { open: 0, repaired: 0, healed: 1 });
    await book.close();
  });

  test(`${name}: drifts are listed by status, the newest confirmed first`, async () => {
    const book = await open();
    await book.put([
      drift('a', { confirmedMs: 1 }),
      drift('b', { confirmedMs: 3 }),
      drift('c', { confirmedMs: 2, status: 'repaired', closedMs: 5 }),
    ]);
    assert.deepEqual(ids(await book.list({ status: 'all', limit: 10 })), ['b', 'c', 'a']);
    assert.deepEqual(ids(await book.list({ status: 'open', limit: 10 })), ['b', 'a']);
    assert.deepEqual(ids(await book.list({ status: 'all', limit: 1 })), ['b']);
    assert.deepEqual(await book.counts(), { open: 2, repaired: 1, healed: 0 });
    await book.close();
  });

  test(`${name}: an audit entry is settled later, and the newest comes first`, async () => {
    const book = await open();
    const entry: AuditEntry = { atMs: 5, driftId: 'a', action: 'push', subject: 'k', result: 'begun', by: 'li', detail: '' };
    const first = await book.audit(entry);
    const second = await book.audit({ ...entry, subject: 'l' });
    await book.settleAudit(first, 'repaired', 'one element');
    const audits = await book.audits(10);
    assert.deepEqual(audits, [
      { ...entry, subject: 'l', id: second },
      { ...entry, result: 'repaired', detail: 'one element', id: first },
    ]);
    assert.equal((await book.audits(1)).length, 1);
    await book.close();
  });
}
