/**
 * The drift book with what is open in memory beside it: rounds look at it all the time, and people watch it change. Whatever changes the book goes through here.
 */
import type { AuditEntry, Drift, DriftBook, DriftStatus, KeptAudit } from '../drift.ts';

/** More open drifts are counted and not recorded: the rooms differ as a whole then, and a longer list says no more. */
const OPEN_MAX = 10_000;

export type DriftListener = (drift: Drift) => void;

/**
 * The same difference, explained with less to go by: evidence and witnesses do not last, a checker that was started anew has none, and what was
 * known of a drift stays known. Who names another room wrong knows something new.
 */
function knowsLess(drift: Drift, known: Drift): boolean {
  if (drift.cause !== 'unknown' || known.cause === 'unknown' || (drift.wrong !== '' && drift.wrong !== known.wrong)) return false;
  return drift.subject.type === 'key' && JSON.stringify(drift.elements) === JSON.stringify(known.elements);
}

export class WatchedBook implements DriftBook {
  readonly #book: DriftBook;
  readonly #openMax: number;
  /** By id; those looked at longest ago first. */
  readonly #open = new Map<string, Drift>();
  readonly #listeners = new Set<DriftListener>();
  #unrecorded = 0;

  constructor(book: DriftBook, options: { readonly openMax?: number } = {}) {
    this.#book = book;
    this.#openMax = options.openMax ?? OPEN_MAX;
  }

  async open(): Promise<void> {
    await this.#book.open();
    this.#open.clear();
    for (const drift of await this.#book.list({ status: 'open', limit: this.#openMax })) this.#open.set(drift.id, drift);
  }

  /** What is open now. */
  get openDrifts(): ReadonlyMap<string, Drift> {
    return this.#open;
  }

  /** Drifts that were found and not recorded, because too many are open. */
  get unrecorded(): number {
    return this.#unrecorded;
  }

  /**
   * Records what a round has found. A drift that is open already keeps the moments at which it was found; where nothing else about it is
   * new either, nothing is written. Returns whether it was not open before.
   */
  async found(drift: Drift): Promise<boolean> {
    const known = this.#open.get(drift.id);
    if (known === undefined && this.#open.size >= this.#openMax) {
      this.#unrecorded += 1;
      return false;
    }
    if (known === undefined) {
      await this.put([drift]);
      return true;
    }
    if (knowsLess(drift, known)) return false;
    const { firstSeenMs, confirmedMs, note } = known;
    const again = { ...drift, firstSeenMs, confirmedMs, note };
    if (JSON.stringify(again) !== JSON.stringify(known)) await this.put([again]);
    return false;
  }

  /**
   * Records a drift of which nothing is to be done: closed, and closed again only once for as long as the book remembers it. Returns whether it was news.
   */
  async foundClosed(drift: Drift): Promise<boolean> {
    const known = this.#open.get(drift.id);
    if (known === undefined && (await this.#book.get(drift.id))?.kind === drift.kind) return false;
    const { firstSeenMs, confirmedMs } = known ?? drift;
    await this.put([{ ...drift, firstSeenMs, confirmedMs }]);
    return true;
  }

  /** Closes a drift, unless somebody else has done so meanwhile. */
  async settle(id: string, closing: Pick<Drift, 'status' | 'closedMs' | 'note'>): Promise<boolean> {
    const drift = this.#open.get(id);
    if (drift === undefined) return false;
    await this.put([{ ...drift, ...closing }]);
    return true;
  }

  /** At most `max` of the open drifts that `wanted` picks, others each time. */
  rotate(max: number, wanted: (drift: Drift) => boolean): readonly Drift[] {
    const picked: Drift[] = [];
    for (const drift of this.#open.values()) {
      if (picked.length === max) break;
      if (wanted(drift)) picked.push(drift);
    }
    for (const drift of picked) {
      this.#open.delete(drift.id);
      this.#open.set(drift.id, drift);
    }
    return picked;
  }

  /** Called with every drift that is recorded, from now on. Returns how to stop. */
  onChange(listener: DriftListener): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  async put(drifts: readonly Drift[]): Promise<void> {
    await this.#book.put(drifts);
    for (const drift of drifts) {
      if (drift.status === 'open') this.#open.set(drift.id, drift);
      else this.#open.delete(drift.id);
      for (const listener of this.#listeners) listener(drift);
    }
  }

  get(id: string): Promise<Drift | undefined> {
    return this.#book.get(id);
  }

  list(options: { readonly status: DriftStatus | 'all'; readonly limit: number }): Promise<readonly Drift[]> {
    return this.#book.list(options);
  }

  counts(): Promise<{ readonly open: number; readonly repaired: number; readonly healed: number }> {
    return this.#book.counts();
  }

  audit(entry: AuditEntry): Promise<number> {
    return this.#book.audit(entry);
  }

  settleAudit(id: number, result: AuditEntry['result'], detail: string): Promise<void> {
    return this.#book.settleAudit(id, result, detail);
  }

  audits(limit: number): Promise<readonly KeptAudit[]> {
    return this.#book.audits(limit);
  }

  close(): Promise<void> {
    return this.#book.close();
  }
}
