/** Which batches belong to aborted transactions, seen in the order of their offsets. */
import type { AbortedTransaction } from './requests.ts';
import { isAbort, type SourceBatch } from './source-records.ts';

export class AbortedBatches {
  /** Not begun yet, the earliest first. */
  readonly #coming: AbortedTransaction[];
  readonly #open = new Set<bigint>();

  /** `aborted` as the answer says that has the batches. */
  constructor(aborted: readonly AbortedTransaction[]) {
    this.#coming = [...aborted].sort((a, b) => a.firstOffset - b.firstOffset);
  }

  /** Whether the batch's records count for nothing: it is one of control, or was aborted. */
  isVoid(batch: SourceBatch): boolean {
    while ((this.#coming[0]?.firstOffset ?? Number.POSITIVE_INFINITY) <= batch.lastOffset) {
      const begun = this.#coming.shift();
      if (begun !== undefined) this.#open.add(begun.producerId);
    }
    if (batch.isControl) {
      if (this.#open.has(batch.producerId) && isAbort(batch)) this.#open.delete(batch.producerId);
      return true;
    }
    return batch.isTransactional && this.#open.has(batch.producerId);
  }
}
