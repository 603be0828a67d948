/** Metrics of the works on shares: what comes and goes with a share is measured as long as the share is here, and what has no label for a partition is summed. */
import type { GaugeReader, Labels, MetricSpec, Metrics } from '../../core/metrics.ts';

export class ShareMetrics {
  readonly #metrics: Metrics;
  readonly #readers = new Map<string, Set<GaugeReader>>();

  constructor(metrics: Metrics) {
    this.#metrics = metrics;
  }

  /** For one work; `end` takes its gauges away. */
  open(): { readonly metrics: Metrics; end(): void } {
    const own: { readonly name: string; readonly read: GaugeReader }[] = [];
    const gauge = (spec: MetricSpec, read: GaugeReader) => {
      own.push({ name: spec.name, read });
      this.#readersOf(spec).add(read);
    };
    const { counter, histogram } = this.#metrics;
    return {
      metrics: { counter: counter.bind(this.#metrics), histogram: histogram.bind(this.#metrics), gauge },
      end: () => {
        for (const { name, read } of own) this.#readers.get(name)?.delete(read);
      },
    };
  }

  #readersOf(spec: MetricSpec): Set<GaugeReader> {
    const known = this.#readers.get(spec.name);
    if (known !== undefined) return known;
    const readers = new Set<GaugeReader>();
    this.#readers.set(spec.name, readers);
    const declare = this.#metrics.gauge.bind(this.#metrics);
    declare(spec, (report) => {
      for (const [value, labels] of summed(readers)) report(value, labels);
    });
    return readers;
  }
}

function summed(readers: Iterable<GaugeReader>): (readonly [number, Labels | undefined])[] {
  const sums = new Map<string, readonly [number, Labels | undefined]>();
  for (const read of readers) {
    read((value, labels) => {
      const name = JSON.stringify(labels ?? {});
      sums.set(name, [(sums.get(name)?.[0] ?? 0) + value, labels]);
    });
  }
  return [...sums.values()];
}
