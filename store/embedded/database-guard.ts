/**
 * What SQL of users may do, enforced by SQLite's authorizer while their statements are compiled. It sees what a statement really does,
 * also through triggers and views, so nothing depends on reading SQL text. VACUUM alone does not ask it; it refuses itself inside a
 * transaction, and there is always one.
 */
import { constants, type DatabaseSync } from 'node:sqlite';
import { Refusal } from '../statement-checks.ts';

/** `statement`: reads and writes rows of user tables. `schema`: makes and alters user tables and touches no row. */
export type GuardRules = 'statement' | 'schema';

type Verdict = string | undefined;

const READS = new Set([constants.SQLITE_SELECT, constants.SQLITE_READ, constants.SQLITE_FUNCTION, constants.SQLITE_RECURSIVE]);
const ROW_WRITES = new Set([constants.SQLITE_INSERT, constants.SQLITE_UPDATE, constants.SQLITE_DELETE]);
const CREATES = new Set([
  constants.SQLITE_CREATE_TABLE,
  constants.SQLITE_CREATE_INDEX,
  constants.SQLITE_CREATE_TRIGGER,
  constants.SQLITE_CREATE_VIEW,
  constants.SQLITE_DROP_INDEX,
  constants.SQLITE_DROP_TRIGGER,
  constants.SQLITE_DROP_VIEW,
  constants.SQLITE_ALTER_TABLE,
  constants.SQLITE_REINDEX,
]);

export class SqlGuard {
  #rules: GuardRules | undefined;
  #denied: Verdict;

  constructor(db: DatabaseSync) {
    db.setAuthorizer((action, first, second) => {
      if (this.#rules === undefined) return constants.SQLITE_OK;
      const denied = this.#rules === 'schema' ? schemaVerdict(action, first, second) : statementVerdict(action, first);
      this.#denied ??= denied;
      return denied === undefined ? constants.SQLITE_OK : constants.SQLITE_DENY;
    });
  }

  /** Runs `compile` (which prepares or executes SQL of a user) under `rules`. Throws a Refusal that says what was not allowed. */
  under<T>(rules: GuardRules, compile: () => T): T {
    this.#rules = rules;
    this.#denied = undefined;
    try {
      return compile();
    } catch (cause) {
      throw this.#denied === undefined ? cause : new Refusal(this.#denied);
    } finally {
      this.#rules = undefined;
    }
  }
}

function statementVerdict(action: number, table: string | null): Verdict {
  const isRows = READS.has(action) || (ROW_WRITES.has(action) && !isInternal(table));
  if (isRows) return reservedVerdict(action, table);
  return 'only SELECT, INSERT, UPDATE and DELETE are allowed in a processor’s statement: WMB runs the transaction, and tables are made by the schema file';
}

function schemaVerdict(action: number, first: string | null, second: string | null): Verdict {
  if (READS.has(action)) return undefined;
  if (ROW_WRITES.has(action)) {
    return isInternal(first)
      ? undefined
      : `the schema file may not change rows (of ${first}): they would not reach the slave rooms; submit them as write requests`;
  }
  if (CREATES.has(action)) return reservedVerdict(action, first) ?? reservedVerdict(action, second);
  return 'only tables, indexes, views and triggers may be made here: no PRAGMA, transaction, ATTACH, temporary or virtual table, and no DROP TABLE';
}

function reservedVerdict(action: number, name: string | null): Verdict {
  if (name === null || action === constants.SQLITE_FUNCTION) return undefined;
  return /^wmb_/i.test(name) ? `${name}: names that begin with wmb_ are WMB’s own` : undefined;
}

function isInternal(table: string | null): boolean {
  return table !== null && /^sqlite_/i.test(table);
}
