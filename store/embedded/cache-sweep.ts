/** Finds the keys of the embedded cache that have something to settle, a page at a time, each kind through its own index. */
import type { DatabaseSync, StatementSync } from 'node:sqlite';
import { stampMs, type Version } from '../../core/stamp.ts';

const PAGE_KEYS = 256;

/** Each gives `at` and `key`, after the place `?1, ?2`, up to `?3`. */
const CANDIDATES: readonly { readonly sql: string; readonly by: 'version' | 'moment' }[] = [
  {
    by: 'version',
    sql: 'SELECT version AS at, key FROM elements WHERE value IS NULL AND (version, key) > (?1, ?2) AND version <= ?3 ORDER BY version, key LIMIT ?4',
  },
  {
    by: 'version',
    sql: 'SELECT version AS at, key FROM increments WHERE (version, key) > (?1, ?2) AND version <= ?3 ORDER BY version, key LIMIT ?4',
  },
  {
    by: 'moment',
    sql: 'SELECT expire_at AS at, key FROM keys WHERE expire_at > 0 AND (expire_at, key) > (?1, ?2) AND expire_at <= ?3 ORDER BY expire_at, key LIMIT ?4',
  },
  // PERSIST stands at moment 0.
  { by: 'moment', sql: 'SELECT at_ms AS at, key FROM expiries WHERE (at_ms, key) > (?1, ?2) AND at_ms <= ?3 ORDER BY at_ms, key LIMIT ?4' },
  {
    by: 'version',
    sql: 'SELECT kill AS at, key FROM keys WHERE type = 0 AND parts = 0 AND (kill, key) > (?1, ?2) AND kill <= ?3 ORDER BY kill, key LIMIT ?4',
  },
];

export class SweepPages {
  readonly #candidates: readonly { readonly statement: StatementSync; readonly by: 'version' | 'moment' }[];

  constructor(db: DatabaseSync) {
    this.#candidates = CANDIDATES.map(({ sql, by }) => ({ statement: db.prepare(sql), by }));
  }

  /** Calls back with the keys of one page after the other, some more than once. */
  *pages(settled: Version): Iterable<readonly string[]> {
    for (const { statement, by } of this.#candidates) {
      const upTo = by === 'version' ? settled : stampMs(settled);
      let after: { readonly at: string | number; readonly key: string } = { at: by === 'version' ? '' : 0, key: '' };
      for (;;) {
        const rows = statement.all(after.at, after.key, upTo, PAGE_KEYS) as unknown as { at: string | number; key: string }[];
        const last = rows.at(-1);
        if (last === undefined) break;
        after = last;
        yield [...new Set(rows.map((row) => row.key))];
        if (rows.length < PAGE_KEYS) break;
      }
    }
  }
}
