/**
 * Keeps a room's digest tree up to date from what is really stored, and answers for it. Every second it takes the buckets that the collector has
 * written, computes their leaves anew, those that expired, those written a while ago (10 s, 1 min and 5 min later) and a part of all others, within
 * a budget of work; what does not fit waits for its turn. It takes no more dirty buckets than it can look at: in the collector they
 * cost nothing while they stay marked.
 *
 * Evidence that a bucket was changed behind WMB's back. A write marks its bucket in its own transaction, and a mark goes only by being taken.
 * So between two readings of a leaf, with another digest the second time, no write request came in between if
 *
 * - no answer to a taking that was processed since the first reading began names it,
 * - a taking asked for after the second reading ended does not name it either, and left nothing marked behind,
 * - no taking has failed since, because what it took is lost, nor shortly before, because it may have been carried out late, and
 * - nothing of it expired in between, and the wall clock has not gone back.
 *
 * Where any of this is missing the leaf is merely computed anew: evidence may be missed, it is never false.
 */
import { BUCKETS, bucketOf } from '../../core/converge/bucket.ts';
import { asWmbError, WmbError } from '../../core/errors.ts';
import type { Logger } from '../../core/logger.ts';
import { type Runtime, sleep, type Timer } from '../../core/runtime.ts';
import type { CacheInspector, EntryDigest } from '../../store/inspection.ts';
import type { NodeDigests } from '../room.ts';
import { LeafStates } from './leaf-states.ts';
import { DigestTree, FAN_OUT, LEAF_LEVEL, LEVELS, nodesOf } from './tree.ts';
import { WorkBudget } from './work-budget.ts';

const TICK_MS = 1_000;
const CHUNK_LEAVES_MAX = 1_024;
/** Longest that one reading should hold up the process. */
const CHUNK_MS = 8;
/** Buckets whose keys are listed without a pause. */
const ENTRIES_AT_ONCE = 8;
const TAKE_BUCKETS_MIN = 256;
const TAKE_BUCKETS_MAX = 8_192;
/** A taking that has failed may still be carried out, in front of one that succeeds or this much later. */
const TAKE_LATE_MS_MAX = 2_000;
/** Whoever asks for leaves gets them as of a taking that is not older. */
const TAKE_AGE_MS_MAX = 250;
const TAKE_WAIT_MS = 250;
/** A small cache is swept more often than it must be: as often as this share of a processor allows, but with this much between two looks at a leaf. */
const SWEEP_SHARE = 0.02;
const SWEEP_MS_MIN = 10_000;
const EVIDENCE_BUCKETS_MAX = 4_096;
/** The bucket's keys go on being written, each for reasons of its own: what was seen so long ago explains nothing any more. */
const EVIDENCE_MS = 24 * 3_600_000;
const QUERY_NODES_MAX = 256;

export interface LeafKeeperOptions {
  /** Opened by the keeper as soon as that is possible, and closed when it stops. */
  readonly inspector: CacheInspector;
  /** The collector's; nobody else may take. */
  readonly takeDirty: (max: number) => Promise<readonly number[]>;
  readonly runtime: Runtime;
  readonly sweepMs: number;
  /** Of one processor. */
  readonly workPercentMax: number;
  readonly logger: Logger;
}

export class LeafKeeper {
  readonly #options: LeafKeeperOptions;
  readonly #tree = new DigestTree();
  readonly #leaves = new LeafStates();
  readonly #budget: WorkBudget;
  /** Changed between two readings with no write known; the next taking tells. */
  readonly #candidates = new Map<number, number>();
  readonly #changedBehindMs = new Map<number, number>();
  #reading: Promise<unknown> = Promise.resolve();
  #taking: Promise<boolean> | undefined;
  #ticking: Promise<void> = Promise.resolve();
  #timer: Timer | undefined;
  #opened = false;
  #stopped = false;
  /** More buckets are marked than were taken, or it is not known which. */
  #behind = true;
  #takenMs = Number.NEGATIVE_INFINITY;
  #takeFails = false;
  #vouchedFromMs = Number.NEGATIVE_INFINITY;
  #nowMs = 0;
  #tickMs: number;
  #sweepShare = 0;
  #leafMs = CHUNK_MS / 64;
  #complaint = '';

  constructor(options: LeafKeeperOptions) {
    this.#options = options;
    this.#budget = new WorkBudget(options.runtime, options.workPercentMax);
    this.#tickMs = options.runtime.monotonicMs();
  }

  /** Visible keys, as far as the tree is built. */
  get keys(): number {
    return this.#tree.keys;
  }

  get built(): number {
    return this.#leaves.built;
  }

  start(): void {
    this.#schedule(0);
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    this.#timer?.cancel();
    await Promise.all([this.#ticking, this.#taking?.catch(() => {}), this.#reading]);
    if (this.#opened) await this.#options.inspector.close();
    this.#opened = false;
  }

  /** As RoomView.nodes. PEER_GARBAGE where the question cannot be, STORE_UNAVAILABLE while there is no cache. */
  async nodes({ level, parents }: { readonly level: number; readonly parents: readonly number[] }): Promise<NodeDigests> {
    const isLevel = Number.isInteger(level) && level >= 0 && level < LEVELS;
    if (!isLevel)
      throw new WmbError('PEER_GARBAGE', `a question for level ${level} of the digest tree; it has the levels 0 to ${LEAF_LEVEL}`);
    checkNumbers(parents, level === 0 ? 1 : nodesOf(level - 1), `nodes above level ${level}`);
    this.#demandOpen();
    if (level === LEAF_LEVEL) await this.#freshen(parents);
    return { digests: this.#tree.children(level, parents), keys: this.keys, built: this.built };
  }

  /** As RoomView.entries. */
  async entries(buckets: readonly number[]): Promise<readonly (readonly EntryDigest[])[]> {
    checkNumbers(buckets, BUCKETS, 'buckets');
    this.#demandOpen();
    const { inspector, runtime } = this.#options;
    const found: (readonly EntryDigest[])[] = [];
    const untilServing = this.#budget.serving();
    for (const bucket of buckets) {
      await untilServing();
      const worked = this.#budget.measure();
      found.push(...(await inspector.entries([bucket], runtime.nowMs())));
      this.#budget.spend(worked(), true);
      if (found.length % ENTRIES_AT_ONCE === 0) await runtime.turn();
    }
    return found;
  }

  /** As StateAnswer.changedBehindMs. */
  changedBehindMs(key: string): number {
    const atMs = this.#changedBehindMs.get(bucketOf(key)) ?? 0;
    return this.#options.runtime.nowMs() - atMs > EVIDENCE_MS ? 0 : atMs;
  }

  #demandOpen(): void {
    if (!this.#opened) throw new WmbError('STORE_UNAVAILABLE', 'the checker has not been able to read this room’s cache yet');
  }

  // ── in the background ──

  #schedule(delayMs: number): void {
    if (this.#stopped) return;
    this.#timer = this.#options.runtime.after(
      delayMs,
      () => {
        this.#ticking = this.#tick().finally(() => this.#schedule(TICK_MS));
      },
      true,
    );
  }

  async #tick(): Promise<void> {
    const { inspector, logger } = this.#options;
    try {
      if (!this.#opened) {
        await inspector.open();
        this.#opened = true;
      }
      this.#sweepOn();
      // Everything is to be read: marks from before the start would only make it be read twice.
      if (this.built === 0) for (await this.#take(); this.#behind && !this.#takeFails && !this.#stopped; ) await this.#take();
      await this.#refresh();
      this.#complaint = '';
    } catch (cause) {
      const { code, message } = asWmbError(cause);
      // The same trouble again is no news.
      if (code !== this.#complaint) logger.warn({ code, error: message }, 'the digest tree of the cache is not up to date');
      this.#complaint = code;
    }
  }

  #sweepOn(): void {
    const { runtime, logger } = this.#options;
    const sweepMs = Math.min(this.#options.sweepMs, Math.max(SWEEP_MS_MIN, (BUCKETS * this.#leafMs) / SWEEP_SHARE));
    const nowMs = runtime.monotonicMs();
    // What is being built is read for the first time.
    if (this.built === 1) this.#sweepShare += Math.min(BUCKETS, ((nowMs - this.#tickMs) / sweepMs) * BUCKETS);
    this.#tickMs = nowMs;
    const leaves = Math.floor(this.#sweepShare);
    this.#sweepShare -= leaves;
    const late = this.#leaves.sweep(leaves);
    if (late > 0)
      logger.debug(
        { leaves: late, sweepMs },
        'the sweep over the cache is late: there is more to read than the checker’s share of work allows',
      );
  }

  async #refresh(): Promise<void> {
    const { runtime } = this.#options;
    do {
      await this.#take();
      await this.#computeDue();
      if (this.#candidates.size > 0) await this.#take();
      await runtime.turn();
    } while (this.#behind && !this.#takeFails && !this.#stopped && this.#budget.backgroundMs() > 0);
  }

  /** One time round all leaves, as far as the budget goes. */
  async #computeDue(): Promise<void> {
    const { runtime } = this.#options;
    for (let left = BUCKETS; left > 0 && !this.#stopped && this.#budget.backgroundMs() > 0; ) {
      const nowMs = runtime.nowMs();
      const clock = {
        monotonicMs: runtime.monotonicMs(),
        hopeful: this.#isVouched(runtime.monotonicMs()),
        expired: (bucket: number) => this.#isExpired(bucket, nowMs),
      };
      const { buckets, looked } = this.#leaves.due(this.#chunkLeaves(), left, clock);
      left -= looked;
      if (buckets.length > 0) await this.#compute(buckets, false);
      await runtime.turn();
    }
  }

  /** Whatever is written from now on will be named. */
  #isVouched(monotonicMs: number): boolean {
    return !this.#takeFails && monotonicMs >= this.#vouchedFromMs;
  }

  #isExpired(bucket: number, nowMs: number): boolean {
    const expiresMs = this.#tree.expiresMs(bucket);
    return expiresMs !== 0 && expiresMs <= nowMs;
  }

  #chunkLeaves(): number {
    return Math.max(1, Math.min(CHUNK_LEAVES_MAX, Math.floor(CHUNK_MS / this.#leafMs)));
  }

  // ── what the collector has written ──

  /** False: it cannot be told. Only one taking is under way at a time. */
  #take(): Promise<boolean> {
    this.#taking ??= this.#takeOnce().finally(() => {
      this.#taking = undefined;
    });
    return this.#taking;
  }

  async #takeOnce(): Promise<boolean> {
    const { takeDirty, runtime } = this.#options;
    const asked = [...this.#candidates.keys()];
    const affordable = Math.floor(Math.max(0, this.#budget.backgroundMs()) / this.#leafMs);
    const max = this.built === 0 ? TAKE_BUCKETS_MAX : Math.min(TAKE_BUCKETS_MAX, Math.max(TAKE_BUCKETS_MIN, affordable));
    try {
      const taken = await takeDirty(max);
      this.#takenMs = runtime.monotonicMs();
      if (this.#takeFails) this.#vouchedFromMs = this.#takenMs + TAKE_LATE_MS_MAX;
      this.#takeFails = false;
      this.#behind = taken.length >= max;
      for (const bucket of taken) {
        this.#leaves.mark(bucket);
        this.#candidates.delete(bucket);
      }
      if (!this.#behind) this.#conclude(asked);
      return true;
    } catch (cause) {
      this.#takeFails = true;
      this.#behind = true;
      this.#doubtAll();
      if (!this.#stopped) this.#complain(cause);
      return false;
    }
  }

  #complain(cause: unknown): void {
    const { code, message } = asWmbError(cause);
    this.#options.logger.debug({ code, error: message }, 'the collector does not say what it has written');
  }

  #doubtAll(): void {
    this.#candidates.clear();
    this.#leaves.doubtAll();
  }

  /** What was a candidate before a taking was asked for, and is one still, was not written. */
  #conclude(asked: readonly number[]): void {
    for (const bucket of asked) {
      const atMs = this.#candidates.get(bucket);
      if (atMs === undefined) continue;
      this.#candidates.delete(bucket);
      this.#changedBehindMs.delete(bucket);
      this.#changedBehindMs.set(bucket, atMs);
      const [oldest] = this.#changedBehindMs.keys();
      if (this.#changedBehindMs.size > EVIDENCE_BUCKETS_MAX && oldest !== undefined) this.#changedBehindMs.delete(oldest);
    }
  }

  // ── reading ──

  /** Computes those leaves below the nodes anew that may not hold any more. */
  async #freshen(parents: readonly number[]): Promise<void> {
    const { runtime } = this.#options;
    if (runtime.monotonicMs() - this.#takenMs > TAKE_AGE_MS_MAX) await Promise.race([this.#take(), sleep(runtime, TAKE_WAIT_MS)]);
    const nowMs = runtime.nowMs();
    const stale: number[] = [];
    for (const parent of parents) {
      for (let bucket = parent * FAN_OUT; bucket < (parent + 1) * FAN_OUT; bucket += 1) {
        if (this.#behind || !this.#leaves.isClean(bucket) || this.#isExpired(bucket, nowMs)) stale.push(bucket);
      }
    }
    const untilServing = this.#budget.serving();
    for (let at = 0; at < stale.length; ) {
      await untilServing();
      const chunk = stale.slice(at, at + this.#chunkLeaves());
      await this.#compute(chunk, true);
      at += chunk.length;
    }
  }

  /** One after the other: two readings of one leaf at a time could end in the wrong order. */
  #compute(buckets: readonly number[], serving: boolean): Promise<void> {
    const done = this.#reading.then(() => this.#computeNow(buckets, serving));
    this.#reading = done.catch(() => {});
    return done;
  }

  async #computeNow(buckets: readonly number[], serving: boolean): Promise<void> {
    const { inspector, runtime } = this.#options;
    const nowMs = runtime.nowMs();
    // What had expired may be there again.
    if (nowMs < this.#nowMs) this.#doubtAll();
    this.#nowMs = nowMs;
    const startedMs = runtime.monotonicMs();
    const worked = this.#budget.measure();
    const vouched = this.#isVouched(startedMs);
    const proving = buckets.map((bucket) => this.#leaves.isClean(bucket) && !this.#isExpired(bucket, nowMs));
    const before = buckets.map((bucket) => this.#leaves.begin(bucket, { vouched, monotonicMs: startedMs }));
    try {
      const digests = await inspector.digests(buckets, nowMs);
      digests.forEach((digest, index) => {
        const { bucket } = digest;
        const changed = this.#tree.set(bucket, digest);
        this.#leaves.done(bucket, digest.expiresMs !== 0);
        if (changed && proving[index] === true && this.#leaves.isClean(bucket)) this.#candidates.set(bucket, nowMs);
      });
    } catch (cause) {
      buckets.forEach((bucket, index) => void this.#leaves.failed(bucket, before[index] ?? 0));
      throw cause;
    } finally {
      const ms = worked();
      this.#budget.spend(ms, serving);
      this.#leafMs = Math.max(0.001, 0.8 * this.#leafMs + 0.2 * (ms / buckets.length));
    }
  }
}

function checkNumbers(numbers: readonly number[], below: number, what: string): void {
  const bad = numbers.find((number) => !Number.isInteger(number) || number < 0 || number >= below);
  if (bad !== undefined) throw new WmbError('PEER_GARBAGE', `a question for ${what}: ${bad} is none (0 to ${below - 1})`);
  if (numbers.length > QUERY_NODES_MAX)
    throw new WmbError('PEER_GARBAGE', `a question for ${numbers.length} ${what} at once; at most ${QUERY_NODES_MAX}`);
}
