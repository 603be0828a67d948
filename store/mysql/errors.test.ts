import assert from 'node:assert/strict';
import { test } from 'node:test';
import { WmbError } from '../../core/errors.ts';
import { isFatal, storeError } from './errors.ts';

test('what is asked on a connection that is closed already is the store’s failure, which passes, and no defect', () => {
  const cause = Object.assign(new Error("Can't add new command when connection is in closed state"), { fatal: true });
  assert.ok(isFatal(cause));
  const error = storeError(cause, 'the database');
  assert.ok(error instanceof WmbError);
  assert.equal(error.code, 'STORE_UNAVAILABLE');
});
