/** Random effects for tests: few keys, few elements, all types mixed, times that collide. */
import fc from 'fast-check';
import { formatStamp, versionOf } from '../stamp.ts';
import type { Effect } from './effects.ts';

/** All stamps, expiries and clocks of the tests lie in this range, so that expiries fall between the effects. */
export const TEST_MS = { from: 1_000, to: 1_040 };

const name = fc.constantFrom('a', 'b', 'c', '');
const word = fc.constantFrom('x', '7', '-3', '');
const integer = fc.constantFrom('1', '-1', '5', '9223372036854775807');
const double = fc.constantFrom(0.1, 0.2, 0.3, 1e17, -1e17);
const moment = fc.integer({ min: TEST_MS.from, max: TEST_MS.to + 5 });
const expiry = fc.oneof(fc.constant(0), moment);

const operation: fc.Arbitrary<Record<string, unknown> & { op: Effect['op'] }> = fc.oneof(
  { weight: 3, arbitrary: fc.record({ op: fc.constant('set' as const), value: word, expireAtMs: expiry }) },
  { weight: 2, arbitrary: fc.record({ op: fc.constant('del' as const) }) },
  { weight: 4, arbitrary: fc.record({ op: fc.constant('expire' as const), expireAtMs: expiry }) },
  { weight: 3, arbitrary: fc.record({ op: fc.constant('hset' as const), field: name, value: word }) },
  { weight: 2, arbitrary: fc.record({ op: fc.constant('hdel' as const), field: name }) },
  { weight: 2, arbitrary: fc.record({ op: fc.constant('sadd' as const), member: name }) },
  { weight: 1, arbitrary: fc.record({ op: fc.constant('srem' as const), member: name }) },
  { weight: 2, arbitrary: fc.record({ op: fc.constant('zadd' as const), member: name, score: double }) },
  { weight: 1, arbitrary: fc.record({ op: fc.constant('zrem' as const), member: name }) },
  { weight: 4, arbitrary: fc.record({ op: fc.constant('incr' as const), delta: integer }) },
  { weight: 3, arbitrary: fc.record({ op: fc.constant('hincr' as const), field: name, delta: integer }) },
  { weight: 3, arbitrary: fc.record({ op: fc.constant('zincr' as const), member: name, delta: double }) },
  {
    weight: 4,
    arbitrary: fc.record({
      op: fc.constant('timeline' as const),
      member: fc.constantFrom('a', 'b', 'c', 'd', 'e', 'f'),
      cap: fc.integer({ min: 1, max: 4 }),
    }),
  },
);

/** A family of operations, so that not every key is torn by type clashes all the time. */
const families: readonly (readonly Effect['op'][])[] = [
  ['set', 'del', 'expire', 'incr'],
  ['hset', 'hdel', 'hincr', 'expire', 'del'],
  ['zadd', 'zrem', 'zincr', 'expire', 'del'],
  ['timeline', 'expire', 'del'],
  ['timeline'],
  ['hset', 'hdel', 'incr', 'expire'],
  ['sadd', 'srem', 'set', 'del', 'expire'],
];

/** Effects of distinct versions in random order; writers 1 to 3. An expiry at or before its own time has become `del`, as the compiler does. */
export function randomEffects(lengthMax: number): fc.Arbitrary<Effect[]> {
  const family = fc.oneof({ weight: 2, arbitrary: fc.constant(undefined) }, { weight: 5, arbitrary: fc.constantFrom(...families) });
  return family.chain((ops) => {
    const one = fc.record({
      key: fc.constantFrom('k', 'l'),
      ms: fc.integer({ min: TEST_MS.from, max: TEST_MS.to }),
      counter: fc.integer({ min: 0, max: 1 }),
      writer: fc.integer({ min: 1, max: 3 }),
      ordinal: fc.integer({ min: 0, max: 1 }),
      operation: ops === undefined ? operation : operation.filter(({ op }) => ops.includes(op)),
    });
    return fc
      .uniqueArray(one, { minLength: 1, maxLength: lengthMax, selector: (o) => `${o.ms}/${o.counter}/${o.writer}/${o.ordinal}` })
      .map((all) =>
        all.map(({ key, ms, counter, writer, ordinal, operation: fields }) => {
          const version = versionOf(formatStamp({ ms, counter, writer }), ordinal);
          const at = fields['expireAtMs'];
          if (typeof at === 'number' && at !== 0 && at <= ms) return { op: 'del', key, version };
          return { ...fields, key, version } as Effect;
        }),
      );
  });
}
