/** What the checker measures. */
import type { Metrics } from '../core/metrics.ts';
import type { Drift } from './drift.ts';

export interface PeerGauges {
  readonly room: string;
  readonly suspects: number;
  /** Since the last round that verified the two rooms; undefined: there was none. */
  readonly unverifiedMs: number | undefined;
}

export interface GaugeSources {
  readonly open: () => Iterable<Drift>;
  readonly peers: () => readonly PeerGauges[];
  /** By origin: age of what came last through its slowest lane. */
  readonly canaryAges: () => ReadonlyMap<string, number>;
  readonly keys: () => number;
  readonly built: () => number;
}

export function declareGauges(metrics: Metrics, sources: GaugeSources): void {
  metrics.gauge(
    { name: 'wmb_checker_open_drifts_count', help: 'Drifts and alarms that are open.', labels: ['level', 'kind'] },
    (report) => {
      const counts = new Map<string, { readonly level: string; readonly kind: string; count: number }>();
      for (const { level, kind } of sources.open()) {
        const entry = counts.get(`${level} ${kind}`) ?? { level, kind, count: 0 };
        entry.count += 1;
        counts.set(`${level} ${kind}`, entry);
      }
      for (const { level, kind, count } of counts.values()) report(count, { level, kind });
    },
  );
  metrics.gauge(
    {
      name: 'wmb_checker_suspects_count',
      help: 'Differences that are younger than the grace period, or not settled yet.',
      labels: ['peer'],
    },
    (report) => {
      for (const { room, suspects } of sources.peers()) report(suspects, { peer: room });
    },
  );
  metrics.gauge(
    { name: 'wmb_checker_unverified_ms', help: 'Since the last round that verified this room with the peer.', labels: ['peer'] },
    (report) => {
      for (const { room, unverifiedMs } of sources.peers()) if (unverifiedMs !== undefined) report(unverifiedMs, { peer: room });
    },
  );
  metrics.gauge(
    { name: 'wmb_checker_canary_age_ms', help: 'Age of what came last from an origin, in its slowest lane.', labels: ['origin'] },
    (report) => {
      for (const [origin, ageMs] of sources.canaryAges()) report(ageMs, { origin });
    },
  );
  metrics.gauge({ name: 'wmb_checker_keys_count', help: 'Visible keys of this room, as far as the digest tree is built.' }, (report) =>
    report(sources.keys()),
  );
  metrics.gauge({ name: 'wmb_checker_tree_built_ratio', help: 'Share of the digest tree that is built.' }, (report) =>
    report(sources.built()),
  );
}

export interface DatabaseMeters {
  /** Empty: it came to its end. */
  databaseRound(code: string): void;
}

export interface RoundMeters {
  round(peer: string, round: { readonly bytes: number; readonly ms: number }): void;
  failed(peer: string, code: string): void;
  found(drift: Drift): void;
  closed(drift: Pick<Drift, 'kind' | 'status'>): void;
  repairStep(result: string): void;
}

const ROUND_MS_BUCKETS = [5, 10, 25, 50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 30_000];

export function roundMeters(metrics: Metrics): RoundMeters {
  const rounds = metrics.counter({
    name: 'wmb_checker_rounds_total',
    help: 'Rounds with a peer that came to their end.',
    labels: ['peer'],
  });
  const bytes = metrics.counter({
    name: 'wmb_checker_round_bytes_total',
    help: 'Bytes of rounds with a peer, both directions.',
    labels: ['peer'],
  });
  const ms = metrics.histogram({
    name: 'wmb_checker_round_ms',
    help: 'How long a round with a peer took.',
    labels: ['peer'],
    buckets: ROUND_MS_BUCKETS,
  });
  const failures = metrics.counter({
    name: 'wmb_checker_failed_rounds_total',
    help: 'Rounds that failed, by error code.',
    labels: ['peer', 'code'],
  });
  const found = metrics.counter({
    name: 'wmb_checker_found_total',
    help: 'Drifts and alarms that were found.',
    labels: ['level', 'kind', 'cause'],
  });
  const closed = metrics.counter({
    name: 'wmb_checker_closed_total',
    help: 'Drifts and alarms that closed: repaired, or healed by themselves.',
    labels: ['kind', 'status'],
  });
  const steps = metrics.counter({ name: 'wmb_checker_repairs_total', help: 'Steps of repairs, by result.', labels: ['result'] });
  return {
    round(peer, round) {
      rounds.add(1, { peer });
      bytes.add(round.bytes, { peer });
      ms.observe(round.ms, { peer });
    },
    failed: (peer, code) => failures.add(1, { peer, code }),
    found: ({ level, kind, cause }) => found.add(1, { level, kind, cause }),
    closed: ({ kind, status }) => closed.add(1, { kind, status }),
    repairStep: (result) => steps.add(1, { result }),
  };
}

export function databaseMeters(metrics: Metrics, unverifiedMs: () => number | undefined): DatabaseMeters {
  metrics.gauge(
    { name: 'wmb_checker_database_unverified_ms', help: 'Since the end of the last pass over all tables of the slave’s database.' },
    (report) => {
      const ms = unverifiedMs();
      if (ms !== undefined) report(ms);
    },
  );
  const rounds = metrics.counter({
    name: 'wmb_checker_database_rounds_total',
    help: 'Rounds of comparing the slave’s database with the master’s, by error code; empty: it came to its end.',
    labels: ['code'],
  });
  return { databaseRound: (code) => rounds.add(1, { code }) };
}
