/**
 * This room and one peer, compared round after round: receipts, then keys; what is confirmed is explained and recorded; what is open already is looked at again. One round at a time,
 * and a peer that does not answer holds up nobody but itself. What could not be compared is said, never taken for equal.
 */
import { asWmbError, WmbError } from '../core/errors.ts';
import { backoffMs } from '../core/flow/backoff.ts';
import type { Logger } from '../core/logger.ts';
import { type Runtime, sleep } from '../core/runtime.ts';
import { formatPosition, type Position, parsePosition, type RoomId } from '../core/words.ts';
import type { ConfirmedKey, KeyRound } from './cache/comparison.ts';
import { type Drift, driftId } from './drift.ts';
import type { ConfirmedReceipt, ReceiptRound } from './messages/comparison.ts';
import type { RoundMeters } from './meters.ts';
import type { WatchedBook } from './report/watched-book.ts';
import type { RoomView } from './room.ts';
import { type Explaining, Unexplained, type UnexplainedOptions } from './unexplained.ts';

export interface PeerRoundsOptions {
  readonly own: RoomView;
  readonly peer: RoomId;
  readonly keys: UnexplainedOptions['keys'] & { round(): Promise<KeyRound>; differs(key: string): Promise<ConfirmedKey | undefined> };
  readonly receipts: {
    round(): Promise<ReceiptRound>;
    differs(position: Position): Promise<ConfirmedReceipt | undefined>;
    areForgotten(position: Position): Promise<boolean>;
  };
  readonly explainer: UnexplainedOptions['explainer'] & {
    receipt(confirmed: ConfirmedReceipt, peer: RoomId): Promise<Drift | undefined>;
  };
  readonly book: WatchedBook;
  readonly meters: RoundMeters;
  readonly roundMs: number;
  readonly runtime: Runtime;
  readonly logger: Logger;
}

/** How this room stands with the peer. */
export interface PeerState {
  readonly room: RoomId;
  /** Wall clock; 0: never. */
  readonly verifiedMs: number;
  /** Empty: it is verified. */
  readonly reason: string;
  readonly suspects: number;
  readonly rounds: number;
  readonly roundBytes: number;
  readonly roundMs: number;
  /** The last round was completed. */
  readonly answered: boolean;
  /** Wall clock and error, while the peer does not answer or answers what cannot be. */
  readonly silence: { readonly sinceMs: number; readonly forMs: number; readonly error: WmbError } | undefined;
}

/** Open drifts looked at again in one round. */
const LOOKED_AGAIN_MAX = 32;
/** Where each look takes long, because the peer is far away, the next round does not wait for all of them: nothing new would be found meanwhile. */
const LOOKING_AGAIN_MS_MAX = 2_000;
/** A round explains receipts for so long, and keys; what is left is confirmed again, or was over before its turn came. */
const EXPLAINING_MS_MAX = 2_000;
const RETRY_MS_MAX = 10_000;
const TOLD_MAX = 10_000;
const TOLD_MS = 300_000;

interface Failing {
  readonly sinceMs: number;
  readonly since: number;
  error: WmbError;
  /** Whether it is the peer that fails, and not this room's own daemons. */
  isPeer: boolean;
  count: number;
}

export class PeerRounds {
  readonly #options: PeerRoundsOptions;
  readonly #stopped = new AbortController();
  #running: Promise<void> = Promise.resolve();
  #verifiedMs = 0;
  #verified: number | undefined;
  #reason = 'no round has been completed yet';
  #suspects = 0;
  #rounds = 0;
  #roundBytes = 0;
  #roundMs = 0;
  #failing: Failing | undefined;
  readonly #unexplained: Unexplained;
  /** By drift id, what was explained of a receipt. */
  readonly #told = new Map<string, { readonly print: string; readonly untilMs: number; readonly isDrift: boolean }>();

  /** By drift id, the evidence with which what could not be told was explained once more. */
  readonly #weighed = new Map<string, string>();

  constructor(options: PeerRoundsOptions) {
    this.#options = options;
    this.#unexplained = new Unexplained({
      ...options,
      record: (subject, reasons, explain) => this.#record(subject, reasons, explain),
    });
  }

  get state(): PeerState {
    const { peer, runtime } = this.#options;
    const failing = this.#failing?.isPeer === true ? this.#failing : undefined;
    return {
      room: peer,
      verifiedMs: this.#verifiedMs,
      reason: this.#reason,
      suspects: this.#suspects,
      rounds: this.#rounds,
      roundBytes: this.#roundBytes,
      roundMs: this.#roundMs,
      answered: this.#rounds > 0 && this.#failing === undefined,
      silence: failing && { sinceMs: failing.sinceMs, forMs: runtime.monotonicMs() - failing.since, error: failing.error },
    };
  }

  /** Since the last round that verified the two; undefined: there was none. */
  get unverifiedMs(): number | undefined {
    return this.#verified === undefined ? undefined : this.#options.runtime.monotonicMs() - this.#verified;
  }

  start(): void {
    this.#running = this.#run();
  }

  /** Resolves when the round under way is over. */
  async stop(): Promise<void> {
    this.#stopped.abort();
    await this.#running;
  }

  /** Both sides of a drift with this peer, read now; undefined: they agree. */
  async differs({ subject }: Drift): Promise<ConfirmedKey | ConfirmedReceipt | undefined> {
    const { keys, receipts } = this.#options;
    if (subject.type === 'key') return keys.differs(subject.name);
    const position = subject.type === 'write' ? parsePosition(subject.name) : undefined;
    if (position === undefined) throw new WmbError('NOT_FOUND', `${subject.name} is nothing that two rooms could differ in`);
    return receipts.differs(position);
  }

  /** As {@link differs}, of a key. */
  differsKey(key: string): Promise<ConfirmedKey | undefined> {
    return this.#options.keys.differs(key);
  }

  async #run(): Promise<void> {
    const { runtime, roundMs } = this.#options;
    const { signal } = this.#stopped;
    while (!signal.aborted) {
      await this.#roundOrFailure();
      const failures = this.#failing?.count ?? 0;
      const limits = { msMin: roundMs, msMax: Math.max(roundMs, RETRY_MS_MAX) };
      await sleep(runtime, failures < 2 ? roundMs : backoffMs(failures - 2, limits, runtime.random()), signal);
    }
  }

  async #roundOrFailure(): Promise<void> {
    const { runtime } = this.#options;
    const startedMs = runtime.monotonicMs();
    try {
      const { bytes, reasons } = await this.#round();
      this.#completed({ bytes, ms: runtime.monotonicMs() - startedMs, reasons });
    } catch (cause) {
      await this.#failed(asWmbError(cause));
    }
  }

  async #round(): Promise<{ readonly bytes: number; readonly reasons: readonly string[] }> {
    const { receipts, keys, runtime } = this.#options;
    const messages = await receipts.round();
    const cache = await keys.round();
    this.#suspects = messages.suspects + cache.suspects;
    const reasons = [...messages.incomparable, ...whyNotKeys(cache)];
    const explaining = (): Explaining => ({ reasons, untilMs: runtime.monotonicMs() + EXPLAINING_MS_MAX });
    const waiting = await this.#explainReceipts(messages.confirmed, explaining());
    const keysExplaining = explaining();
    await this.#unexplained.explainKept(keysExplaining);
    await this.#unexplained.explain(cache.confirmed, keysExplaining);
    const late = waiting + this.#unexplained.count;
    if (late > 0) reasons.push(`${late} confirmed differences wait to be explained`);
    await this.#lookAgain();
    return { bytes: messages.bytes + cache.bytes, reasons };
  }

  /** Returns how many it did not come to: the next round confirms them again. */
  async #explainReceipts(all: readonly ConfirmedReceipt[], { reasons, untilMs }: Explaining): Promise<number> {
    for (const [place, confirmed] of all.entries()) {
      await this.#explainReceipt(confirmed, reasons);
      if (this.#options.runtime.monotonicMs() > untilMs) return all.length - place - 1;
    }
    return 0;
  }

  /** A receipt is confirmed in every round: it is explained anew only where it says something else, or after a while. */
  async #explainReceipt(confirmed: ConfirmedReceipt, reasons: string[]): Promise<void> {
    const { own, peer, explainer, book, runtime } = this.#options;
    const subject = { type: 'write', name: formatPosition(confirmed.position) } as const;
    const id = driftId([own.room, peer], subject);
    const print = JSON.stringify([confirmed.mine, confirmed.theirs]);
    const nowMs = runtime.monotonicMs();
    const told = this.#told.get(id);
    if (told?.print === print && told.untilMs > nowMs && told.isDrift === book.openDrifts.has(id)) return;
    this.#told.delete(id);
    if (!(await this.#record(subject, reasons, () => explainer.receipt(confirmed, peer)))) return;
    this.#told.set(id, { print, untilMs: nowMs + TOLD_MS, isDrift: book.openDrifts.has(id) });
    const [oldest] = this.#told.keys();
    if (this.#told.size > TOLD_MAX && oldest !== undefined) this.#told.delete(oldest);
  }

  /** False: it could not be explained. */
  async #record(subject: Drift['subject'], reasons: string[], explain: () => Promise<Drift | 'later' | undefined>): Promise<boolean> {
    const { own, peer, book, meters, logger, runtime } = this.#options;
    if (this.#stopped.signal.aborted) return true;
    try {
      const drift = await explain();
      if (drift === 'later') return false;
      if (drift === undefined) {
        const note = 'it is no drift of its own: see the others of the same write request, or the rooms of its kind';
        await book.settle(driftId([own.room, peer], subject), { status: 'healed', closedMs: runtime.nowMs(), note });
        return true;
      }
      const wasOpen = book.openDrifts.has(drift.id);
      const isNews = drift.status === 'open' ? await book.found(drift) : await book.foundClosed(drift);
      if (isNews && drift.status !== 'open') meters.closed(drift);
      if (isNews && !wasOpen) {
        meters.found(drift);
        logger.warn(
          { drift: drift.id, kind: drift.kind, subject: subject.name, peer, wrong: drift.wrong, cause: drift.cause },
          'drift found',
        );
      }
      return true;
    } catch (cause) {
      const { code, message } = asWmbError(cause);
      reasons.push(`a difference of ${subject.name} is confirmed and cannot be explained yet: ${code}: ${message}`);
      logger.warn({ subject: subject.name, peer, code, error: message }, 'a confirmed difference cannot be explained');
      return false;
    }
  }

  /** What both rooms show alike again has healed, or was repaired by the other room's checker. */
  async #lookAgain(): Promise<void> {
    const { own, peer, book, meters, runtime, logger } = this.#options;
    const ours = (drift: Drift) => ['key', 'write'].includes(drift.subject.type) && isBetween(drift, [own.room, peer]);
    const untilMs = runtime.monotonicMs() + LOOKING_AGAIN_MS_MAX;
    const looked = new Set<string>();
    while (looked.size < LOOKED_AGAIN_MAX && runtime.monotonicMs() <= untilMs && !this.#stopped.signal.aborted) {
      const [drift] = book.rotate(1, ours);
      if (drift === undefined || looked.has(drift.id)) return;
      looked.add(drift.id);
      const still = await this.#stillDiffers(drift);
      if (typeof still === 'object' && 'key' in still) await this.#weighAgain(drift, still);
      if (still !== undefined) continue;
      const note = await this.#howItEnded(drift);
      if (!(await book.settle(drift.id, { status: 'healed', closedMs: runtime.nowMs(), note }))) continue;
      meters.closed({ kind: drift.kind, status: 'healed' });
      logger.info({ drift: drift.id, kind: drift.kind, subject: drift.subject.name, peer }, 'a drift is gone');
    }
  }

  async #howItEnded({ subject }: Drift): Promise<string> {
    const position = subject.type === 'write' ? parsePosition(subject.name) : undefined;
    if (position === undefined || !(await this.#options.receipts.areForgotten(position))) return 'both rooms show the same again';
    return 'not repaired, and not told any more: both rooms have let go of their receipts of it because they are old; a key that it has left different is a drift of its own';
  }

  /** Evidence comes when a leaf is read again, which may be after the key was explained: what could not be told then may be told now. */
  async #weighAgain({ id, wrong, cause }: Drift, confirmed: ConfirmedKey): Promise<void> {
    const { mine, theirs } = confirmed;
    const evidence = `${mine.changedBehindMs}/${theirs.changedBehindMs}`;
    const isTold = wrong !== '' && cause !== 'unknown';
    if (isTold || (mine.changedBehindMs === 0 && theirs.changedBehindMs === 0) || this.#weighed.get(id) === evidence) return;
    this.#weighed.delete(id);
    this.#weighed.set(id, evidence);
    const [oldest] = this.#weighed.keys();
    if (this.#weighed.size > TOLD_MAX && oldest !== undefined) this.#weighed.delete(oldest);
    await this.#unexplained.explain([confirmed], { reasons: [], untilMs: this.#options.runtime.monotonicMs() });
  }

  async #stillDiffers(drift: Drift): Promise<ConfirmedKey | ConfirmedReceipt | 'told later' | undefined> {
    try {
      return await this.differs(drift);
    } catch (cause) {
      // The room takes that part of the lane again.
      if (cause instanceof WmbError && cause.code === 'LANE_BEHIND') return 'told later';
      throw cause;
    }
  }

  #completed({ bytes, ms, reasons }: { readonly bytes: number; readonly ms: number; readonly reasons: readonly string[] }): void {
    const { peer, meters, logger, runtime } = this.#options;
    if (this.#failing !== undefined) logger.info({ peer }, 'the peer is compared with again');
    this.#failing = undefined;
    this.#rounds += 1;
    this.#roundBytes = bytes;
    this.#roundMs = Math.round(ms);
    this.#reason = reasons.length > 1 ? `${reasons[0]} (and ${reasons.length - 1} more)` : (reasons[0] ?? '');
    meters.round(peer, { bytes, ms });
    if (this.#reason !== '') return;
    this.#verifiedMs = runtime.nowMs();
    this.#verified = runtime.monotonicMs();
  }

  async #failed(error: WmbError): Promise<void> {
    const { own, peer, meters, logger, runtime } = this.#options;
    if (this.#stopped.signal.aborted) return;
    // What needs both rooms fails when either does: this room is asked first, so that a peer is not blamed for it.
    const ownError = await own.horizon().then(
      () => undefined,
      (cause: unknown) => asWmbError(cause),
    );
    const blamed = ownError ?? error;
    this.#reason = `${blamed.code}: ${blamed.message}`;
    meters.failed(peer, blamed.code);
    const isPeer = ownError === undefined;
    if (this.#failing?.isPeer !== isPeer || this.#failing.error.code !== blamed.code)
      logger.warn({ peer, code: blamed.code, error: blamed.message }, 'this room cannot be compared with the peer');
    if (this.#failing?.isPeer === isPeer) {
      this.#failing.error = blamed;
      this.#failing.count += 1;
      return;
    }
    this.#failing = { sinceMs: runtime.nowMs(), since: runtime.monotonicMs(), error: blamed, isPeer, count: 1 };
  }
}

export function isBetween({ sides }: Pick<Drift, 'sides'>, rooms: readonly [RoomId, RoomId]): boolean {
  return sides.every(({ room }) => rooms.includes(room)) && sides[0].room !== sides[1].room;
}

function whyNotKeys({ overflowed, complete }: KeyRound): readonly string[] {
  if (overflowed) return ['more keys differ than are followed at once; those that are followed are reported'];
  return complete ? [] : ['more of the cache differs than one round looks at: much is on its way, or the digest tree is not built yet'];
}
