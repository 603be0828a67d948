import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { type ErrorCode, WmbError } from '../errors.ts';
import { formatStamp, versionOf } from '../stamp.ts';
import { EXPIRY_MS_MAX, KEY_BYTES_MAX } from './command-args.ts';
import { compileCommands, EFFECTS_PER_WRITE_MAX, parseCachePayload, validateCommands } from './commands.ts';
import { REFUSED_COMMANDS } from './refused.ts';

const MS = 1_700_000_000_000;
const STAMP = formatStamp({ ms: MS, counter: 3, writer: 0x01000001 });
const v = (ordinal: number) => versionOf(STAMP, ordinal);

type Line = readonly (string | number)[];
const compile = (...commands: Line[]) => compileCommands(commands, STAMP);

function refusal(code: ErrorCode, message: RegExp) {
  return (error: unknown) => error instanceof WmbError && error.code === code && message.test(error.message);
}

describe('compiling', () => {
  test('every command becomes its effects, numbered in order', () => {
    assert.deepEqual(compile(['SET', 'k', 'v'], ['MSET', 'a', '1', 'b', 2], ['DEL', 'a', 'b'], ['UNLINK', 'c']), [
      { op: 'set', key: 'k', version: v(0), value: 'v', expireAtMs: 0 },
      { op: 'set', key: 'a', version: v(1), value: '1', expireAtMs: 0 },
      { op: 'set', key: 'b', version: v(2), value: '2', expireAtMs: 0 },
      { op: 'del', key: 'a', version: v(3) },
      { op: 'del', key: 'b', version: v(4) },
      { op: 'del', key: 'c', version: v(5) },
    ]);
    assert.deepEqual(
      compile(['HSET', 'h', 'f', 'v', 'g', 'w'], ['HMSET', 'h', 'f', 'x'], ['HDEL', 'h', 'f', 'g'], ['HINCRBY', 'h', 'f', '-7']),
      [
        { op: 'hset', key: 'h', version: v(0), field: 'f', value: 'v' },
        { op: 'hset', key: 'h', version: v(1), field: 'g', value: 'w' },
        { op: 'hset', key: 'h', version: v(2), field: 'f', value: 'x' },
        { op: 'hdel', key: 'h', version: v(3), field: 'f' },
        { op: 'hdel', key: 'h', version: v(4), field: 'g' },
        { op: 'hincr', key: 'h', version: v(5), field: 'f', delta: '-7' },
      ],
    );
    assert.deepEqual(
      compile(
        ['SADD', 's', 'a', 'b'],
        ['SREM', 's', 'a'],
        ['ZADD', 'z', '1.5', 'a', '-inf', 'b'],
        ['ZREM', 'z', 'a'],
        ['ZINCRBY', 'z', '-1e3', 'a'],
      ),
      [
        { op: 'sadd', key: 's', version: v(0), member: 'a' },
        { op: 'sadd', key: 's', version: v(1), member: 'b' },
        { op: 'srem', key: 's', version: v(2), member: 'a' },
        { op: 'zadd', key: 'z', version: v(3), member: 'a', score: 1.5 },
        { op: 'zadd', key: 'z', version: v(4), member: 'b', score: -Infinity },
        { op: 'zrem', key: 'z', version: v(5), member: 'a' },
        { op: 'zincr', key: 'z', version: v(6), member: 'a', delta: -1_000 },
      ],
    );
    assert.deepEqual(compile(['INCR', 'n'], ['DECR', 'n'], ['INCRBY', 'n', 5], ['DECRBY', 'n', '-5'], ['WMB.TIMELINE', 't', 10, 'm']), [
      { op: 'incr', key: 'n', version: v(0), delta: '1' },
      { op: 'incr', key: 'n', version: v(1), delta: '-1' },
      { op: 'incr', key: 'n', version: v(2), delta: '5' },
      { op: 'incr', key: 'n', version: v(3), delta: '5' },
      { op: 'timeline', key: 't', version: v(4), member: 'm', cap: 10 },
    ]);
  });

  test('names of commands and options may be in any case', () => {
    assert.deepEqual(compile(['set', 'k', 'v', 'px', '10']), compile(['SET', 'k', 'v', 'PX', 10]));
    assert.deepEqual(compile(['wmb.Timeline', 't', 1, 'm']), compile(['WMB.TIMELINE', 't', 1, 'm']));
  });

  test('relative and absolute expiries become absolute by the stamp', () => {
    const expiries = (...commands: Line[]) =>
      compile(...commands).map((effect) => ('expireAtMs' in effect ? effect.expireAtMs : effect.op));
    assert.deepEqual(
      expiries(['SET', 'k', 'v', 'EX', 10], ['SET', 'k', 'v', 'PX', 10], ['SET', 'k', 'v', 'EXAT', 2e9], ['SET', 'k', 'v', 'PXAT', 2e12]),
      [MS + 10_000, MS + 10, 2e12, 2e12],
    );
    assert.deepEqual(
      expiries(['EXPIRE', 'k', 10], ['PEXPIRE', 'k', 10], ['EXPIREAT', 'k', 2e9], ['PEXPIREAT', 'k', 2e12], ['PERSIST', 'k']),
      [MS + 10_000, MS + 10, 2e12, 2e12, 0],
    );
  });

  test('an expiry that is not after the stamp is a delete', () => {
    const ops = (...commands: Line[]) => compile(...commands).map(({ op }) => op);
    assert.deepEqual(
      ops(['EXPIRE', 'k', 0], ['PEXPIRE', 'k', -1], ['PEXPIREAT', 'k', MS], ['EXPIREAT', 'k', 1], ['SET', 'k', 'v', 'PXAT', MS]),
      ['del', 'del', 'del', 'del', 'del'],
    );
    assert.deepEqual(ops(['PEXPIREAT', 'k', MS + 1], ['SET', 'k', 'v', 'PXAT', MS + 1]), ['expire', 'set']);
  });

  test('whether commands are valid does not depend on the stamp', () => {
    const number = fc.oneof(
      fc.constantFrom('0', '-1', '1', String(EXPIRY_MS_MAX), String(EXPIRY_MS_MAX + 1), 'x'),
      fc.integer().map(String),
    );
    const command = fc
      .tuple(fc.constantFrom('EXPIRE', 'PEXPIREAT', 'SETEX', 'SET'), number)
      .map(([name, n]) => (name === 'SET' ? ['SET', 'k', 'v', 'PXAT', n] : [name, 'k', n]));
    const fails = (work: () => unknown) => {
      try {
        work();
        return '';
      } catch (error) {
        return (error as Error).message;
      }
    };
    fc.assert(
      fc.property(command, fc.integer({ min: 1, max: 2 ** 45 }), (line, ms) => {
        assert.equal(
          fails(() => compileCommands([line], formatStamp({ ms, counter: 0, writer: 1 }))),
          fails(() => validateCommands([line])),
        );
      }),
    );
  });

  test('scores take what Redis takes and minus zero is zero', () => {
    const scores = compile(['ZADD', 'z', '+inf', 'a', 'Infinity', 'b', '1e3', 'c', '.5', 'd', '-0', 'e']).map((effect) =>
      effect.op === 'zadd' ? effect.score : undefined,
    );
    assert.deepEqual(scores, [Infinity, Infinity, 1_000, 0.5, 0]);
  });
});

const UNSUPPORTED: readonly (readonly [Line, RegExp])[] = [
  [['APPEND', 'k', 'v'], /commands\[1\]: APPEND .*SET the whole value/],
  [['LPUSH', 'k', 'v'], /WMB\.TIMELINE/],
  [['SPOP', 'k'], /SREM/],
  [['EVAL', 'return 1', 0], /processor/],
  [['SETNX', 'k', 'v'], /greater stamp wins/],
  [['INCRBYFLOAT', 'k', 1], /ZINCRBY/],
  [['RENAME', 'a', 'b'], /DEL the old/],
  [['GET', 'k'], /changes nothing/],
  [['FROBNICATE'], /no such cache command/],
  [['constructor'], /no such cache command/],
  [['SET', 'k', 'v', 'NX'], /SET with NX cannot converge/],
  [['SET', 'k', 'v', 'EX', 10, 'keepttl'], /SET with KEEPTTL/],
  [['EXPIRE', 'k', 10, 'GT'], /EXPIRE with GT/],
  [['ZADD', 'k', 'nx', 1, 'm'], /ZADD with NX/],
  [['ZADD', 'k', 'CH', 1, 'm'], /ZADD with CH/],
];

const INVALID: readonly (readonly [Line, RegExp])[] = [
  [[], /commands\[1\] has no name/],
  [['SET', 'k'], /write SET key value/],
  [['SET', '', 'v'], /argument 1 of SET is an empty key/],
  [['SET', 'k', 'v', 'EX'], /write SET/],
  [['SET', 'k', 'v', 'EX', 0], /positive expiry/],
  [['SET', 'k', 'v', 'EX', 1, 'PX', 1], /write SET/],
  [['SET', 'k', 'v', 'PXAT', EXPIRY_MS_MAX + 1], /too far away/],
  [['SET', 'k', '\ud800'], /surrogate/],
  [['SET', 'k', Number.NaN], /finite/],
  [['MSET', 'k', 'v', 'w'], /write MSET/],
  [['DEL'], /write DEL/],
  [['HSET', 'h', 'f'], /write HSET/],
  [['HSET', 'h', 'f', 'v', 'g'], /write HSET/],
  [['SADD', 's'], /write SADD/],
  [['EXPIRE', 'k', '1.5'], /not a 64-bit integer/],
  [['INCRBY', 'n', '9223372036854775808'], /not a 64-bit integer/],
  [['INCRBY', 'n', '007'], /not a 64-bit integer/],
  [['DECRBY', 'n', '-9223372036854775808'], /no 64-bit opposite/],
  [['ZADD', 'z', 'nan', 'm'], /not a finite number/],
  [['ZINCRBY', 'z', 'inf', 'm'], /not a finite number/],
  [['WMB.TIMELINE', 't', 0, 'm'], /cap from 1/],
  [['WMB.TIMELINE', 't', 1], /write WMB\.TIMELINE/],
];

describe('refusing', () => {
  for (const [line, message] of UNSUPPORTED) {
    test(`${line.join(' ')} cannot converge, and the message says what to use`, () => {
      assert.throws(() => compile(['SET', 'k', 'v'], line), refusal('COMMAND_UNSUPPORTED', message));
    });
  }
  for (const [line, message] of INVALID) {
    test(`${JSON.stringify(line)} is malformed, and the message says where`, () => {
      assert.throws(() => compile(['SET', 'k', 'v'], line), refusal('WRITE_INVALID', message));
    });
  }
  test('no refused command is also taken', () => {
    for (const name of Object.keys(REFUSED_COMMANDS))
      assert.throws(() => compile([name, 'k', 'v', 'w']), refusal('COMMAND_UNSUPPORTED', /is not taken/));
  });
  test('a write request may have 65,536 effects and not one more', () => {
    const members = Array.from({ length: EFFECTS_PER_WRITE_MAX }, (_, index) => String(index));
    assert.equal(compile(['SADD', 's', ...members]).at(-1)?.version, `${STAMP}ffff`);
    assert.throws(() => compile(['SADD', 's', ...members, 'x']), refusal('WRITE_TOO_LARGE', /65536 effects/));
  });
  test('a key is measured in bytes', () => {
    compile(['SET', 'k'.repeat(KEY_BYTES_MAX), 'v']);
    assert.throws(() => compile(['SET', 'é'.repeat(KEY_BYTES_MAX / 2 + 1), 'v']), refusal('WRITE_TOO_LARGE', /over 4096 bytes/));
  });
});

describe('the payload of the kind cache', () => {
  const parse = (text: string) => parseCachePayload(Buffer.from(text));
  test('is an array of commands, or one command', () => {
    assert.deepEqual(parse('[["SET","k","v"],["INCRBY","n",-5]]'), [
      ['SET', 'k', 'v'],
      ['INCRBY', 'n', '-5'],
    ]);
    assert.deepEqual(parse('["ZADD","z",1.5,"m"]'), [['ZADD', 'z', '1.5', 'm']]);
  });
  test('is refused where it is anything else', () => {
    for (const text of [
      '',
      '{',
      '{}',
      '"SET"',
      '[]',
      'null',
      '[["SET","k","v"],"DEL"]',
      '[["SET","k",null]]',
      '[["SET","k",["v"]]]',
      '[["INCRBY","n",9007199254740993]]',
      '[["SET","k",1e400]]',
    ]) {
      assert.throws(() => parse(text), refusal('WRITE_INVALID', /payload|commands\[/), text);
    }
    assert.throws(() => parseCachePayload(Uint8Array.of(0x22, 0xff, 0x22)), refusal('WRITE_INVALID', /UTF-8/));
  });
});
