/**
 * Shares of a room whose collectors have no files in common: they say to each other in Kafka what they have (claims.ts). It decides who is to work on which share; that nobody works on one that another has taken is
 * up to the journal of its receipts, to the marks of the cache and to those of the database.
 */
import { asWmbError, WmbError } from '../../core/errors.ts';
import { backoffMs } from '../../core/flow/backoff.ts';
import { Wakeup } from '../../core/flow/wakeup.ts';
import type { Logger } from '../../core/logger.ts';
import { type Runtime, sleep } from '../../core/runtime.ts';
import type { Talk } from '../../log/talk.ts';
import { LEASE_MS } from '../receipts/lease.ts';
import { type Fellow, type Registered, type ShareNews, SILENCE_MS_MAX } from '../receipts/share-registry.ts';
import { type Claim, Claims, decodeShares, encodeShares } from './claims.ts';
import type { Lease } from './keeper.ts';

const BACKOFF = { msMin: 50, msMax: 1_000 };
/** Who says something and does not hear it for so long hears nobody. */
const UNHEARD_MS = 3_000;
const JOIN_MS_MAX = 30_000;
/** What was said before is forgotten: minutes of it are kept. */
const KEPT_RECORDS = 4_096;
const FORGET_TURNS = 256;

export interface TalkedSharesOptions {
  readonly self: Fellow;
  readonly talk: Talk;
  readonly runtime: Runtime;
  readonly logger: Logger;
}

export class TalkedShares {
  readonly #options: TalkedSharesOptions;
  readonly #claims = new Claims();
  readonly #over = new AbortController();
  readonly #heard = new Wakeup();
  /** Claimed, and not given back since. What is this one's all the same, because a word that was said twice came late, is said to be nobody's. */
  readonly #kept = new Set<number>();
  #saying: Promise<void> = Promise.resolve();
  #isSaying = false;
  #word: { readonly news: readonly ShareNews[]; readonly counts: boolean } = { news: [], counts: true };
  #heardTo = -1;
  #turn = 0;
  #heardSelfMs: number;
  #trouble: WmbError | undefined;

  constructor(options: TalkedSharesOptions) {
    this.#options = options;
    this.#heardSelfMs = options.runtime.monotonicMs();
  }

  /** Resolves when it is known who has what. LOG_UNAVAILABLE, LOG_DENIED, LOG_FOREIGN. */
  async open(): Promise<void> {
    const { runtime } = this.#options;
    void this.#hearAll();
    for (const startedMs = runtime.monotonicMs(); !(await this.#says(undefined, JOIN_MS_MAX)); ) {
      const trouble = this.#trouble ?? unheard(JOIN_MS_MAX);
      // Kafka may have no leader for a moment.
      if (trouble.retry === 'never' || runtime.monotonicMs() - startedMs >= JOIN_MS_MAX) throw trouble;
      await sleep(runtime, BACKOFF.msMax);
    }
  }

  beat(_self: Fellow, news: readonly ShareNews[], counts: boolean): Registered {
    const { runtime } = this.#options;
    this.#word = { news, counts };
    if (!this.#isSaying) void this.#say(undefined).catch(() => {});
    const nowMs = runtime.monotonicMs();
    if (nowMs - this.#heardSelfMs > UNHEARD_MS) throw this.#trouble ?? unheard(UNHEARD_MS);
    return this.#claims.registered(nowMs, SILENCE_MS_MAX);
  }

  lease(share: number): Lease {
    return {
      take: () => this.#take(share),
      renew: () => this.#isMine(share),
      release: () => void this.#kept.delete(share),
      close: () => {},
    };
  }

  async leave(): Promise<void> {
    await this.#say(undefined, true).catch(() => {});
  }

  close(): void {
    this.#over.abort();
    this.#options.talk.close();
  }

  #isMine(share: number): boolean {
    return this.#claims.ownerOf(share) === this.#options.self.name && this.#kept.has(share);
  }

  async #take(share: number): Promise<boolean> {
    const claim = this.#claims.claim(share, this.#options.runtime.monotonicMs(), LEASE_MS);
    if (claim === undefined) return false;
    this.#kept.add(share);
    const isMine = (await this.#says(claim, UNHEARD_MS)) && this.#isMine(share);
    // It may be heard later, or again; then it is given back.
    if (!isMine) this.#kept.delete(share);
    return isMine;
  }

  /** Says it, and waits until it is heard. */
  async #says(claim: Claim | undefined, msMax: number): Promise<boolean> {
    const { runtime, self } = this.#options;
    const startedMs = runtime.monotonicMs();
    const turn = await this.#say(claim).catch(() => undefined);
    while (turn !== undefined && this.#claims.turnOf(self.name) < turn && !this.#over.signal.aborted) {
      const leftMs = startedMs + msMax - runtime.monotonicMs();
      if (leftMs <= 0) return false;
      const timer = runtime.after(leftMs, () => this.#heard.wake());
      await this.#heard.wait();
      timer.cancel();
    }
    return turn !== undefined;
  }

  /** One word after the other. Resolves with its number. */
  async #say(claims: Claim | undefined, leaves = false): Promise<number> {
    const saying = this.#saying.then(() => this.#sayNow(claims, leaves));
    this.#saying = saying.then(
      () => {},
      () => {},
    );
    return saying;
  }

  async #sayNow(claims: Claim | undefined, leaves: boolean): Promise<number> {
    const { self, talk } = this.#options;
    const turn = this.#turn;
    this.#turn += 1;
    this.#isSaying = true;
    const holds = this.#claims.heldBy(self.name).filter(({ share }) => this.#kept.has(share));
    const news = this.#word.news.filter(({ share }) => this.#isMine(share));
    try {
      await talk.say(encodeShares({ ...self, turn, heardTo: this.#heardTo, counts: this.#word.counts, holds, news, claims, leaves }));
      if (turn % FORGET_TURNS === FORGET_TURNS - 1) await talk.forget(Math.max(0, this.#heardTo - KEPT_RECORDS));
      return turn;
    } catch (cause) {
      this.#trouble = asWmbError(cause);
      throw cause;
    } finally {
      this.#isSaying = false;
    }
  }

  async #hearAll(): Promise<void> {
    const { talk, runtime, logger } = this.#options;
    const { signal } = this.#over;
    for (let failures = 0; !signal.aborted; failures += 1) {
      try {
        for await (const heard of talk.hear(this.#heardTo, signal)) {
          failures = 0;
          for (const { at, value } of heard) this.#hear(at, value);
          this.#heard.wake();
        }
      } catch (cause) {
        this.#trouble = asWmbError(cause);
        if (!signal.aborted && failures === 0) logger.warn({ reason: this.#trouble.told }, 'the collectors of the room cannot be heard');
      }
      await sleep(runtime, backoffMs(failures, BACKOFF, runtime.random()), signal);
    }
  }

  #hear(at: number, value: Uint8Array): void {
    const said = decodeShares(value);
    const nowMs = this.#options.runtime.monotonicMs();
    this.#heardTo = at;
    if (said === undefined) return;
    this.#claims.take(at, said, nowMs);
    if (said.name !== this.#options.self.name) return;
    this.#heardSelfMs = nowMs;
    this.#trouble = undefined;
  }
}

function unheard(ms: number): WmbError {
  return new WmbError('LOG_UNAVAILABLE', `what this collector says to the others of its room was not heard for ${ms} ms`);
}
