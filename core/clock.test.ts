import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { HybridClock } from './clock.ts';
import { WmbError } from './errors.ts';
import type { Runtime } from './runtime.ts';
import { formatStamp, NO_STAMP, parseStamp, type Stamp, stampMs } from './stamp.ts';

const AHEAD_MS_MAX = 5_000;
const WRITER = 0x01000007;

function wallClock(startMs: number): Runtime & { ms: number } {
  return {
    ms: startMs,
    nowMs() {
      return this.ms;
    },
    monotonicMs: () => 0,
    after: () => ({ cancel() {} }),
    turn: async () => {},
    random: () => 0,
    bytes: (count) => new Uint8Array(count),
  };
}

function clockAt(runtime: Runtime, stampLast: Stamp = NO_STAMP): HybridClock {
  return new HybridClock({ runtime, writer: WRITER, stampLast, aheadMsMax: AHEAD_MS_MAX });
}

type Step =
  | { readonly type: 'next'; readonly count: number }
  | { readonly type: 'wall'; readonly byMs: number }
  | { readonly type: 'observe'; readonly byMs: number; readonly counter: number }
  | { readonly type: 'settle' }
  | { readonly type: 'restart' };

const steps: fc.Arbitrary<Step[]> = fc.array(
  fc.oneof(
    fc.record({ type: fc.constant('next' as const), count: fc.integer({ min: 1, max: 20 }) }),
    fc.record({
      type: fc.constant('wall' as const),
      byMs: fc.oneof(fc.integer({ min: -3, max: 3 }), fc.integer({ min: -20_000, max: 20_000 })),
    }),
    fc.record({
      type: fc.constant('observe' as const),
      byMs: fc.integer({ min: -8_000, max: 8_000 }),
      counter: fc.integer({ min: 0xfff0, max: 0xffff }),
    }),
    fc.record({ type: fc.constant('settle' as const) }),
    fc.record({ type: fc.constant('restart' as const) }),
  ),
  { maxLength: 60 },
);

test('stamps only ever grow, whatever the wall clock does, over restarts and observed stamps, and never run too far ahead', () => {
  fc.assert(
    fc.property(steps, (walk) => {
      const wall = wallClock(1_700_000_000_000);
      let clock = clockAt(wall);
      let floor: Stamp = NO_STAMP;
      const give = () => {
        try {
          const stamp = clock.next();
          assert.ok(stamp > floor, `${stamp} after ${floor}`);
          assert.ok(stampMs(stamp) <= wall.ms + AHEAD_MS_MAX);
          assert.equal(parseStamp(stamp).writer, WRITER);
          assert.equal(clock.last, stamp);
          floor = stamp;
        } catch (error) {
          assert.ok(error instanceof WmbError && error.code === 'CLOCK_AHEAD', String(error));
          assert.ok(stampMs(floor) >= wall.ms + AHEAD_MS_MAX, 'it refused although the clock was not ahead');
        }
      };
      for (const step of walk) {
        if (step.type === 'wall') wall.ms += step.byMs;
        if (step.type === 'restart') clock = clockAt(wall, floor);
        if (step.type === 'next') for (let i = 0; i < step.count; i += 1) give();
        if (step.type === 'settle') floor = clock.settle() > floor ? clock.last : floor;
        if (step.type === 'observe') {
          const seen = formatStamp({ ms: wall.ms + step.byMs, counter: step.counter, writer: 0x02000001 });
          const before = clock.last;
          clock.observe(seen);
          if (step.byMs > AHEAD_MS_MAX) assert.equal(clock.last, before);
          else if (seen > floor) floor = seen;
        }
      }
    }),
    { numRuns: 500 },
  );
});

test('a stamp follows the wall clock, and the counter starts anew with each millisecond', () => {
  const wall = wallClock(1_000);
  const clock = clockAt(wall);
  assert.deepEqual(parseStamp(clock.next()), { ms: 1_000, counter: 0, writer: WRITER });
  assert.deepEqual(parseStamp(clock.next()), { ms: 1_000, counter: 1, writer: WRITER });
  wall.ms = 1_001;
  assert.deepEqual(parseStamp(clock.next()), { ms: 1_001, counter: 0, writer: WRITER });
});

test('a counter that overflows moves the milliseconds on', () => {
  const wall = wallClock(1_000);
  const clock = clockAt(wall, formatStamp({ ms: 1_000, counter: 0xffff, writer: WRITER }));
  assert.deepEqual(parseStamp(clock.next()), { ms: 1_001, counter: 0, writer: WRITER });
});

test('a restart with the wall clock gone back an hour refuses with a hint, and goes on above the old stamps once the clock is right', () => {
  const wall = wallClock(10 * 3_600_000);
  const before = clockAt(wall).next();
  wall.ms -= 3_600_000;
  const clock = clockAt(wall, before);
  assert.throws(
    () => clock.next(),
    (error: unknown) =>
      error instanceof WmbError && error.code === 'CLOCK_AHEAD' && error.retry === 'later' && error.retryAfterMs === 60_000,
  );
  wall.ms = 10 * 3_600_000 - AHEAD_MS_MAX - 10;
  assert.throws(
    () => clock.next(),
    (error: unknown) => error instanceof WmbError && error.retryAfterMs === 10,
  );
  wall.ms += 10;
  assert.ok(clock.next() > before);
});

test('a stamp further ahead than allowed is not observed, a nearer one is exceeded', () => {
  const wall = wallClock(1_000_000);
  const clock = clockAt(wall);
  clock.observe(formatStamp({ ms: 1_000_000 + AHEAD_MS_MAX + 1, counter: 0, writer: 9 }));
  assert.equal(stampMs(clock.next()), 1_000_000);
  const near = formatStamp({ ms: 1_000_000 + AHEAD_MS_MAX, counter: 7, writer: 0xffffffff });
  clock.observe(near);
  assert.ok(clock.next() > near);
});

test('what the clock settled on is exceeded by every later stamp, also when the wall clock goes back', () => {
  const wall = wallClock(1_000_000);
  const clock = clockAt(wall);
  const settled = clock.settle();
  assert.equal(stampMs(settled), 1_000_000);
  wall.ms -= 2_000;
  assert.ok(clock.next() > settled);
});
