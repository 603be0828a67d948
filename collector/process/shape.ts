/** What a processor may return, checked field by field: the message names the place and what is wrong there. */
import { WmbError } from '../../core/errors.ts';
import type { Row, SqlValue, Statement } from '../../store/database.ts';

export interface CheckedOutput {
  readonly commands: string[][];
  readonly statements: readonly Statement[];
}

const IDENTIFIER = /^[A-Za-z_][A-Za-z0-9_]{0,63}$/;
const NOTHING: readonly Statement[] = [];

/** PROCESSOR_FAILED with the place and the fault. */
export function checkOutput(output: unknown): CheckedOutput {
  if (!isPlain(output))
    throw nonsense(`it returned ${describe(output)}; return an object such as { cache: […], database: […] }, or {} for no effects`);
  for (const name of Object.keys(output)) {
    if (name !== 'cache' && name !== 'database')
      throw nonsense(`it returned an object with the unknown field “${name}”; only cache and database are known`);
  }
  return { commands: checkCommands(output['cache']), statements: checkStatements(output['database']) };
}

function checkCommands(cache: unknown): string[][] {
  if (cache === undefined) return [];
  if (!Array.isArray(cache)) throw nonsense(`cache is ${describe(cache)}, not an array of commands`);
  return cache.map((command: unknown, at) => {
    if (!Array.isArray(command) || command.length === 0)
      throw nonsense(`cache[${at}] is ${describe(command)}, not a command such as ["SET", "key", "value"]`);
    return command.map((arg: unknown, place) => {
      if (typeof arg === 'string') return arg;
      if (typeof arg === 'number' && Number.isFinite(arg)) return String(arg);
      throw nonsense(`cache[${at}][${place}] is ${describe(arg)}; only strings and finite numbers are allowed`);
    });
  });
}

function checkStatements(database: unknown): readonly Statement[] {
  if (database === undefined) return NOTHING;
  if (!Array.isArray(database)) throw nonsense(`database is ${describe(database)}, not an array of statements`);
  return database.map((statement: unknown, at) => checkStatement(statement, `database[${at}]`));
}

function checkStatement(statement: unknown, where: string): Statement {
  if (!isPlain(statement)) throw nonsense(`${where} is ${describe(statement)}, not a statement`);
  const { op, table, key, values, text, params } = statement;
  if (op === 'upsert') {
    if (typeof table !== 'string' || !IDENTIFIER.test(table)) throw nonsense(`${where}.table is ${describe(table)}, not a table name`);
    const row = checkRow(key, `${where}.key`);
    if (Object.keys(row).length === 0) throw nonsense(`${where}.key names no column`);
    return { op, table, key: row, values: checkRow(values ?? {}, `${where}.values`) };
  }
  if (op !== 'sql') throw nonsense(`${where}.op is ${describe(op)}; it must be "upsert" or "sql"`);
  if (typeof text !== 'string' || text.trim() === '') throw nonsense(`${where}.text is ${describe(text)}, not SQL`);
  const list: unknown = params ?? [];
  if (!Array.isArray(list)) throw nonsense(`${where}.params is ${describe(list)}, not an array`);
  return { op, text, params: list.map((value: unknown, at) => checkValue(value, `${where}.params[${at}]`)) };
}

function checkRow(row: unknown, where: string): Row {
  if (!isPlain(row)) throw nonsense(`${where} is ${describe(row)}, not an object of columns`);
  for (const [column, value] of Object.entries(row)) {
    if (!IDENTIFIER.test(column)) throw nonsense(`${where} has “${column}”, which is not a column name`);
    checkValue(value, `${where}.${column}`);
  }
  return row as Row;
}

function checkValue(value: unknown, where: string): SqlValue {
  if (typeof value === 'string' || typeof value === 'bigint' || value === null || value instanceof Uint8Array) return value;
  if (typeof value === 'number' && Number.isFinite(value)) return value;
  throw nonsense(`${where} is ${describe(value)}; only strings, finite numbers, bigints, null and bytes are allowed`);
}

function isPlain(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value) && !(value instanceof Uint8Array);
}

function describe(value: unknown): string {
  if (value === null || value === undefined || typeof value === 'number' || typeof value === 'boolean') return String(value);
  if (Array.isArray(value)) return value.length === 0 ? 'an empty array' : 'an array';
  if (typeof value === 'string') return `the string “${value.length > 40 ? `${value.slice(0, 39)}…` : value}”`;
  return value instanceof Uint8Array ? 'bytes' : `of type ${typeof value}`;
}

function nonsense(what: string): WmbError {
  return new WmbError('PROCESSOR_FAILED', `the processor’s result is wrong: ${what}`);
}
