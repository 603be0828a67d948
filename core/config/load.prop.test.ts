/** Whatever stands in the files: problems with places, or a Config; never another error. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { stringify } from 'yaml';
import { WmbError } from '../errors.ts';
import { filesOf, ROOM, SECRET, TOPOLOGY } from './config.fixture.ts';
import { type Checked, checkConfig, loadConfig } from './load.ts';
import { roomFileSchema, topologySchema } from './schema.ts';
import { keysOf, shapeOf } from './shape.ts';
import type { Config } from './types.ts';

const env = { WMB_LINK_SECRET: SECRET };
const KEYS = [
  ...keysOf(shapeOf(roomFileSchema)),
  ...keysOf(shapeOf(topologySchema)),
  'id',
  'number',
  'grpc',
  'http',
  'env',
  'rooms',
  '__proto__',
  'constructor',
  'toString',
  '',
];
const LEAVES = ['master', 'beijing', 'WMB_LINK_SECRET', '10.0.0.1:1', '\u0000', '~', 'cache', 'toString', '__proto__'];

const { value: anyValue } = fc.letrec<{ value: unknown }>((tie) => ({
  value: fc.oneof(
    { depthSize: 'small' },
    fc.constantFrom<unknown>(null, true, 0, -1, 1.5, Number.NaN, Number.POSITIVE_INFINITY, ...LEAVES),
    fc.string(),
    fc.integer(),
    fc.array(tie('value'), { maxLength: 4 }),
    fc.dictionary(fc.oneof(fc.constantFrom(...KEYS), fc.string()), tie('value'), { maxKeys: 8 }),
  ),
}));

/** A cut, doubled or replaced stretch of a correct file: near enough to reach every rule. */
const mangled = (text: string) =>
  fc
    .tuple(
      fc.nat(text.length),
      fc.nat(40),
      fc.oneof(fc.constantFrom('', ' ', '\n', ': ', '- ', '[', '{', '&a ', '*a', '!x ', '"', '|', '\t', '---\n', '0', '~'), fc.string()),
    )
    .map(([start, length, filler]) => text.slice(0, start) + filler + text.slice(start + length));
const anyText = (text: string) =>
  fc.oneof(
    fc.string(),
    anyValue.map((value) => stringify(value)),
    mangled(text),
    fc.constant(text),
  );

function isSound({ value, problems }: Checked<Config>): void {
  assert.equal(value === undefined, problems.length > 0);
  for (const problem of problems) {
    assert.ok(problem.line >= 1 && problem.column >= 1 && problem.message.length > 0, JSON.stringify(problem));
    assert.ok(!`${problem.path}${problem.message}`.includes('\n'), JSON.stringify(problem));
  }
}

test('Loading gives a Config or problems with places for arbitrary documents', () => {
  fc.assert(
    fc.property(anyText(ROOM), anyText(TOPOLOGY), (room, topology) => {
      isSound(checkConfig('conf/beijing.yaml', env, filesOf({ 'conf/beijing.yaml': room, 'conf/topology.yaml': topology })));
    }),
    { numRuns: 500 },
  );
});

test('Loading throws nothing but WmbError for arbitrary documents', () => {
  fc.assert(
    fc.property(anyText(ROOM), (room) => {
      try {
        loadConfig('conf/beijing.yaml', env, filesOf({ 'conf/beijing.yaml': room }));
      } catch (error) {
        assert.ok(error instanceof WmbError && error.code.startsWith('CONFIG_'), String(error));
      }
    }),
    { numRuns: 200 },
  );
});

const HOSTILE: readonly (readonly [name: string, text: string])[] = [
  ['nothing', ''],
  ['only a comment', '# nothing\n'],
  ['a list', '- 1\n- 2\n'],
  ['a circle', '&a [*a]'],
  ['a circle in a mapping', 'listen: &a\n  reship: *a\n'],
  ['an unknown alias', 'room: *nobody\n'],
  [
    'aliases that multiply',
    `a: &a [x, x, x, x, x, x, x, x, x]\n${'bcdefgh'.replace(/./g, (key, at: number) => `${key}: &${key} [${Array(9).fill(`*${'abcdefg'[at]}`).join(', ')}]\n`)}`,
  ],
  ['deep nesting', '['.repeat(20_000)],
  ['keys that are mappings', '? { a: 1 }\n: 2\n'],
  ['a merge key', 'a: &a { room: beijing }\n<<: *a\n'],
  ['a byte order mark', `\ufeff${ROOM}x: 1\n`],
  ['bytes that are no text', '\u0000\u0001\ufffd'],
];

for (const [name, text] of HOSTILE) {
  test(`A file that holds ${name} is a problem with a place`, () => {
    const checked = checkConfig('conf/beijing.yaml', env, filesOf({ 'conf/beijing.yaml': text }));
    isSound(checked);
    assert.ok(checked.problems.length > 0);
    isSound(checkConfig('conf/beijing.yaml', env, filesOf({ 'conf/topology.yaml': text })));
  });
}
