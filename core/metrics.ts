/**
 * What the parts of a daemon measure, told without naming a metrics library. Each part declares its metrics with a
 * name that ends in its unit (`_total`, `_bytes`, `_ms`), a help sentence and its label names; the registry in
 * daemon/ exposes them and generates docs/metrics.md from them.
 */
export interface MetricSpec {
  readonly name: string;
  readonly help: string;
  readonly labels?: readonly string[];
}

export type Labels = Readonly<Record<string, string | number>>;

export interface Counter {
  add(amount: number, labels?: Labels): void;
}

export interface Histogram {
  observe(value: number, labels?: Labels): void;
}

/** Read when scraped: calls back with each current value. */
export type GaugeReader = (report: (value: number, labels?: Labels) => void) => void;

export interface Metrics {
  counter(spec: MetricSpec): Counter;
  histogram(spec: MetricSpec & { readonly buckets: readonly number[] }): Histogram;
  gauge(spec: MetricSpec, read: GaugeReader): void;
}

export const noMetrics: Metrics = {
  counter: () => ({ add() {} }),
  histogram: () => ({ observe() {} }),
  gauge() {},
};
