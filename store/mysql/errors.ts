/** What MySQL, MariaDB and their client library say, told in WMB's words. The only place that looks at their codes. */
import { WmbError } from '../../core/errors.ts';
import { tlsTrouble } from '../../core/tls-trouble.ts';
import { Refusal } from '../statement-checks.ts';

/** What the client library throws. */
interface ServerError extends Error {
  readonly code?: string;
  readonly errno?: number;
  readonly sqlState?: string;
  readonly fatal?: boolean;
}

export const DUPLICATE_KEY = 1062;
const BAD_DATABASE = 1049;
const NO_SUCH_TABLE = 1146;
const PACKET_TOO_LARGE = 1153;
const TLS_REQUIRED = 3159;
/** The transaction lost against another one; the same again may go through. 1020: MariaDB, the row changed since the transaction began. */
const CONTENDED = new Set([1213, 1205, 1020]);
const FULL = new Set([1021, 1114, 1041, 3019]);
const READ_ONLY = new Set([1290, 1792, 1836]);
const DENIED = new Set([1044, 1045, 1698, 1142, 1143, 1227, 1370, 3118, 4151]);
/** Classes of SQLSTATE that blame a statement or its data: cardinality, data, constraints, a user's SIGNAL, syntax and names, features. */
const FAULT_CLASSES = new Set(['21', '22', '23', '45', '42', '44', '0A']);
/** Of the general class HY000: no default, wrong value, out of range, out of range, CHECK (MySQL), CHECK (MariaDB), wrong arguments, generated column. */
const FAULTS = new Set([1364, 1366, 1264, 1690, 3819, 4025, 1210, 3105, 1906, 1423, 1442, 1105, 3140, 3156, 1615, 1295, 1690, 1442]);

/** Of a connection that is closed already the library says nothing but that it is fatal. */
export function isServerError(cause: unknown): cause is ServerError {
  return cause instanceof Error && ('errno' in cause || 'fatal' in cause || ('code' in cause && typeof cause.code === 'string'));
}

/** The connection is of no use any more. */
export function isFatal(cause: unknown): boolean {
  if (!isServerError(cause)) return false;
  return cause.fatal === true || cause.sqlState === undefined || cause.sqlState.startsWith('08') || cause.errno === 1053;
}

/** Deadlock, or a lock that did not come: the whole transaction is to be made again. */
export function isContended(cause: unknown): boolean {
  return isServerError(cause) && CONTENDED.has(cause.errno ?? 0);
}

export function isDuplicateKey(cause: unknown): boolean {
  return isServerError(cause) && cause.errno === DUPLICATE_KEY;
}

export function isMissingTable(cause: unknown): boolean {
  return isServerError(cause) && cause.errno === NO_SUCH_TABLE;
}

/** Why the statement is refused, or undefined where it is the store that failed (or a defect) and the batch must not go on. */
export function refusalReason(cause: unknown): string | undefined {
  if (cause instanceof Refusal) return cause.message;
  if (!isServerError(cause) || isFatal(cause)) return undefined;
  const errno = cause.errno ?? 0;
  if (CONTENDED.has(errno) || FULL.has(errno) || READ_ONLY.has(errno)) return undefined;
  const isFault = FAULT_CLASSES.has(cause.sqlState?.slice(0, 2) ?? '') || FAULTS.has(errno);
  return isFault ? cause.message : undefined;
}

/** Turns a failure of the server at `place`, or of the way to it, into a WmbError; other errors come back as they are. */
export function storeError(cause: unknown, place: string): unknown {
  if (cause instanceof WmbError || !isServerError(cause)) return cause;
  const errno = cause.errno ?? 0;
  const said = cause.message === '' ? String(cause.code) : cause.message;
  if (FULL.has(errno))
    return new WmbError('STORE_FULL', `no space is left in ${place} (${said}); nothing of the batch was committed`, { cause });
  if (READ_ONLY.has(errno)) return readOnly(place, said, cause);
  if (DENIED.has(errno)) return denied(place, said, cause);
  if (errno === BAD_DATABASE) return new WmbError('STORE_UNPREPARED', `${place}: ${said}`, { cause });
  if (errno === PACKET_TOO_LARGE) return tooLarge(place, said, cause);
  if (CONTENDED.has(errno)) {
    return new WmbError('STORE_UNAVAILABLE', `${place}: other transactions hold the rows that are written (${said})`, { cause });
  }
  if (errno === TLS_REQUIRED) return new WmbError('STORE_UNFIT', `${place} wants TLS: set \`tls\` of the database (${said})`, { cause });
  const trouble = cause.errno === undefined ? tlsTrouble(said) : undefined;
  if (trouble !== undefined) return new WmbError('STORE_UNFIT', `${place} ${trouble} (${said.trim()})`, { cause });
  return new WmbError('STORE_UNAVAILABLE', `${place} failed: ${said}`, { cause });
}

/** The lanes wait: who made the server read-only, for a failover perhaps, will make it writable again. */
function readOnly(place: string, said: string, cause: unknown): WmbError {
  return new WmbError(
    'STORE_UNAVAILABLE',
    `${place} takes no writes (${said}): if it is meant to be the master’s, SET GLOBAL super_read_only = OFF, read_only = OFF`,
    { cause },
  );
}

function denied(place: string, said: string, cause: unknown): WmbError {
  return new WmbError('STORE_DENIED', `${place}: ${said}`, { cause });
}

function tooLarge(place: string, said: string, cause: unknown): WmbError {
  return new WmbError('STORE_UNAVAILABLE', `${place}: ${said}; raise max_allowed_packet of the server`, { cause });
}
