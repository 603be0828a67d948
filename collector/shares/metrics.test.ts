import assert from 'node:assert/strict';
import { test } from 'node:test';
import { PrometheusMetrics } from '../../daemon/metrics.ts';
import { ShareMetrics } from './metrics.ts';

test('what the shares measure is summed where the labels are the same, and goes with the share', async () => {
  const metrics = new PrometheusMetrics({});
  const shares = new ShareMetrics(metrics);
  const [first, second] = [shares.open(), shares.open()];
  for (const [index, { metrics: own }] of [first, second].entries()) {
    own.gauge({ name: 'wmb_test_parked_writes', help: 'Parked.' }, (report) => report(2 + index));
    own.gauge({ name: 'wmb_test_lag_writes', help: 'Lag.', labels: ['partition'] }, (report) => report(1, { partition: index }));
    own.counter({ name: 'wmb_test_taken_total', help: 'Taken.' }).add(1);
  }
  const both = await metrics.text();
  for (const line of [/wmb_test_parked_writes 5/, /partition="0"\} 1/, /partition="1"\} 1/, /wmb_test_taken_total 2/])
    assert.match(both, line);
  second.end();
  const one = await metrics.text();
  assert.match(one, /wmb_test_parked_writes 2/);
  assert.doesNotMatch(one, /partition="1"/);
});
