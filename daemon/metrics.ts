/** Adapter of core/metrics.ts to the Prometheus client. Every daemon exposes the result at /metrics. */
import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from '@prometheus-io/client';
import { WmbError } from '../core/errors.ts';
import type { GaugeReader, Labels, MetricSpec, Metrics } from '../core/metrics.ts';

/** Ends of a metric's name, which say its unit; docs/metrics.md shows them. */
export const METRIC_UNITS: Readonly<Record<string, string>> = {
  _total: 'count',
  _bytes: 'bytes',
  _ms: 'milliseconds',
  _writes: 'write requests',
  _frames: 'frames',
  _calls: 'calls',
  _sessions: 'sessions',
  _seq: 'seq',
  _info: 'always 1',
  _count: 'count',
  _state: '1 in this state, 0 otherwise',
  _ratio: 'ratio',
  _per_second: 'per second',
};

/** The unit that a metric's name ends in (`_bytes_total` counts bytes), or undefined. */
export function unitOf(name: string): string | undefined {
  const counted = name.endsWith('_total') ? name.slice(0, -'_total'.length) : name;
  const end = Object.keys(METRIC_UNITS).find((suffix) => counted.endsWith(suffix)) ?? (counted === name ? undefined : '_total');
  return end === undefined ? undefined : METRIC_UNITS[end];
}

const NAME = /^wmb_[a-z0-9_]+$/;

interface Entry {
  readonly type: 'counter' | 'gauge' | 'histogram';
  readonly spec: MetricSpec;
}

export class PrometheusMetrics implements Metrics {
  readonly #registry = new Registry();
  readonly #entries = new Map<string, Entry>();
  readonly #readers = new Map<string, GaugeReader[]>();

  /** `labels` are added to every line, such as the room and the daemon. */
  constructor(labels: Labels) {
    this.#registry.setDefaultLabels(labels);
    collectDefaultMetrics({ register: this.#registry });
  }

  get contentType(): string {
    return this.#registry.contentType;
  }

  /** All metrics in the Prometheus text format. */
  text(): Promise<string> {
    return this.#registry.metrics();
  }

  counter(spec: MetricSpec): { add(amount: number, labels?: Labels): void } {
    const known = this.#declare('counter', spec) as Counter<string> | undefined;
    const counter = known ?? new Counter(this.#options(spec));
    return { add: (amount, labels) => (labels === undefined ? counter.inc(amount) : counter.inc(labels, amount)) };
  }

  histogram(spec: MetricSpec & { readonly buckets: readonly number[] }): { observe(value: number, labels?: Labels): void } {
    const known = this.#declare('histogram', spec) as Histogram<string> | undefined;
    const histogram = known ?? new Histogram({ ...this.#options(spec), buckets: [...spec.buckets] });
    return { observe: (value, labels) => (labels === undefined ? histogram.observe(value) : histogram.observe(labels, value)) };
  }

  /** Several parts may read into one gauge, each with its own labels. */
  gauge(spec: MetricSpec, read: GaugeReader): void {
    const readers = this.#readers.get(spec.name) ?? [];
    readers.push(read);
    if (this.#declare('gauge', spec) !== undefined) return;
    this.#readers.set(spec.name, readers);
    new Gauge({
      ...this.#options(spec),
      collect() {
        this.reset();
        for (const reader of readers) reader((value, labels) => (labels === undefined ? this.set(value) : this.set(labels, value)));
      },
    });
  }

  /** What the registry already has under the name, when it was declared alike; INTERNAL when it was declared otherwise. */
  #declare(type: Entry['type'], spec: MetricSpec): unknown {
    const known = this.#entries.get(spec.name);
    if (known === undefined) {
      checkName(spec.name);
      this.#entries.set(spec.name, { type, spec });
      return undefined;
    }
    if (known.type !== type || String(known.spec.labels) !== String(spec.labels)) {
      throw new WmbError('INTERNAL', `metric ${spec.name} is declared twice, with different types or labels`);
    }
    return this.#registry.getSingleMetric(spec.name);
  }

  #options(spec: MetricSpec) {
    return { name: spec.name, help: spec.help, labelNames: [...(spec.labels ?? [])], registers: [this.#registry] };
  }
}

function checkName(name: string): void {
  if (!NAME.test(name)) throw new WmbError('INTERNAL', `metric ${name} does not begin with wmb_`);
  if (unitOf(name) === undefined)
    throw new WmbError('INTERNAL', `metric ${name} does not end in its unit (${Object.keys(METRIC_UNITS).join(', ')})`);
}
