/** The checker's records in memory: for simulated rooms, and the model of what a book does. */
import type { AuditEntry, Drift, DriftBook, DriftStatus, KeptAudit } from '../drift.ts';

export class MemoryDriftBook implements DriftBook {
  readonly #drifts = new Map<string, Drift>();
  readonly #audits: KeptAudit[] = [];

  async open(): Promise<void> {}

  async put(drifts: readonly Drift[]): Promise<void> {
    for (const drift of drifts) this.#drifts.set(drift.id, drift);
  }

  async get(id: string): Promise<Drift | undefined> {
    return this.#drifts.get(id);
  }

  async list({ status, limit }: { readonly status: DriftStatus | 'all'; readonly limit: number }): Promise<readonly Drift[]> {
    const asked = [...this.#drifts.values()].filter((drift) => status === 'all' || drift.status === status);
    return asked.sort((a, b) => b.confirmedMs - a.confirmedMs || (a.id < b.id ? -1 : 1)).slice(0, limit);
  }

  async counts(): Promise<{ readonly open: number; readonly repaired: number; readonly healed: number }> {
    const counts = { open: 0, repaired: 0, healed: 0 };
    for (const { status } of this.#drifts.values()) counts[status] += 1;
    return counts;
  }

  async audit(entry: AuditEntry): Promise<number> {
    const id = this.#audits.length + 1;
    this.#audits.push({ ...entry, id });
    return id;
  }

  async settleAudit(id: number, result: AuditEntry['result'], detail: string): Promise<void> {
    const entry = this.#audits[id - 1];
    if (entry !== undefined) this.#audits[id - 1] = { ...entry, result, detail };
  }

  async audits(limit: number): Promise<readonly KeptAudit[]> {
    return this.#audits.slice(-limit).reverse();
  }

  async close(): Promise<void> {}
}
