/** What intake measures. */
import type { ErrorCode } from '../../core/errors.ts';
import type { Counter, Histogram, Metrics } from '../../core/metrics.ts';

export interface IntakeMetrics {
  taken(writes: number): void;
  refused(code: ErrorCode, writes: number): void;
  readonly frameWrites: Histogram;
  readonly frameBytes: Histogram;
  readonly appendMs: Histogram;
  readonly durableMs: Histogram;
  /** Since the start, for status. */
  readonly totals: { readonly taken: number; readonly refused: number };
}

/** Read when scraped. */
export interface IntakeGauges {
  readonly pendingWrites: () => number;
  readonly pendingBytes: () => number;
  readonly waiting: () => number;
}

const MS = [0.25, 0.5, 1, 2.5, 5, 10, 25, 50, 100, 250, 1_000, 5_000];

export function intakeMetrics(metrics: Metrics, gauges: IntakeGauges): IntakeMetrics {
  const totals = { taken: 0, refused: 0 };
  const taken: Counter = metrics.counter({ name: 'wmb_intake_taken_total', help: 'Write requests that are durable in the write log.' });
  const refused: Counter = metrics.counter({
    name: 'wmb_intake_refused_total',
    help: 'Write requests that were not taken, by error code.',
    labels: ['code'],
  });
  metrics.gauge({ name: 'wmb_intake_pending_writes', help: 'Write requests taken in but not yet durable.' }, (report) =>
    report(gauges.pendingWrites()),
  );
  metrics.gauge({ name: 'wmb_intake_pending_bytes', help: 'Bytes of write requests taken in but not yet durable.' }, (report) =>
    report(gauges.pendingBytes()),
  );
  metrics.gauge({ name: 'wmb_intake_waiting_calls', help: 'Calls that wait for applied or everywhere.' }, (report) =>
    report(gauges.waiting()),
  );
  return {
    totals,
    taken(writes) {
      totals.taken += writes;
      taken.add(writes);
    },
    refused(code, writes) {
      totals.refused += writes;
      refused.add(writes, { code });
    },
    frameWrites: metrics.histogram({
      name: 'wmb_intake_frame_writes',
      help: 'Write requests in a frame.',
      buckets: [1, 4, 16, 64, 256, 1_024, 4_096],
    }),
    frameBytes: metrics.histogram({
      name: 'wmb_intake_frame_bytes',
      help: 'Size of a frame as stored.',
      buckets: [256, 1_024, 4_096, 16_384, 65_536, 262_144, 1_048_576],
    }),
    appendMs: metrics.histogram({ name: 'wmb_intake_append_ms', help: 'How long one append to the write log took.', buckets: MS }),
    durableMs: metrics.histogram({
      name: 'wmb_intake_durable_ms',
      help: 'From a submit until its write requests were durable.',
      buckets: MS,
    }),
  };
}
