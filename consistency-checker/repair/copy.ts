/**
 * Copies a peer's cache into this room's where the logs do not reach back to what it has lost (docs/adr/0009). It begins by itself as soon as a lane of this room stands on a gap that its
 * cache alone has, and goes on beside the traffic of the other lanes.
 *
 * In this order: what the peer's cache holds of every lane; then, bucket by bucket, all that it remembers of every key, which replaces what this room has up to there; then what the peer
 * has forgotten meanwhile; and last, by the collector, in one step, the marks. Whatever cuts it off, the marks are where they were, and it begins again from the first bucket: what was
 * copied already is the same then, and costs a look.
 */
import { BUCKETS } from '../../core/converge/bucket.ts';
import { isDamaged, isEvicted, type KeyState, stateDigest } from '../../core/converge/state.ts';
import { asWmbError, WmbError } from '../../core/errors.ts';
import type { CachePlace, CachePlaces, Horizon, TakeOver } from '../../core/inspection.ts';
import type { Logger } from '../../core/logger.ts';
import { type Runtime, sleep } from '../../core/runtime.ts';
import type { Version } from '../../core/stamp.ts';
import { laneKey } from '../../core/words.ts';
import type { CacheRepair, RepairOutcome } from '../../store/inspection.ts';
import type { CopySide } from '../room.ts';
import { coveredBy, endOfCopy, lackingLanes, lanesBehind, movingLane, pausedLane, type Source, whyNot, whyOver } from './copy-plan.ts';

/** What this room's collector does. */
export interface CopyMender {
  repair(repairs: readonly CacheRepair[]): Promise<readonly RepairOutcome[]>;
  takeOver(end: TakeOver): Promise<void>;
}

export interface CacheCopyOptions {
  readonly own: CopySide;
  readonly peers: readonly CopySide[];
  readonly mender: CopyMender;
  readonly runtime: Runtime;
  readonly logger: Logger;
}

const BUCKETS_AT_ONCE = 256;
const KEYS_AT_ONCE = 64;
/** A key that is written all the time is tried so often. */
const ATTEMPTS_MAX = 50;
const ATTEMPT_PAUSE_MS = 50;
/** For lanes that bring what is older than the copy. */
const WAIT_MS_MAX = 30_000;
const WAIT_LOOK_MS = 200;
/** After a copy that could not be made, or was cut off. */
const AGAIN_MS = 2_000;
/** Longest pause after a step: a step is followed by as long a pause as it took. */
const PAUSE_MS_MAX = 2_000;
const TOLD_EVERY = 16;

/** A copy under way. */
interface Run {
  readonly peer: CopySide;
  readonly source: Source;
  readonly own: CachePlaces;
  readonly behind: readonly CachePlace[];
  readonly covered: Version;
  keys: number;
  changed: number;
  /** Keys of which the peer has lost the value, or cannot read it. */
  skipped: number;
}

export class CacheCopy {
  readonly #options: CacheCopyOptions;
  readonly #stopped = new AbortController();
  #running: Promise<void> | undefined;
  #againMs = Number.NEGATIVE_INFINITY;
  #text = '';

  constructor(options: CacheCopyOptions) {
    this.#options = options;
  }

  /** What is copied, and how far; or why it is not. Empty: nothing is to be copied. */
  get text(): string {
    return this.#text;
  }

  /** With every look at this room's lanes: begins a copy where one stands on a gap, and nothing else. */
  look({ lanes }: Pick<Horizon, 'lanes'>): void {
    if (this.#running !== undefined || this.#stopped.signal.aborted) return;
    // Of a lane that follows another room's effects only the reason says that they stand.
    if (!lanes.some(({ state, reason }) => state === 'stopped-on-gap' || (state === '' && reason !== ''))) this.#text = '';
    else if (this.#options.runtime.monotonicMs() >= this.#againMs)
      this.#running = this.#run().finally(() => {
        this.#running = undefined;
        this.#againMs = this.#options.runtime.monotonicMs() + AGAIN_MS;
      });
  }

  /** A copy under way ends at its next step. */
  async stop(): Promise<void> {
    this.#stopped.abort();
    await this.#running;
  }

  async #run(): Promise<void> {
    const { own, peers } = this.#options;
    const reasons: string[] = [];
    try {
      if (lackingLanes(await own.cachePlaces()).length === 0) {
        this.#text = '';
        return;
      }
      for (const peer of peers) {
        const reason = await this.#from(peer);
        if (reason === undefined) return;
        reasons.push(reason);
      }
    } catch (cause) {
      reasons.push(asWmbError(cause).message);
    }
    this.#complain(reasons.length === 0 ? 'no other room has a checker' : reasons.join('; '));
  }

  #complain(reason: string): void {
    if (this.#stopped.signal.aborted) return;
    const text = `the cache cannot be copied from a peer now: ${reason}`;
    // The same trouble again is no news.
    if (text !== this.#text) this.#options.logger.warn({ reason }, 'the cache cannot be copied from a peer now; it is tried again');
    this.#text = text;
  }

  /** Undefined: it was copied, and the marks have moved. Otherwise why not. */
  async #from(peer: CopySide): Promise<string | undefined> {
    const { logger } = this.#options;
    try {
      const begun = await this.#begin(peer);
      if (typeof begun === 'string') return begun;
      const { room } = peer;
      logger.warn({ peer: room, lanes: begun.behind.map(laneKey) }, 'the cache lacks what no log has any more: it is copied from a peer');
      await this.#copyAll(begun);
      await this.#end(begun);
      const { keys, changed, skipped } = begun;
      logger.info({ peer: room, keys, changed, skipped }, 'the cache was copied from a peer');
      this.#text = '';
      return undefined;
    } catch (cause) {
      const { code, message } = asWmbError(cause);
      return `${peer.room}: ${code}: ${message}`;
    }
  }

  async #begin(peer: CopySide): Promise<Run | string> {
    const { own: ownRoom } = this.#options;
    const source: Source = { room: peer.room, places: await peer.cachePlaces() };
    const { built } = await peer.nodes({ level: 0, parents: [0] });
    if (built < 1) return `the checker of ${peer.room} has not read its whole cache yet`;
    const own = await this.#caughtUp(source);
    const refused = whyNot(source, own);
    if (refused !== undefined) return refused;
    const behind = lanesBehind(own, source);
    const paused = pausedLane(behind);
    if (paused !== undefined) return `${laneKey(paused)} is paused in ${ownRoom.room}`;
    return { peer, source, own, behind, covered: coveredBy(source, own), keys: 0, changed: 0, skipped: 0 };
  }

  /**
   * What lanes bring that was already forgotten by the peer would come to stay. So whoever takes frames has to be as far as the peer was, before the first of its states is read; what
   * he brings then is newer than all that is copied.
   */
  async #caughtUp(source: Source): Promise<CachePlaces> {
    const { own, runtime } = this.#options;
    const untilMs = runtime.monotonicMs() + WAIT_MS_MAX;
    for (;;) {
      const places = await own.cachePlaces();
      const moving = movingLane(lanesBehind(places, source));
      if (moving === undefined) return places;
      this.#text = `the cache is to be copied from ${source.room} as soon as ${laneKey(moving)} has come to where that room is`;
      this.#goOn();
      if (runtime.monotonicMs() >= untilMs) throw new WmbError('MARK_MOVED', `${laneKey(moving)} still takes older frames`);
      await sleep(runtime, WAIT_LOOK_MS, this.#stopped.signal);
    }
  }

  async #copyAll(run: Run): Promise<void> {
    const { runtime, own, logger } = this.#options;
    for (let from = 0; from < BUCKETS; from += BUCKETS_AT_ONCE) {
      const startedMs = runtime.monotonicMs();
      this.#text = `copying the cache of ${run.peer.room}: ${from} of ${BUCKETS} buckets, ${run.keys} keys, ${run.changed} of them were missing or older here`;
      if (from % (BUCKETS_AT_ONCE * TOLD_EVERY) === 0) {
        logger.info({ peer: run.peer.room, buckets: from, keys: run.keys }, 'copying a cache');
        // The end would say so as well, but the rest of the way would be in vain.
        sameLife(run, await run.peer.cachePlaces());
      }
      const over = whyOver(run.own, run.behind, await own.cachePlaces());
      if (over !== undefined) throw new WmbError('MARK_MOVED', over);
      await this.#copyBuckets(
        run,
        Array.from({ length: BUCKETS_AT_ONCE }, (_, at) => from + at),
      );
      await sleep(runtime, Math.min(PAUSE_MS_MAX, runtime.monotonicMs() - startedMs), this.#stopped.signal);
      this.#goOn();
    }
  }

  #goOn(): void {
    if (this.#stopped.signal.aborted) throw new WmbError('DRAINING', 'the checker shuts down');
  }

  async #copyBuckets(run: Run, buckets: readonly number[]): Promise<void> {
    const [theirs, mine] = await Promise.all([run.peer.keys(buckets), this.#options.own.keys(buckets)]);
    const keys = [...new Set([...theirs.flat(), ...mine.flat()])];
    run.keys += keys.length;
    for (let at = 0; at < keys.length; at += KEYS_AT_ONCE) {
      await this.#copySplit(run, keys.slice(at, at + KEYS_AT_ONCE));
      this.#goOn();
    }
  }

  /** Keys may be too large to be carried together. */
  async #copySplit(run: Run, keys: readonly string[]): Promise<void> {
    try {
      await this.#copyKeys(run, keys);
    } catch (cause) {
      if (keys.length === 1) throw cause;
      const half = Math.ceil(keys.length / 2);
      await this.#copySplit(run, keys.slice(0, half));
      await this.#copySplit(run, keys.slice(half));
    }
  }

  async #copyKeys(run: Run, keys: readonly string[]): Promise<void> {
    const { mender, runtime } = this.#options;
    let left = keys;
    for (let attempt = 0; left.length > 0; attempt += 1) {
      if (attempt === ATTEMPTS_MAX) throw new WmbError('MARK_MOVED', `${left.length} keys are written too often`);
      if (attempt > 0) await sleep(runtime, ATTEMPT_PAUSE_MS, this.#stopped.signal);
      this.#goOn();
      const repairs = await this.#repairsOf(run, left);
      const outcomes = repairs.length === 0 ? [] : await mender.repair(repairs);
      run.changed += outcomes.filter((outcome) => outcome === 'repaired').length;
      left = repairs.flatMap(({ key }, at) => (outcomes[at] === 'overtaken' || outcomes[at] === 'outdated' ? [key] : []));
    }
  }

  async #repairsOf(run: Run, keys: readonly string[]): Promise<readonly CacheRepair[]> {
    const [theirs, mine] = await Promise.all([run.peer.states(keys), this.#options.own.states(keys)]);
    return keys.flatMap((key, at): CacheRepair[] => {
      const [right, expected] = [theirs[at]?.state, stateDigest(mine[at]?.state)];
      if (stateDigest(right) === expected) return [];
      if (isDamaged(right) || isEvicted(right)) {
        run.skipped += 1;
        return [];
      }
      return [{ key, action: 'push', expected, seen: run.covered, upTo: run.covered, state: right ?? nothingOf(key) }];
    });
  }

  /** What the peer has forgotten since must lie within what it had when the copy began; its cache must be the same all the time. */
  async #end(run: Run): Promise<void> {
    const { mender } = this.#options;
    const places = await run.peer.cachePlaces();
    sameLife(run, places);
    const { settled, lanes } = places;
    if (settled > run.covered || lanes.some(({ state }) => state === 'stopped-on-gap'))
      throw new WmbError('MARK_MOVED', `${run.peer.room} has forgotten more meanwhile than it had seen when the copy began`);
    await mender.takeOver(endOfCopy(run.own, run.source, settled));
  }
}

function sameLife({ peer, source }: Run, { life }: CachePlaces): void {
  if (life !== source.places.life) throw new WmbError('MARK_MOVED', `the cache of ${peer.room}, or its collector, is not what it was`);
}

function nothingOf(key: string): KeyState {
  return { key, type: 'none', kill: '', expireAtMs: 0, caps: [], registers: [], increments: [], expiries: [] };
}
