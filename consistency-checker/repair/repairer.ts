/**
 * Puts drifts right in this room, one after the other, each planned from what both rooms have now and never from the record. Dry-run unless it is told to apply.
 *
 * A step that changes something goes: read both sides, judge, plan; audit `begun`; the collector repairs compare-and-set; read both sides again; audit the result. A kill
 * in between leaves `begun`, which {@link Repairer.recover} turns into `interrupted`: every key is a transaction of its own, so it is either right or
 * as it was, and the next round of the checker says which.
 */
import { asWmbError, WmbError } from '../../core/errors.ts';
import { TokenBucket } from '../../core/flow/token-bucket.ts';
import type { Logger } from '../../core/logger.ts';
import { type Runtime, sleep } from '../../core/runtime.ts';
import { formatPosition, type RoomId } from '../../core/words.ts';
import type { CacheRepair, RepairOutcome } from '../../store/inspection.ts';
import type { DifferingRow } from '../../store/row-comparison.ts';
import type { Drift, DriftBook, RepairPlan } from '../drift.ts';
import type { Explainer } from '../report/explain.ts';
import { plainText, plural } from '../report/phrases.ts';
import type { RoomView } from '../room.ts';
import { type Differs, Planner, type Prepared } from './planner.ts';

export interface RepairRequest {
  /** `all`: every open drift of which this room is the wrong side, and those of which that cannot be told. */
  readonly ids: readonly string[] | 'all';
  /** False: says what would be done. */
  readonly apply: boolean;
  /** Most drifts this call may take on; 0: the room's limit. */
  readonly limit: number;
  /** The right side, where it cannot be told. */
  readonly from: RoomId | '';
  /** Who asks, for the audit. */
  readonly by: string;
}

export interface RepairStep {
  readonly id: string;
  readonly subject: string;
  readonly action: RepairPlan['action'];
  readonly result: 'planned' | 'repaired' | 'unchanged' | 'overtaken' | 'outdated' | 'refused' | 'failed';
  readonly detail: string;
  readonly diff: readonly string[];
  /** Drifts dealt with, this one included, of how many. */
  readonly done: number;
  readonly total: number;
}

/** What this room's collector does. */
export interface Mender {
  repair(repairs: readonly CacheRepair[]): Promise<readonly RepairOutcome[]>;
  retryParked(position: string): Promise<{ readonly outcome: string; readonly message: string }>;
}

export interface RepairerOptions {
  readonly own: RoomView;
  readonly rooms: (room: RoomId) => RoomView | undefined;
  readonly mender: Mender;
  readonly book: DriftBook;
  readonly explainer: Explainer;
  /** Both sides of a drift, read now; undefined: they agree. */
  readonly differs: (drift: Drift) => Promise<Differs>;
  /** Writes a row of the database anew in the master room. */
  readonly rewrite: (row: DifferingRow) => Promise<void>;
  readonly limits: { readonly keysMax: number; readonly keysPerSecondMax: number };
  readonly runtime: Runtime;
  readonly logger: Logger;
}

type Result = Pick<RepairStep, 'action' | 'result' | 'detail' | 'diff'>;

/** How often both sides are read anew where what was read did not hold. */
const ATTEMPTS_MAX = 5;
/** A look after a repair may see a write request on its way: it is looked at again before the repair is called failed. */
const VERIFY_LOOKS = 4;
const VERIFY_PAUSE_MS = 500;
const AUDITS_READ = 10_000;
/** A write request that was lost may have touched many. */
const KEYS_PER_CALL = 64;
const NOT_ENDED: AbortSignal = new AbortController().signal;

export class Repairer {
  readonly #options: RepairerOptions;
  readonly #planner: Planner;
  readonly #bucket: TokenBucket;

  constructor(options: RepairerOptions) {
    this.#options = options;
    this.#planner = new Planner(options);
    this.#bucket = new TokenBucket(options.runtime, options.limits.keysPerSecondMax);
  }

  /** To be called before the first run of a life: what a kill has cut off is marked `interrupted`. */
  async recover(): Promise<void> {
    const { book, logger } = this.#options;
    for (const { id, result, driftId, subject } of await book.audits(AUDITS_READ)) {
      if (result !== 'begun') continue;
      await book.settleAudit(
        id,
        'interrupted',
        'the checker ended in the middle of it; each key is either right now or as it was, and the next round says which',
      );
      logger.warn({ drift: driftId, subject }, 'a repair was interrupted');
    }
  }

  /** REPAIR_LIMIT before anything was changed; NOT_FOUND where an id is none. Where `signal` aborts it stops between two drifts and says how far it came. */
  async *run(request: RepairRequest, signal: AbortSignal): AsyncGenerator<RepairStep, void> {
    const { drifts, unknown } = await this.#select(request);
    const limit = request.limit > 0 ? request.limit : this.#options.limits.keysMax;
    let left = limit;
    this.#checkLimit(drifts.length, limit);
    const silent = new Map<RoomId, WmbError>();
    const total = drifts.length + unknown.length;
    for (const [place, drift] of drifts.entries()) {
      if (signal.aborted) {
        yield stopped(place, total);
        return;
      }
      const run: Run = { request, signal, silent, spend: (keys) => this.#checkLimit(keys, left) };
      const { keys, ...result } = await this.#one(drift, run);
      left -= Math.max(1, keys);
      this.#options.logger.info({ drift: drift.id, action: result.action, result: result.result, apply: request.apply }, 'repair step');
      yield { id: drift.id, subject: drift.subject.name, ...result, done: place + 1, total };
    }
    for (const [place, id] of unknown.entries()) {
      const detail = `the checker of ${this.#options.own.room} has not found it itself (yet); try again when it has`;
      yield { id, subject: '', action: 'none', result: 'refused', detail, diff: [], done: drifts.length + place + 1, total };
    }
  }

  /** What only another room's checker has found is left out and named, unless there is nothing else. */
  async #select({ ids, from }: RepairRequest): Promise<{ readonly drifts: readonly Drift[]; readonly unknown: readonly string[] }> {
    const { book, own } = this.#options;
    if (ids === 'all') {
      const open = await book.list({ status: 'open', limit: Number.MAX_SAFE_INTEGER });
      return {
        drifts: open.filter(({ kind, wrong }) => kind !== 'stuck' && (wrong === own.room || (wrong === '' && from !== own.room))),
        unknown: [],
      };
    }
    const drifts: Drift[] = [];
    const unknown: string[] = [];
    for (const id of new Set(ids)) {
      const drift = await book.get(id);
      if (drift === undefined) unknown.push(id);
      else drifts.push(drift);
    }
    if (drifts.length === 0 && unknown.length > 0) {
      const names = unknown.map(plainText).join(', ');
      throw new WmbError(
        'NOT_FOUND',
        `there is no drift ${names} in the records of ${own.room}; if another room’s checker has found it, this one may need a moment longer: see \`wmb drift list\``,
      );
    }
    return { drifts, unknown };
  }

  #checkLimit(count: number, limit: number): void {
    if (count <= limit) return;
    const { room } = this.#options.own;
    throw new WmbError(
      'REPAIR_LIMIT',
      `${plural(count, 'key and write request', 'keys and write requests')} would be repaired in ${room}, and the limit is ${limit}; nothing more was changed. ` +
        `Find out what made so many first; then repair some by their ids, or all with --limit ${count}`,
    );
  }

  async #one(drift: Drift, run: Run): Promise<Result & { readonly keys: number }> {
    const { own, runtime } = this.#options;
    const peer = drift.sides.find(({ room }) => room !== own.room)?.room ?? '';
    const bare = { action: drift.repair.action, diff: [], keys: 0 };
    if (drift.kind === 'stuck') return { ...bare, result: 'refused', detail: `an alarm has no repair: ${drift.repair.text}` };
    if (drift.status !== 'open') return { ...bare, result: 'unchanged', detail: `it was ${drift.status} already: ${drift.note}` };
    const away = run.silent.get(peer);
    if (away !== undefined) return { ...bare, result: 'failed', detail: `nothing was changed: ${away.message}` };
    const audit: Audit = { id: undefined };
    try {
      return await this.#repair(drift, { ...run, peer, audit });
    } catch (cause) {
      const error = asWmbError(cause);
      if (error.code === 'REPAIR_LIMIT') throw error;
      if (error.code === 'PEER_UNREACHABLE' || error.code === 'PEER_GARBAGE') run.silent.set(peer, error);
      const what =
        audit.id === undefined
          ? 'nothing was changed'
          : 'whether it was changed is not known, and is looked at again in the next round; a key is changed as a whole or not at all';
      const detail = `${what}: ${error.code}: ${error.message}`;
      if (audit.id !== undefined) await this.#options.book.settleAudit(audit.id, 'failed', detail);
      await this.#note(drift, `a repair failed at ${new Date(runtime.nowMs()).toISOString()}: ${error.message}`);
      return { ...bare, result: 'failed', detail };
    }
  }

  async #repair(drift: Drift, run: OneRun): Promise<Result & { readonly keys: number }> {
    const { request, audit } = run;
    let overtaken = 0;
    for (let attempt = 1; ; attempt += 1) {
      const prepared = await this.#planner.prepare(drift, { peer: run.peer, from: request.from });
      if ('result' in prepared) return await this.#without(drift, prepared, { audit, overtaken });
      const { action, diff, text: detail, keys } = prepared;
      const result: Result = { action, diff, detail, result: 'planned' };
      run.spend(keys);
      if (!request.apply) return { ...result, keys };
      await this.#bucket.take(keys, NOT_ENDED);
      audit.id ??= await this.#begin(drift, { action, by: request.by, detail });
      const done = await this.#apply(prepared);
      if (done.outcome === 'overtaken') overtaken += 1;
      if (done.outcome !== 'overtaken' && done.outcome !== 'outdated')
        return { ...(await this.#finish(drift, { ...run, prepared, done, overtaken })), keys };
      if (attempt === ATTEMPTS_MAX) return { ...(await this.#gaveUp(drift, prepared, { audit, outcome: done.outcome })), keys };
    }
  }

  /** Nothing is to be done, or may be. */
  async #without(
    drift: Drift,
    plan: Extract<Prepared, { result: string }>,
    { audit, overtaken }: { readonly audit: Audit; readonly overtaken: number },
  ): Promise<Result & { readonly keys: number }> {
    const isOver = plan.result === 'unchanged';
    const result = isOver && overtaken > 0 ? 'overtaken' : plan.result;
    const detail =
      result === 'overtaken' ? `it was written meanwhile, and the user's write wins: both rooms show the same now` : plan.detail;
    if (audit.id !== undefined) await this.#options.book.settleAudit(audit.id, result, detail);
    if (isOver) await this.#close(drift, 'healed', detail);
    return { action: plan.action, diff: [], result, detail, keys: 0 };
  }

  #begin(
    { id, subject }: Drift,
    { action, by, detail }: { readonly action: RepairPlan['action']; readonly by: string; readonly detail: string },
  ): Promise<number> {
    const { book, runtime } = this.#options;
    return book.audit({ atMs: runtime.nowMs(), driftId: id, action, subject: subject.name, result: 'begun', by, detail });
  }

  async #apply(prepared: Extract<Prepared, { keys: number }>): Promise<Done> {
    const { mender, rewrite } = this.#options;
    if (prepared.row !== undefined) {
      await rewrite(prepared.row);
      return { outcome: 'repaired', message: '' };
    }
    if (prepared.position !== undefined) {
      const { outcome, message } = await mender.retryParked(formatPosition(prepared.position));
      return outcome === 'parked' ? { outcome: 'failed', message: message || 'it was parked again' } : { outcome: 'repaired', message: '' };
    }
    const outcomes: RepairOutcome[] = [];
    for (let at = 0; at < prepared.repairs.length; at += KEYS_PER_CALL) {
      outcomes.push(...(await mender.repair(prepared.repairs.slice(at, at + KEYS_PER_CALL))));
    }
    for (const outcome of ['overtaken', 'outdated', 'repaired'] as const) if (outcomes.includes(outcome)) return { outcome, message: '' };
    return { outcome: 'unchanged', message: '' };
  }

  async #finish(drift: Drift, { peer, audit, prepared, done, overtaken }: Finishing): Promise<Result> {
    const { action, diff } = prepared;
    const settle = async (result: Extract<RepairStep['result'], 'repaired' | 'unchanged' | 'failed'>, detail: string): Promise<Result> => {
      if (audit.id !== undefined) await this.#options.book.settleAudit(audit.id, result, detail);
      return { action, diff, result, detail };
    };
    if (done.outcome === 'failed') {
      await this.#note(drift, `retried and parked again: ${done.message}`);
      return await settle('failed', `it failed again and is parked still: ${done.message}`);
    }
    const left = await this.#verify(drift, prepared, peer);
    const meanwhile = overtaken > 0 ? '; it was written meanwhile, and what was written stays' : '';
    if (left === undefined) {
      const isChanged = done.outcome === 'repaired';
      const detail = isChanged ? `${prepared.text}; verified: both rooms show the same${meanwhile}` : 'both rooms show the same already';
      await this.#close(drift, isChanged ? 'repaired' : 'healed', detail);
      return await settle(isChanged ? 'repaired' : 'unchanged', detail);
    }
    if (left === 'others') {
      await this.#reexplain(drift, peer);
      return await settle('repaired', `${prepared.text}; verified${meanwhile}. Other parts of it still differ and stay reported`);
    }
    const detail = `the repair was done, and the rooms still differ: ${left}`;
    await this.#note(drift, detail);
    return await settle('failed', detail);
  }

  /** Undefined: both sides agree. `others`: only in what this repair was not about. Otherwise what differs. */
  async #verify(drift: Drift, prepared: Extract<Prepared, { keys: number }>, peer: RoomId): Promise<string | undefined> {
    let left: string | undefined;
    for (let look = 0; look < VERIFY_LOOKS; look += 1) {
      if (look > 0) await sleep(this.#options.runtime, VERIFY_PAUSE_MS);
      left = await this.#planner.leftOf(drift, prepared, peer);
      if (left === undefined || left === 'others') return left;
    }
    return left;
  }

  async #gaveUp(
    drift: Drift,
    { action, diff }: Extract<Prepared, { keys: number }>,
    { audit, outcome }: { readonly audit: Audit; readonly outcome: 'overtaken' | 'outdated' },
  ): Promise<Result> {
    const detail =
      outcome === 'overtaken'
        ? `it was written ${ATTEMPTS_MAX} times while it was being repaired, and the user's writes win; nothing was changed, and it still differs. Try again when it is written less`
        : `${this.#options.own.room} has settled beyond what the other room had seen, ${ATTEMPTS_MAX} times; nothing was changed. Try again: the other room is catching up`;
    if (audit.id !== undefined) await this.#options.book.settleAudit(audit.id, outcome, detail);
    await this.#note(drift, detail);
    return { action, diff, result: outcome, detail };
  }

  async #close(drift: Drift, status: 'repaired' | 'healed', note: string): Promise<void> {
    const { book, runtime } = this.#options;
    await book.put([{ ...((await book.get(drift.id)) ?? drift), status, closedMs: runtime.nowMs(), note }]);
  }

  async #note(drift: Drift, note: string): Promise<void> {
    const { book } = this.#options;
    const known = (await book.get(drift.id)) ?? drift;
    if (known.status === 'open') await book.put([{ ...known, note }]);
  }

  /** What is left of a drift is told anew: its wrong side may be the other one now. */
  async #reexplain(drift: Drift, peer: RoomId): Promise<void> {
    const { book } = this.#options;
    const again = await this.#planner.explain(drift, peer);
    if (again === undefined) return;
    const { firstSeenMs, confirmedMs } = drift;
    await book.put([{ ...again, firstSeenMs, confirmedMs, note: again.note || 'a part of it was repaired' }]);
  }
}

interface Audit {
  /** Undefined: nothing has begun. */
  id: number | undefined;
}

interface Run {
  readonly request: RepairRequest;
  readonly signal: AbortSignal;
  readonly silent: Map<RoomId, WmbError>;
  /** REPAIR_LIMIT where so many keys are too many. */
  readonly spend: (keys: number) => void;
}

interface OneRun extends Run {
  readonly peer: RoomId;
  readonly audit: Audit;
}

interface Done {
  readonly outcome: RepairOutcome | 'failed';
  readonly message: string;
}

interface Finishing extends OneRun {
  readonly prepared: Extract<Prepared, { keys: number }>;
  readonly done: Done;
  readonly overtaken: number;
}

function stopped(done: number, total: number): RepairStep {
  const detail = `stopped after ${done} of ${plural(total, 'drift')}; the others were not touched`;
  return { id: '', subject: '', action: 'none', result: 'refused', detail, diff: [], done, total };
}
