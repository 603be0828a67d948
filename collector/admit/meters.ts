/** What the collector measures while it applies. */
import type { Counter, Histogram, Metrics } from '../../core/metrics.ts';
import type { Runtime } from '../../core/runtime.ts';
import { stampMs } from '../../core/stamp.ts';
import type { Lane, Outcome } from '../../core/words.ts';
import type { SeqFrame } from './frames.ts';

const MS_BUCKETS = [1, 2, 5, 10, 25, 50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 60_000];
const SIZE_BUCKETS = [1, 4, 16, 64, 256, 512, 1_024, 4_096];

export class Meters {
  readonly #runtime: Runtime;
  readonly #writes: Counter;
  readonly #batches: Histogram;
  readonly #applyMs: Histogram;
  readonly #lagMs: Histogram;

  constructor(metrics: Metrics, runtime: Runtime) {
    this.#runtime = runtime;
    this.#writes = metrics.counter({
      name: 'wmb_collector_writes_total',
      help: 'Receipts written, by origin and by what the room did with the write request.',
      labels: ['origin', 'outcome'],
    });
    this.#batches = metrics.histogram({ name: 'wmb_collector_batch_writes', help: 'Write requests per batch.', buckets: SIZE_BUCKETS });
    this.#applyMs = metrics.histogram({
      name: 'wmb_collector_apply_ms',
      help: 'Time from a batch being taken to its receipts, by log.',
      labels: ['log'],
      buckets: MS_BUCKETS,
    });
    this.#lagMs = metrics.histogram({
      name: 'wmb_collector_submit_to_applied_ms',
      help: 'Time from the first stamp of a frame, given at intake in its origin, to its receipts in this room.',
      labels: ['origin'],
      buckets: MS_BUCKETS,
    });
  }

  batch(lane: Lane, frames: readonly SeqFrame[], outcomes: readonly { readonly outcome: Outcome | '' }[], startedMs: number): void {
    const counts: Record<string, number> = {};
    for (const { outcome } of outcomes) counts[outcome] = (counts[outcome] ?? 0) + 1;
    for (const [outcome, count] of Object.entries(counts)) this.#writes.add(count, { origin: lane.origin, outcome });
    this.#batches.observe(outcomes.length);
    this.#applyMs.observe(this.#runtime.monotonicMs() - startedMs, { log: lane.log });
    const nowMs = this.#runtime.nowMs();
    for (const frame of frames) this.#lagMs.observe(Math.max(0, nowMs - stampMs(frame.header.stampFirst)), { origin: lane.origin });
  }
}
