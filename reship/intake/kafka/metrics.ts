/** What the intake of topics measures. One set for all topics of the room. */
import type { ErrorCode } from '../../../core/errors.ts';
import type { Metrics } from '../../../core/metrics.ts';

/** Of one topic. */
export interface TopicMeters {
  /** A record is in the write log. */
  taken(refused: ErrorCode | undefined): void;
  /** So many records were there already. */
  found(records: number): void;
}

/** Read when scraped. */
export interface TopicGauges {
  readonly topic: string;
  readonly partitions: () => Iterable<{ readonly partition: number; readonly lag: number | undefined; readonly isStopped: boolean }>;
}

export interface TopicsMetrics {
  of(gauges: TopicGauges): TopicMeters;
}

export function topicsMetrics(metrics: Metrics): TopicsMetrics {
  const topics: TopicGauges[] = [];
  const taken = metrics.counter({
    name: 'wmb_intake_topic_records_total',
    help: 'Records of intake topics that have their place in the write log.',
    labels: ['topic'],
  });
  const refused = metrics.counter({
    name: 'wmb_intake_topic_refused_total',
    help: 'Records of intake topics that are no write request this room takes, by error code; they are parked.',
    labels: ['topic', 'code'],
  });
  const found = metrics.counter({
    name: 'wmb_intake_topic_found_total',
    help: 'Records of intake topics that were delivered again and found in the write log.',
    labels: ['topic'],
  });
  metrics.gauge(
    {
      name: 'wmb_intake_topic_lag_writes',
      help: 'Records of an intake topic that are not yet write requests of this room.',
      labels: ['topic', 'partition'],
    },
    (report) => {
      for (const { topic, partitions } of topics)
        for (const { partition, lag } of partitions()) if (lag !== undefined) report(lag, { topic, partition });
    },
  );
  metrics.gauge(
    {
      name: 'wmb_intake_topic_stopped_state',
      help: '1 where a partition of an intake topic stands still until somebody does something.',
      labels: ['topic', 'partition'],
    },
    (report) => {
      for (const { topic, partitions } of topics)
        for (const { partition, isStopped } of partitions()) report(isStopped ? 1 : 0, { topic, partition });
    },
  );
  return {
    of(gauges) {
      topics.push(gauges);
      const { topic } = gauges;
      return {
        taken(code) {
          taken.add(1, { topic });
          if (code !== undefined) refused.add(1, { topic, code });
        },
        found: (records) => {
          if (records > 0) found.add(records, { topic });
        },
      };
    },
  };
}
