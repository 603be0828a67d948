import assert from 'node:assert/strict';
import { test } from 'node:test';
import { WmbError } from '../core/errors.ts';
import { PrometheusMetrics, unitOf } from './metrics.ts';

test('counters, histograms and gauges appear in the Prometheus text with their labels', async () => {
  const metrics = new PrometheusMetrics({ room: 'beijing' });
  metrics.counter({ name: 'wmb_taken_total', help: 'Taken.', labels: ['kind'] }).add(3, { kind: 'cache' });
  metrics.histogram({ name: 'wmb_append_ms', help: 'Append.', buckets: [1, 10] }).observe(4);
  metrics.gauge({ name: 'wmb_lag_writes', help: 'Lag.', labels: ['peer'] }, (report) => report(7, { peer: 'guangzhou' }));
  const text = await metrics.text();
  assert.match(text, /wmb_taken_total\{kind="cache",room="beijing"\} 3/);
  assert.match(text, /wmb_append_ms_bucket\{le="10",room="beijing"\} 1/);
  assert.match(text, /wmb_lag_writes\{peer="guangzhou",room="beijing"\} 7/);
});

test('a gauge is read anew at each scrape, and a label that is gone disappears', async () => {
  const metrics = new PrometheusMetrics({});
  const peers = new Map([['a', 1]]);
  metrics.gauge({ name: 'wmb_lag_ms', help: 'Lag.', labels: ['peer'] }, (report) => {
    for (const [peer, lag] of peers) report(lag, { peer });
  });
  assert.match(await metrics.text(), /wmb_lag_ms\{peer="a"\} 1/);
  peers.clear();
  peers.set('b', 2);
  const text = await metrics.text();
  assert.match(text, /wmb_lag_ms\{peer="b"\} 2/);
  assert.doesNotMatch(text, /peer="a"/);
});

test('two parts that declare one metric alike share it, whatever its type', async () => {
  const metrics = new PrometheusMetrics({});
  metrics.counter({ name: 'wmb_sent_total', help: 'Sent.' }).add(1);
  metrics.counter({ name: 'wmb_sent_total', help: 'Sent.' }).add(1);
  metrics.gauge({ name: 'wmb_queue_bytes', help: 'Queue.', labels: ['peer'] }, (report) => report(1, { peer: 'a' }));
  metrics.gauge({ name: 'wmb_queue_bytes', help: 'Queue.', labels: ['peer'] }, (report) => report(2, { peer: 'b' }));
  const text = await metrics.text();
  assert.match(text, /wmb_sent_total 2/);
  assert.match(text, /wmb_queue_bytes\{peer="a"\} 1\nwmb_queue_bytes\{peer="b"\} 2/);
});

test('a metric declared twice with other labels, without prefix or without unit is a defect', () => {
  const metrics = new PrometheusMetrics({});
  metrics.counter({ name: 'wmb_sent_total', help: 'Sent.' });
  assert.throws(() => metrics.counter({ name: 'wmb_sent_total', help: 'Sent.', labels: ['peer'] }), WmbError);
  assert.throws(() => metrics.counter({ name: 'sent_total', help: 'Sent.' }), /wmb_/);
  assert.throws(() => metrics.counter({ name: 'wmb_sent', help: 'Sent.' }), /unit/);
});

test('the unit is read from the end of the name', () => {
  assert.equal(unitOf('wmb_sent_bytes_total'), 'bytes');
  assert.equal(unitOf('wmb_sent_total'), 'count');
  assert.equal(unitOf('wmb_lag_ms'), 'milliseconds');
  assert.equal(unitOf('wmb_lag'), undefined);
});
