import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { WmbError } from '../core/errors.ts';
import type { Logger } from '../core/logger.ts';
import { type GaugeReader, noMetrics } from '../core/metrics.ts';
import type { Mark } from '../core/words.ts';
import type { ReplicaStatus } from '../store/replica.ts';
import { TestRuntime } from './admit/testing.ts';
import { ReplicationWatch } from './replication.ts';

const FOLLOWING: ReplicaStatus = { state: 'following', reason: '', missing: 0, heartbeatMs: undefined };
const MARK: Mark = { log: 'writes', origin: 'beijing', partition: 0, epoch: 'e', seq: 7 };

/** Waits until what timers began is done. */
const settled = () => new Promise((resolve) => setImmediate(resolve));

function watch(role: 'master' | 'slave') {
  const runtime = new TestRuntime();
  const lines: string[] = [];
  const log = (level: string) => (_: unknown, message?: string) => void lines.push(`${level}: ${message}`);
  const logger = { info: log('info'), warn: log('warn'), error: log('error') } as unknown as Logger;
  const gauges = new Map<string, GaugeReader>();
  const room = { status: FOLLOWING as ReplicaStatus | WmbError, beats: [] as number[], told: [] as Mark[] };
  const service = new ReplicationWatch({
    role,
    replication: {
      async beat(nowMs) {
        if (room.status instanceof WmbError) throw room.status;
        room.beats.push(nowMs);
      },
      async status() {
        if (room.status instanceof WmbError) throw room.status;
        return room.status;
      },
      async close() {},
    },
    marks: async () => [MARK],
    arrived: (marks) => room.told.push(...marks),
    runtime,
    logger,
    metrics: { ...noMetrics, gauge: ({ name }, read) => void gauges.set(name, read) },
  });
  const advance = async (ms: number) => {
    runtime.advance(ms);
    await settled();
  };
  return { service, runtime, room, lines, gauges, advance };
}

describe('the watch over replication', () => {
  it('writes a heartbeat every second in the master room, and looks at no marks', async () => {
    const { service, runtime, room, advance } = watch('master');
    await service.start();
    await advance(1_000);
    assert.deepEqual(room.beats, [runtime.now - 1_000, runtime.now]);
    assert.deepEqual(room.told, []);
    await service.stop();
    await advance(5_000);
    assert.equal(room.beats.length, 2);
  });

  it('tells of the marks that have arrived ten times a second in a slave room', async () => {
    const { service, room, advance } = watch('slave');
    await service.start();
    for (let look = 0; look < 5; look += 1) await advance(100);
    assert.deepEqual(
      room.told,
      Array.from({ length: 6 }, () => MARK),
    );
    await service.stop();
  });

  it('is loud and not ready where the slave has diverged, and says what to do', async () => {
    const { service, room, lines, advance } = watch('slave');
    await service.start();
    assert.equal(service.unready(), undefined);
    room.status = { ...FOLLOWING, state: 'diverged', reason: 'it has a:1; make it anew' };
    await advance(1_000);
    assert.match(service.unready() ?? '', /has diverged: it has a:1; make it anew/);
    assert.equal(lines.at(-1), 'error: the slave database: diverged');
    assert.deepEqual(
      { ...service.status() },
      { role: 'slave', state: 'diverged', reason: 'it has a:1; make it anew', missing: 0, lagMs: undefined },
    );
    await service.stop();
  });

  it('stays ready while the server is only away, and says so once', async () => {
    const { service, room, lines, advance } = watch('slave');
    await service.start();
    room.status = new WmbError('STORE_UNAVAILABLE', 'gone');
    for (let look = 0; look < 3; look += 1) await advance(1_000);
    assert.equal(service.unready(), undefined);
    assert.equal(service.status().reason, 'STORE_UNAVAILABLE: gone');
    room.status = FOLLOWING;
    await advance(1_000);
    assert.deepEqual(lines.slice(1), ['warn: the database cannot be asked how it follows', 'info: the database answers again']);
    await service.stop();
  });

  it('is not ready while its user may not ask how it follows', async () => {
    const { service, room, advance } = watch('slave');
    await service.start();
    room.status = new WmbError('STORE_DENIED', 'you need REPLICATION CLIENT');
    await advance(1_000);
    assert.equal(service.unready(), 'the slave database cannot be asked how it follows: STORE_DENIED: you need REPLICATION CLIENT');
    room.status = FOLLOWING;
    await advance(1_000);
    assert.equal(service.unready(), undefined);
    await service.stop();
  });

  it('measures the lag by the newest heartbeat', async () => {
    const { service, runtime, room, gauges } = watch('slave');
    room.status = { ...FOLLOWING, heartbeatMs: runtime.now - 1_500 };
    await service.start();
    const values: number[] = [];
    gauges.get('wmb_replica_lag_ms')?.((value) => values.push(value));
    assert.deepEqual(values, [1_500]);
    await service.stop();
  });
});
