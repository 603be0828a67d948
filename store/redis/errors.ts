/** What Redis, Valkey and the client library say, told in WMB's words. The only place that looks at their texts. */
import { ReplyError } from 'ioredis';
import { type ErrorCode, WmbError } from '../../core/errors.ts';
import { tlsTrouble } from '../../core/tls-trouble.ts';

type Telling = readonly [code: ErrorCode, what: string];

const NOT_CLUSTER = 'is a node of a Redis Cluster; list plain servers as `nodes` instead: WMB spreads the keys itself';

const NO_DATABASE = 'has no logical database of this number; lower `database` of the cache, or raise `databases` in its configuration';

/** By the first word of the server's answer. */
const TELLINGS: Readonly<Record<string, Telling>> = {
  // The lanes wait: after a failover the address may lead to the new master, or this one may become it.
  READONLY: ['STORE_UNAVAILABLE', 'is a replica and takes no writes; make it the master, or let the address lead to the master'],
  OOM: ['STORE_FULL', 'has reached its maxmemory; nothing of the batch was written: raise maxmemory'],
  MISCONF: ['STORE_UNAVAILABLE', 'refuses writes because it cannot save its data to disk: free space, or correct its save settings'],
  LOADING: ['STORE_UNAVAILABLE', 'is still loading its data'],
  BUSY: ['STORE_UNAVAILABLE', 'is held up by a script'],
  MASTERDOWN: ['STORE_UNAVAILABLE', 'is a replica that has lost its master'],
  CLUSTERDOWN: ['STORE_UNFIT', NOT_CLUSTER],
  MOVED: ['STORE_UNFIT', NOT_CLUSTER],
  CROSSSLOT: ['STORE_UNFIT', NOT_CLUSTER],
  WRONGPASS: ['STORE_DENIED', 'refuses the user or its password'],
  NOAUTH: ['STORE_DENIED', 'wants a password: set `password` of the cache'],
  NOPERM: ['STORE_DENIED', 'does not let the user do what WMB needs'],
};

/** What the server answered instead of a result; undefined where it is the way to it that failed. */
function answerOf(cause: unknown): string | undefined {
  return cause instanceof ReplyError ? (cause as Error).message : undefined;
}

export function isNoFunction(cause: unknown): boolean {
  return /^(?:NOSCRIPT|ERR Function not found)/.test(answerOf(cause) ?? '');
}

/** FUNCTION is not there, or not for this user: scripts do the same. */
export function isFunctionRefused(cause: unknown): boolean {
  return /^(?:NOPERM|ERR unknown (?:command|subcommand))/i.test(answerOf(cause) ?? '');
}

export function isReplica(cause: unknown): boolean {
  return answerOf(cause)?.startsWith('READONLY') === true;
}

/** The answer did not come; whether the call was carried out is not known. */
export function isTimeout(cause: unknown): boolean {
  return cause instanceof Error && cause.message === 'Command timed out';
}

export function silent(place: string, ms: number, cause: unknown): WmbError {
  return unavailable(`${place} gave no answer within ${ms} ms; it is connected anew`, cause);
}

/** What the client library says while it has no connection, and no reason of its own. */
const NOT_CONNECTED = /^(?:Stream isn't writeable|Connection is closed|Reached the max retries|Command aborted)/;

/** It was connected to, and has never said anything: one side may speak TLS and the other not. */
export function neverAnswered(place: string, cause: unknown, isTls: boolean): WmbError | undefined {
  const said = cause instanceof Error ? cause.message : '';
  if (!isTls && NOT_CONNECTED.test(said))
    return unavailable(`${place} closes the connection without an answer; if it speaks TLS, set \`tls\` of the cache`, cause);
  if (isTls && said === 'connect ETIMEDOUT')
    return unavailable(
      `${place} gives no answer to TLS; if it speaks none here, leave out \`tls\` of the cache, or turn it on in the server`,
      cause,
    );
  return undefined;
}

function unavailable(message: string, cause: unknown): WmbError {
  return new WmbError('STORE_UNAVAILABLE', message, { cause });
}

/** Turns a failure of the server at `place`, or of the way to it, into a WmbError. */
export function storeError(cause: unknown, place: string): WmbError {
  if (cause instanceof WmbError) return cause;
  const said = cause instanceof Error && cause.message !== '' ? cause.message : String((cause as { code?: unknown } | null)?.code ?? cause);
  const trouble = cause instanceof ReplyError ? undefined : tlsTrouble(said);
  if (trouble !== undefined) return new WmbError('STORE_UNFIT', `${place} ${trouble} (${said.trim()})`, { cause });
  if (NOT_CONNECTED.test(said)) return unavailable(`${place} has closed the connection; it is made anew`, cause);
  if (!(cause instanceof ReplyError)) return unavailable(`${place} cannot be reached: ${said}`, cause);
  if (/DB index is out of range/.test(said)) return new WmbError('STORE_UNFIT', `${place} ${NO_DATABASE} (${said})`, { cause });
  // An error within a script begins with the one that the command gave, or has it after its own first words.
  const word = /^(?:ERR )?-?([A-Z]+)\b/.exec(said)?.[1] ?? '';
  const telling = TELLINGS[word] ?? TELLINGS[/\b(OOM|READONLY|MISCONF|NOPERM)\b/.exec(said)?.[1] ?? ''];
  if (telling === undefined) return unavailable(`${place} failed: ${said}`, cause);
  return new WmbError(telling[0], `${place} ${telling[1]} (${said})`, { cause });
}
