import assert from 'node:assert/strict';
import { test } from 'node:test';
import { HybridClock } from '../../core/clock.ts';
import { WmbError } from '../../core/errors.ts';
import { VirtualTime } from '../../core/flow/virtual-time.testing.ts';
import { silentLogger } from '../../core/logger.ts';
import { formatStamp, NO_STAMP, type Stamp, stampMs, writerId } from '../../core/stamp.ts';
import { MemoryLog, MemoryLogDisk } from '../../log/memory/memory.ts';
import { PromiseCeiling } from './promise-ceiling.ts';

const AHEAD_MS_MAX = 5_000;
const PULSE_MS = 1_000;

/** The wall clock goes with the virtual time, and jumps by itself. */
class JumpyTime extends VirtualTime {
  offsetMs = 0;

  override nowMs(): number {
    return super.nowMs() + this.offsetMs;
  }
}

/** Room beijing on its disk: `start` as often as you like, one life after the other. */
function rig() {
  const time = new JumpyTime();
  const disk = new MemoryLogDisk();
  const start = async () => {
    const log = new MemoryLog({ disk, log: 'writes', origin: 'beijing', partitions: 1, runtime: time });
    await log.open();
    const { lease, stampLast } = await log.leaseWriter('b');
    const common = { stampLast, aheadMsMax: AHEAD_MS_MAX, runtime: time };
    const clock = new HybridClock({ ...common, writer: writerId(1, lease) });
    const ceiling = new PromiseCeiling({ ...common, log, logger: silentLogger });
    const pulse = async () => {
      await time.advance(PULSE_MS);
      return ceiling.cap(clock.settle());
    };
    return { log, clock, pulse };
  };
  return { time, start };
}

test('what was promised holds over a restart with the wall clock 2 s back', async () => {
  const { time, start } = rig();
  const before = await start();
  let promised: Stamp = NO_STAMP;
  for (let i = 0; i < 5; i += 1) promised = await before.pulse();
  assert.equal(stampMs(promised), time.nowMs(), 'an idle room’s promises follow its wall clock');
  time.offsetMs -= 2_000;
  assert.ok((await start()).clock.next() > promised);
});

test('what was promised of a peer’s clock that is 4 s ahead holds over a quick restart', async () => {
  const { time, start } = rig();
  const before = await start();
  let promised: Stamp = NO_STAMP;
  for (let i = 0; i < 5; i += 1) {
    before.clock.observe(formatStamp({ ms: time.nowMs() + 4_000, counter: 0, writer: writerId(2, 1) }));
    promised = await before.pulse();
  }
  assert.ok(stampMs(promised) >= time.nowMs(), 'it does not fall behind for the peer’s sake');
  await time.advance(100);
  assert.ok((await start()).clock.next() > promised);
});

test('restarts one after the other begin no further ahead of the wall clock than one', async () => {
  const { time, start } = rig();
  for (let i = 0; i < 20; i += 1) {
    const { clock, pulse } = await start();
    assert.ok(stampMs(clock.next()) <= time.nowMs() + AHEAD_MS_MAX / 2);
    await pulse();
    clock.observe(formatStamp({ ms: time.nowMs() + AHEAD_MS_MAX, counter: 0, writer: writerId(2, 1) }));
    await pulse();
  }
});

test('a clock whose peers allow it little to be ahead reserves less than that', async () => {
  const time = new VirtualTime();
  const promises: Stamp[] = [];
  const log = { promise: async (stamp: Stamp) => void promises.push(stamp) };
  new PromiseCeiling({ log, stampLast: NO_STAMP, aheadMsMax: 100, runtime: time, logger: silentLogger }).cap(NO_STAMP);
  assert.deepEqual(promises.map(stampMs), [time.nowMs() + 50]);
});

test('while the log cannot be written promises stand still, told once, and go on with it', async () => {
  const time = new VirtualTime();
  const settled = () => formatStamp({ ms: time.nowMs(), counter: 0, writer: 2 });
  const warned: string[] = [];
  let error: WmbError | undefined = new WmbError('LOG_FULL', 'no space');
  const log = {
    promise: async () => {
      if (error !== undefined) throw error;
    },
  };
  const logger = { ...silentLogger, warn: (_fields: unknown, message: string) => warned.push(message) };
  const stampLast = settled();
  const ceiling = new PromiseCeiling({ log, stampLast, aheadMsMax: AHEAD_MS_MAX, runtime: time, logger });
  for (let i = 0; i < 3; i += 1) {
    await time.advance(PULSE_MS);
    assert.equal(ceiling.cap(settled()), stampLast);
  }
  assert.equal(warned.length, 1);
  await time.advance(PULSE_MS);
  error = undefined;
  ceiling.cap(settled());
  await time.advance(PULSE_MS);
  assert.equal(ceiling.cap(settled()), settled());
});
