/**
 * What the collector takes its cache for. A cache may come back from an older copy, fail over to a replica without its last commits, or be emptied while the
 * collector runs; a lane with traffic would run into it, an idle one never. So the marks are read every second, and where the store has begun
 * a new generation every lane looks again: one whose mark went back is resumed from there, and what was retried and may be lost is applied again.
 * Until all have looked there is no floor, because it rests on what every lane has seen.
 */
import { asWmbError } from '../../core/errors.ts';
import type { Logger } from '../../core/logger.ts';
import type { Runtime, Timer } from '../../core/runtime.ts';
import type { CacheMarks, CacheStore, Generation } from '../../store/cache.ts';

const LOOK_MS = 1_000;

/** A lane whose frames end in the cache. */
export interface Looker {
  /** In the lane's own turn: takes the stores for what they are now. */
  lookAgain(): Promise<void>;
}

export interface CacheViewOptions {
  readonly cache: CacheStore;
  readonly lookers: () => readonly Looker[];
  readonly runtime: Runtime;
  readonly logger: Logger;
}

export class CacheView {
  readonly #options: CacheViewOptions;
  #generation: Generation | undefined;
  /** Lanes that have not looked since the generation began. */
  readonly #blind = new Set<Looker>();
  readonly #looking = new Map<Looker, Promise<void>>();
  #trouble: string | undefined;
  #timer: Timer | undefined;
  #stopped = true;
  #reapplied = 0;

  constructor(options: CacheViewOptions) {
    this.#options = options;
  }

  /** What a batch names that has no marks of its own to go by; it goes with the floor of the same moment. */
  get generation(): Generation {
    return this.#generation ?? 0;
  }

  /** How often something old was applied that no frame brought: a copy that was under way does not know of it. */
  get reapplied(): number {
    return this.#reapplied;
  }

  noteReapplied(): void {
    this.#reapplied += 1;
  }

  /** Every lane has seen what the cache holds in this generation. */
  get isWhole(): boolean {
    return this.#blind.size === 0;
  }

  /** Why the cache could not be read when it was looked at last; undefined where it could. */
  get trouble(): string | undefined {
    return this.#trouble;
  }

  /** As {@link isWhole}, of the cache as it is at this moment. A cache that is away may come back as anything. */
  async isWholeNow(): Promise<boolean> {
    try {
      await this.marks();
      return this.isWhole;
    } catch {
      return false;
    }
  }

  /** Everybody reads the marks here, so that nobody knows of a new generation before the floor does. */
  async marks(): Promise<CacheMarks> {
    const found = await this.#options.cache.marks();
    const known = this.#generation;
    this.#generation = Math.max(known ?? 0, found.generation);
    if (known !== undefined && known < found.generation) this.#wentBack(found);
    return found;
  }

  /** A cache that is away is looked at when it is back. */
  start(): Promise<void> {
    this.#stopped = false;
    return this.#tick();
  }

  /** Resolves when nobody looks any more. */
  async stop(): Promise<void> {
    this.#stopped = true;
    this.#timer?.cancel();
    await Promise.all(this.#looking.values());
  }

  #wentBack({ generation }: CacheMarks): void {
    this.#options.logger.warn(
      { generation },
      'the cache is not as it was left: it came back from a copy, or somebody else works on it; all lanes look again',
    );
    for (const looker of this.#options.lookers()) this.#blind.add(looker);
    this.#look();
  }

  #schedule(): void {
    if (this.#stopped) return;
    this.#timer = this.#options.runtime.after(LOOK_MS, () => void this.#tick(), true);
  }

  async #tick(): Promise<void> {
    try {
      await this.marks();
      this.#trouble = undefined;
      this.#look();
    } catch (cause) {
      this.#complain(cause);
    }
    this.#schedule();
  }

  /** The same trouble again is no news. */
  #complain(cause: unknown): void {
    const { code, message } = asWmbError(cause);
    const known = this.#trouble;
    this.#trouble = `${code}: ${message}`;
    const level = known?.startsWith(`${code}:`) ? 'debug' : 'warn';
    this.#options.logger[level]({ code, error: message }, 'the marks of the cache could not be read; they are read again');
  }

  /** Nobody waits for a lane whose turn is long in coming. */
  #look(): void {
    for (const looker of this.#blind) {
      if (this.#looking.has(looker)) continue;
      this.#looking.set(
        looker,
        this.#lookOne(looker).finally(() => this.#looking.delete(looker)),
      );
    }
  }

  async #lookOne(looker: Looker): Promise<void> {
    const generation = this.#generation;
    try {
      await looker.lookAgain();
      // It may have been yet another one meanwhile.
      if (generation === this.#generation) this.#blind.delete(looker);
    } catch (cause) {
      this.#options.logger.warn({ error: asWmbError(cause).message }, 'a lane could not look at the cache again; it tries again');
    }
  }
}
