/**
 * Which shares of the room this collector has (docs/adr/0013). Each share has a lease; a collector takes shares that nobody has up to its part of them, gives one away while somebody has two
 * fewer, and loses those that it could not renew in time. What it does for a share, somebody else has stopped doing: the lease is looked at in every transaction of the share's receipt book, and the
 * cache and the database refuse marks that are not the expected ones.
 */
import { asWmbError, WmbError } from '../../core/errors.ts';
import type { Logger } from '../../core/logger.ts';
import type { Runtime, Timer } from '../../core/runtime.ts';
import { leastStamp, type Stamp } from '../../core/stamp.ts';
import type { Service } from '../../daemon/service.ts';
import type { Fellow, Registered, ShareNews } from '../receipts/share-registry.ts';

const BEAT_MS = 500;
/** Whoever has given a share away leaves it to others for so long. */
const GIVEN_MS = 2_000;
/** Whoever could not begin to work on one is not counted among the collectors for so long, and then tries again. */
const FAILED_MS = 5_000;

/** What works on one share. */
export interface ShareWork {
  start(): Promise<void>;
  /** Takes no more, and finishes what it has. */
  drain(): Promise<void>;
  stop(): Promise<void>;
  unready(): string | undefined;
  news(): Omit<ShareNews, 'share'>;
  /** Why it cannot go on, and has to begin anew, here or elsewhere. */
  over?(): WmbError | undefined;
}

export interface Lease {
  /** True: it is this collector's now. */
  take(): boolean | Promise<boolean>;
  /** False: somebody else has it. */
  renew(): boolean;
  release(): void;
  close(): void;
}

export interface KeeperOptions<Work extends ShareWork> {
  readonly self: Fellow;
  readonly count: number;
  readonly registry: {
    beat(self: Fellow, own: readonly ShareNews[], counts: boolean): Registered;
    leave(name: string): void | Promise<void>;
    close(): void;
  };
  readonly lease: (share: number) => Lease;
  readonly work: (share: number) => Work;
  readonly runtime: Runtime;
  readonly logger: Logger;
}

interface Held<Work> {
  readonly work: Work;
  state: 'starting' | 'working' | 'leaving';
  /** Resolves when it has ended. */
  ended: Promise<void>;
}

export class ShareKeeper<Work extends ShareWork> implements Service {
  readonly name = 'shares';
  readonly #options: KeeperOptions<Work>;
  readonly #held = new Map<number, Held<Work>>();
  readonly #leases: readonly Lease[];
  #registered: Registered = { collectors: [], shares: new Map() };
  #timer: Timer | undefined;
  #isStopped = false;
  #isTaking = false;
  /** It takes no shares before. */
  #takesMs = Number.NEGATIVE_INFINITY;
  #failedMs = Number.NEGATIVE_INFINITY;
  /** By share that nobody works on: why this collector could not begin. */
  readonly #refused = new Map<number, WmbError>();
  #trouble: string | undefined;

  constructor(options: KeeperOptions<Work>) {
    this.#options = options;
    this.#leases = Array.from({ length: options.count }, (_, share) => options.lease(share));
  }

  /** Resolves when it is known who has what; shares are taken from then on. */
  async start(): Promise<void> {
    this.#beat();
    this.#schedule();
  }

  async drain(): Promise<void> {
    this.#isStopped = true;
    // Leases are renewed meanwhile: nobody is to begin before this one has ended.
    await Promise.all([...this.#held.keys()].map((share) => this.#leave(share)));
  }

  async stop(): Promise<void> {
    this.#isStopped = true;
    await Promise.all([...this.#held.keys()].map((share) => this.#leave(share)));
    this.#timer?.cancel();
    const { registry, self } = this.#options;
    await registry.leave(self.name);
    for (const lease of this.#leases) lease.close();
    registry.close();
  }

  unready(): string | undefined {
    if (this.#trouble !== undefined) return this.#trouble;
    for (const { work, state } of this.#held.values()) {
      const reason = state === 'working' ? work.unready() : undefined;
      if (reason !== undefined) return reason;
    }
    const [refused] = this.#refused.values();
    return refused?.told;
  }

  /** Why nobody works on a share, as far as it is known here. */
  whyFree(share: number): WmbError | undefined {
    return this.#refused.get(share);
  }

  /** What works here, by share. */
  get working(): ReadonlyMap<number, Work> {
    return new Map([...this.#held].flatMap(([share, { work, state }]) => (state === 'working' ? [[share, work] as const] : [])));
  }

  /** Who is there, and has what, by what was said last. */
  get registered(): Registered {
    return this.#registered;
  }

  /** What the owners of all other shares have seen. Undefined where one has no owner, or does not know. */
  others(share: number): { readonly seen: Stamp; readonly restsOn: readonly string[] } | undefined {
    const news: ShareNews[] = [];
    for (let other = 0; other < this.#options.count; other += 1) {
      if (other === share) continue;
      const said = this.#registered.shares.get(other);
      if (said === undefined || said.seen === '') return undefined;
      news.push(said);
    }
    return { seen: leastStamp(news.map(({ seen }) => seen)), restsOn: news.map(({ restsOn }) => restsOn) };
  }

  #schedule(): void {
    this.#timer = this.#options.runtime.after(BEAT_MS, () => {
      this.#beat();
      this.#schedule();
    });
  }

  #beat(): void {
    const { registry, self, runtime } = this.#options;
    try {
      const refused = this.#renew();
      const own = [...this.#held].flatMap(([share, { work, state }]) => (state === 'working' ? [{ share, ...work.news() }] : []));
      this.#registered = registry.beat(self, own, runtime.monotonicMs() >= this.#failedMs + FAILED_MS);
      for (const share of this.#registered.shares.keys()) this.#refused.delete(share);
      if (refused !== undefined) throw refused;
      this.#trouble = undefined;
      if (!this.#isStopped && !this.#isTaking) this.#balance();
    } catch (cause) {
      this.#failed(cause);
    }
  }

  /** Of all shares, also where one cannot be: the others are not to be lost with it. Returns why the first one could not. */
  #renew(): unknown {
    let refused: unknown;
    for (const [share, { work, state }] of this.#held) {
      try {
        if (this.#leases[share]?.renew() === false) this.#lost(share);
        else if (state === 'working') this.#endIfOver(share, work);
      } catch (cause) {
        refused ??= cause;
      }
    }
    return refused;
  }

  /** Where it cannot be given back, nobody renews it any more: it runs out. */
  #release(share: number): void {
    try {
      this.#leases[share]?.release();
    } catch (cause) {
      this.#failed(cause);
    }
  }

  #failed(cause: unknown): void {
    const { code, message } = asWmbError(cause);
    if (this.#trouble === undefined) this.#options.logger.warn({ code, reason: message }, 'the shares of the room cannot be looked at');
    this.#trouble = `${code}: ${message}`;
  }

  /** One step at a time. */
  #balance(): void {
    const { count, runtime } = this.#options;
    const { collectors, shares } = this.#registered;
    const nowMs = runtime.monotonicMs();
    const free = [...this.#leases.keys()].filter((share) => !shares.has(share) && !this.#held.has(share));
    const fair = Math.ceil(count / Math.max(1, collectors.length));
    if (this.#held.size < fair && nowMs >= Math.max(this.#takesMs, this.#failedMs + FAILED_MS)) {
      this.#isTaking = true;
      this.#takeOne(free)
        .catch((cause: unknown) => this.#failed(cause))
        .finally(() => {
          this.#isTaking = false;
        });
    }
    const isMoving = [...this.#held.values()].some(({ state }) => state !== 'working');
    if (free.length > 0 || isMoving || this.#held.size < this.#fewest() + 2) return;
    this.#takesMs = nowMs + GIVEN_MS;
    void this.#leave(Math.max(...this.#held.keys()));
  }

  async #takeOne(free: readonly number[]): Promise<void> {
    for (const share of free) {
      const taken = this.#leases[share]?.take();
      if (!(typeof taken === 'object' ? await taken : taken)) continue;
      if (this.#isStopped) this.#leases[share]?.release();
      else this.#begin(share);
      return;
    }
  }

  /** How many shares the collector has that has the fewest. */
  #fewest(): number {
    const { collectors, shares } = this.#registered;
    const owners = [...shares.values()].map(({ owner }) => owner);
    return Math.min(...collectors.map(({ name }) => owners.filter((owner) => owner === name).length));
  }

  #begin(share: number): void {
    const { logger } = this.#options;
    const work = this.#workOn(share);
    const held: Held<Work> = { work, state: 'starting', ended: Promise.resolve() };
    this.#held.set(share, held);
    logger.info({ share }, 'a share of the room is taken');
    held.ended = work.start().then(
      () => {
        if (held.state !== 'starting') return;
        held.state = 'working';
        // The others need not wait to hear of it.
        this.#beat();
      },
      (cause) => {
        const { code, message } = asWmbError(cause);
        logger.error({ share, code, reason: message }, 'the work on a share cannot begin; it is tried again');
        this.#refused.set(share, new WmbError(code, `nobody works on share ${share} of the room: ${message}`, { cause }));
        this.#failedMs = this.#options.runtime.monotonicMs();
        if (this.#held.get(share) === held) void this.#leave(share);
      },
    );
  }

  /** Where it cannot even be made, the share is not to stay with this collector: nobody else would take it. */
  #workOn(share: number): Work {
    try {
      return this.#options.work(share);
    } catch (cause) {
      this.#failedMs = this.#options.runtime.monotonicMs();
      this.#release(share);
      throw cause;
    }
  }

  /** Ends the work on a share in order, and gives it away. */
  async #leave(share: number): Promise<void> {
    const held = this.#held.get(share);
    if (held === undefined) return;
    if (held.state === 'leaving') return held.ended;
    const begun = held.ended;
    held.state = 'leaving';
    held.ended = this.#end(share, held.work, begun).then(() => {
      this.#held.delete(share);
      this.#release(share);
      this.#beat();
    });
    return held.ended;
  }

  async #end(share: number, work: Work, begun: Promise<void>): Promise<void> {
    const { logger } = this.#options;
    try {
      await begun;
      await work.drain();
      await work.stop();
      logger.info({ share }, 'a share of the room is given away');
    } catch (cause) {
      logger.warn({ share, reason: asWmbError(cause).message }, 'the work on a share did not end in order');
    }
  }

  #endIfOver(share: number, work: Work): void {
    const reason = work.over?.();
    if (reason === undefined) return;
    this.#options.logger.warn({ share, reason: reason.told }, 'the work on a share cannot go on; it begins anew');
    void this.#leave(share);
  }

  /** Somebody else has it: what is under way here is refused by the stores. */
  #lost(share: number): void {
    const held = this.#held.get(share);
    if (held === undefined || held.state === 'leaving') return;
    this.#options.logger.warn({ share }, 'a share was taken by another collector: this one stood still for too long');
    void this.#leave(share);
  }

  /** Which collector can be asked about a share; undefined: none has it. */
  ownerOf(share: number): Fellow | undefined {
    const owner = this.#registered.shares.get(share)?.owner;
    return this.#registered.collectors.find(({ name }) => name === owner);
  }

  demand(share: number): Work {
    const work = this.working.get(share);
    if (work !== undefined) return work;
    throw new WmbError('DRAINING', `share ${share} is not with this collector`);
  }
}
