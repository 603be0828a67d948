import assert from 'node:assert/strict';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import type { Config, ProcessorConfig } from '../../core/config/types.ts';
import type { WmbError } from '../../core/errors.ts';
import { systemRuntime } from '../../core/runtime.ts';
import { formatStamp } from '../../core/stamp.ts';
import type { StampedWrite } from '../../core/words.ts';
import { Processors } from './processors.ts';
import { checkOutput } from './shape.ts';

const STAMP = formatStamp({ ms: 1_700_000_000_000, counter: 0, writer: 1 });

function write(kind: string, payload: unknown): StampedWrite {
  const bytes = Buffer.from(typeof payload === 'string' ? payload : JSON.stringify(payload));
  return { requestId: 'r', kind, key: 'k', payload: bytes, trace: '', stamp: STAMP };
}

async function processorsOf(processors: Readonly<Record<string, ProcessorConfig>>): Promise<Processors> {
  const topology = { mode: 'independent', rooms: [{ id: 'beijing', database: 'master' }] };
  const made = new Processors({ config: { topology, room: { id: 'beijing', processors } } as unknown as Config, runtime: systemRuntime });
  await made.open();
  return made;
}

function moduleOf(name: string): ProcessorConfig {
  return { type: 'module', file: fileURLToPath(new URL(`./fixtures/${name}`, import.meta.url)), timeoutMs: 30_000 };
}

test('the built-in kind cache compiles the payload without a promise', async () => {
  const processed = (await processorsOf({})).run(
    write('cache', [
      ['SET', 'a', '1'],
      ['INCR', 'n'],
    ]),
  );
  assert.ok(!(processed instanceof Promise));
  assert.deepEqual(
    processed.effects.map((effect) => effect.op),
    ['set', 'incr'],
  );
  assert.deepEqual(processed.commands, [
    ['SET', 'a', '1'],
    ['INCR', 'n'],
  ]);
});

test('a canary makes nothing, and has no say in what its payload is', async () => {
  const processed = (await processorsOf({})).run(write('wmb.canary', 'anything'));
  assert.deepEqual(processed, { commands: [], effects: [], statements: [] });
});

test('a payload that is no command fails that write request', async () => {
  const processors = await processorsOf({});
  for (const payload of ['{', [['LPUSH', 'a', 'b']], [[]]]) {
    assert.throws(() => processors.run(write('cache', payload)), { code: 'PROCESSOR_FAILED' });
  }
  assert.throws(() => processors.run(write('nobody', [])), { code: 'PROCESSOR_FAILED', message: /no processor for the kind “nobody”/ });
});

test('a module in TypeScript or in JavaScript is loaded and called', async () => {
  const processors = await processorsOf({ message: moduleOf('good.ts'), slow: moduleOf('good.ts') });
  const message = processors.run(write('message', {}));
  assert.ok(!(message instanceof Promise));
  assert.deepEqual(message.commands, [
    ['HSET', 'k', 'at', '1700000000000'],
    ['INCRBY', 'total', '2'],
  ]);
  const slow = processors.run(write('slow', { a: 1 }));
  assert.ok(slow instanceof Promise);
  assert.deepEqual((await slow).commands, [['SET', 'k', '{"a":1}']]);
  await assert.rejects(async () => processors.run(write('slow', '{')), { code: 'PROCESSOR_FAILED', message: /SyntaxError/ });
  const plain = await processorsOf({ message: moduleOf('plain.js') });
  assert.deepEqual((await plain.run(write('message', {}))).effects, []);
});

const BROKEN: readonly (readonly [string, RegExp])[] = [
  ['missing.ts', /missing\.ts cannot be loaded/],
  ['throws.ts', /throws\.ts cannot be loaded: no database driver/],
  ['empty.ts', /empty\.ts does not export “processor”/],
  ['plain.js', /plain\.js has no function for the kind “other”; it has: message/],
];
for (const [name, message] of BROKEN) {
  test(`the module ${name} is refused at the start, by name and with what is missing`, async () => {
    await assert.rejects(processorsOf({ other: moduleOf(name) }), (error: WmbError) => {
      assert.equal(error.code, 'PROCESSOR_MODULE');
      assert.match(error.message, message);
      return true;
    });
  });
}

const NONSENSE: readonly (readonly [unknown, RegExp])[] = [
  [undefined, /it returned undefined/],
  [[], /it returned an empty array/],
  [{ Cache: [] }, /unknown field “Cache”/],
  [{ cache: 'SET a 1' }, /cache is the string “SET a 1”, not an array/],
  [{ cache: ['SET'] }, /cache\[0\] is the string “SET”, not a command/],
  [{ cache: [['SET', 'a', true]] }, /cache\[0\]\[2\] is true/],
  [{ cache: [['SET', 'a', Number.NaN]] }, /cache\[0\]\[2\] is NaN/],
  [{ database: [{ op: 'insert' }] }, /database\[0\]\.op is the string “insert”/],
  [{ database: [{ op: 'upsert', table: 'a; DROP', key: { a: 1 } }] }, /database\[0\]\.table/],
  [{ database: [{ op: 'upsert', table: 'a', key: {} }] }, /database\[0\]\.key names no column/],
  [{ database: [{ op: 'upsert', table: 'a', key: { id: 1 }, values: { on: true } }] }, /database\[0\]\.values\.on is true/],
  [{ database: [{ op: 'sql', text: ' ' }] }, /database\[0\]\.text/],
  [{ database: [{ op: 'sql', text: 'x', params: [{}] }] }, /database\[0\]\.params\[0\] is of type object/],
];
test('a result that is none is refused with the place and the fault', () => {
  for (const [output, message] of NONSENSE) assert.throws(() => checkOutput(output), { code: 'PROCESSOR_FAILED', message });
});
