/** Keeps the gauges of one daemon, so that its queues can be looked at from outside at any moment, as a scrape would. */
import type { Counter, GaugeReader, Histogram, MetricSpec, Metrics } from '../core/metrics.ts';

export class Gauges implements Metrics {
  readonly #readers = new Map<string, GaugeReader>();

  counter(): Counter {
    return { add() {} };
  }

  histogram(): Histogram {
    return { observe() {} };
  }

  gauge(spec: MetricSpec, read: GaugeReader): void {
    this.#readers.set(spec.name, read);
  }

  /** The greatest value that the gauge has under any labels; 0 where it has none. */
  max(name: string): number {
    let max = 0;
    this.#readers.get(name)?.((value) => {
      if (value > max) max = value;
    });
    return max;
  }
}
