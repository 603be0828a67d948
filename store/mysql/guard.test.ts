import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { checkSchemaStatement, checkStatement } from './guard.ts';

describe('a processor’s statement', () => {
  it('is one that reads or writes rows, whatever stands in its texts and comments', () => {
    for (const text of [
      'SELECT 1',
      '  -- COMMIT\n update a set x = ? where id = ?;',
      'INSERT INTO a VALUES (\'COMMIT; DROP TABLE a\', "wmb_marks\\"; --")',
      'REPLACE INTO `a` VALUES (1) # DROP\n',
      'WITH x AS (SELECT 1) DELETE FROM a WHERE id IN (SELECT * FROM x)',
      'UPDATE a SET wmb_stamp = ? WHERE id = 1',
    ]) {
      assert.doesNotThrow(() => checkStatement(text), text);
    }
  });

  it('neither ends the transaction nor leaves it', () => {
    for (const text of [
      'COMMIT',
      'START TRANSACTION',
      'SET sql_log_bin = 0',
      'SET autocommit = 1',
      'LOCK TABLES a WRITE',
      'TRUNCATE a',
      'CALL p()',
      'DO SLEEP(1)',
      'XA START 1',
      'HANDLER a OPEN',
      'LOAD DATA INFILE "x" INTO TABLE a',
      'PREPARE x FROM "COMMIT"',
      'CREATE TABLE b SELECT 1',
      'FLUSH TABLES',
      '/* x */ COMMIT',
    ]) {
      assert.throws(() => checkStatement(text), /only SELECT, INSERT, UPDATE and DELETE/, text);
    }
    for (const text of ['SELECT 1; COMMIT', "SELECT '\\'; COMMIT; -- '; COMMIT"])
      assert.throws(() => checkStatement(text), /one SQL statement/, text);
    assert.throws(() => checkStatement('/*!50000 COMMIT */'), /one SQL statement/);
    for (const text of ['SELECT 1 /*!50000 , 2 */', 'SELECT 1 /*M! INTO OUTFILE "x" */', 'INSERT INTO a VALUES (1) /*! , (2) */']) {
      assert.throws(() => checkStatement(text), /comments that the server executes/, text);
    }
    assert.throws(() => checkStatement("SELECT 1 INTO OUTFILE '/x'"), /may not write files/);
  });

  it('does not name WMB’s own tables', () => {
    for (const text of ['DELETE FROM wmb_marks', 'DELETE FROM `WMB_Requests`', 'UPDATE a, x.wmb_identity SET y = 1']) {
      assert.throws(() => checkStatement(text), /WMB’s own/, text);
    }
  });

  it('has as many placeholders as are none in texts, names and comments', () => {
    assert.equal(checkStatement('SELECT ?, \'?\', "\\"?", `?` -- ?\n, ? # ?\n/* ? */').placeholders, 2);
    assert.equal(checkStatement('SELECT 5--?').placeholders, 1, 'two hyphens without a space are two minus signs');
  });
});

describe('a statement of the schema file', () => {
  it('makes and alters tables, indexes, views and triggers', () => {
    for (const text of [
      'CREATE TABLE IF NOT EXISTS a (id INT)',
      'create unique index i on a (x)',
      'ALTER TABLE a ADD COLUMN y INT',
      'CREATE OR REPLACE VIEW v AS SELECT 1',
    ]) {
      assert.doesNotThrow(() => checkSchemaStatement(text), text);
    }
  });

  it('does nothing else', () => {
    for (const text of [
      'DROP TABLE a',
      'INSERT INTO a VALUES (1)',
      'CREATE TEMPORARY TABLE a (id INT)',
      'SET GLOBAL x = 1',
      'CREATE TABLE wmb_x (id INT)',
      'CREATE USER x',
      'GRANT ALL ON *.* TO x',
    ]) {
      assert.throws(() => checkSchemaStatement(text), /may be made here|WMB’s own/, text);
    }
  });
});
