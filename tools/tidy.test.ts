/** The house rules, checked over the whole repository, and each rule shown to find what it is for. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { checkFile, functionSizes } from './tidy/file-rules.ts';
import { checkCycles, checkImports, readImportTable } from './tidy/import-rules.ts';
import { isTestCode, type Problem, parseSource, readSources } from './tidy/source.ts';

const ROOT = fileURLToPath(new URL('..', import.meta.url));
const FUNCTION_LINES_MEDIAN_MAX = 12;

const sources = readSources(ROOT);
const table = readImportTable(readFileSync(`${ROOT}ARCHITECTURE.md`, 'utf8'));

function show(problems: readonly Problem[]): string[] {
  return problems.map(({ path, line, rule, text }) => `${path}:${line} ${rule}: ${text}`);
}

test('every file keeps the limits on size and syntax', () => {
  assert.ok(sources.length > 50);
  assert.deepEqual(show(sources.flatMap(checkFile)), []);
});

test('every file imports only what the table in ARCHITECTURE.md lets it', () => {
  assert.ok(table.size > 10);
  assert.deepEqual(show(checkImports(sources, table)), []);
});

test('no files import each other in a circle', () => {
  assert.deepEqual(show(checkCycles(sources)), []);
});

test('half of all functions are shorter than 12 lines', () => {
  const sizes = sources.filter(({ path }) => !isTestCode(path)).flatMap((source) => functionSizes(source).map(({ lines }) => lines));
  const median = sizes.sort((a, b) => a - b)[Math.floor(sizes.length / 2)] ?? 0;
  assert.ok(median > 0 && median < FUNCTION_LINES_MEDIAN_MAX, `the median is ${median}`);
});

const FILE_RULES: readonly (readonly [rule: string, path: string, bad: string, good: string])[] = [
  ['file-size', 'core/x.ts', 'f();\n'.repeat(400), 'f();\n'.repeat(399)],
  ['function-size', 'core/x.ts', `function f() {${'\n'.repeat(60)}}`, `function f() {${'\n'.repeat(59)}}`],
  [
    'function-size',
    'core/x.test.ts',
    `test('x', () => {${'\n'.repeat(60)}});`,
    `describe('x', () => { test('x', () => {}); ${'\n'.repeat(60)}});`,
  ],
  ['no-any', 'core/x.ts', 'let a: any;', 'let any: unknown;'],
  ['no-default-export', 'core/x.ts', 'export default 1;', 'export const a = 1;'],
  ['no-barrel', 'core/x.ts', "export * from './y.ts';", 'const a = 1; export { a };'],
  ['no-barrel', 'core/x.ts', "export { a } from './y.ts';", "import { a } from './y.ts'; a();"],
  ['hidden-input', 'core/x.ts', 'Date.now();', 'runtime.now();'],
  ['hidden-input', 'core/x.ts', 'new Date();', 'new Date(5);'],
  ['hidden-input', 'core/x.ts', 'const f = Math.random;', 'Math.max(1, 2);'],
  ['hidden-input', 'core/x.ts', 'setTimeout(f, 1);', 'runtime.setTimeout(f, 1);'],
  ['hidden-input', 'core/x.ts', "import { setTimeout } from 'node:timers/promises';", "import { once } from 'node:events';"],
  ['hidden-input', 'core/x.ts', 'performance.now();', 'runtime.performance();'],
  ['hidden-input', 'core/x.ts', 'const { A } = process.env;', 'process.exit(1);'],
];

for (const [rule, path, bad, good] of FILE_RULES) {
  test(`${rule} finds ${bad.trim().split('\n')[0]} in ${path}`, () => {
    const rulesOf = (text: string) => checkFile(parseSource(path, text)).map((problem) => problem.rule);
    assert.deepEqual(rulesOf(bad), [rule]);
    assert.deepEqual(rulesOf(good), []);
  });
}

test('time, chance and environment may be touched where they come in, and in tests', () => {
  const problems = (path: string, text: string) => checkFile(parseSource(path, text)).length;
  assert.equal(problems('core/runtime.ts', 'Date.now(); Math.random(); setTimeout(f, 1); performance.now();'), 0);
  assert.equal(problems('core/config/load.ts', 'process.env;'), 0);
  assert.equal(problems('core/runtime.ts', 'process.env;'), 1);
  assert.equal(problems('core/x.test.ts', 'Date.now(); process.env;'), 0);
});

const IMPORT_RULES: readonly (readonly [path: string, target: string, problem: string | undefined])[] = [
  ['core/x.ts', '../log/log.ts', 'core may not import log/log.ts'],
  ['core/x.ts', './y.ts', undefined],
  ['log/log.ts', '../link/frame.ts', undefined],
  ['log/log.ts', '../link/link.ts', 'log may not import link/link.ts'],
  ['reship/x.ts', '../collector/lane.ts', 'reship may not import collector/lane.ts'],
  ['collector/x.ts', '../reship/main.ts', 'collector may not import reship/main.ts'],
  ['consistency-checker/x.ts', '../collector/lane.ts', 'consistency-checker may not import collector/lane.ts'],
  ['reship/x.ts', '../store/cache.ts', 'reship may not import store/cache.ts'],
  ['cli/x.ts', '../reship/main.ts', undefined],
  ['cli/x.ts', '../reship/wiring.ts', 'cli may not import reship/wiring.ts'],
  ['examples/x.ts', '../collector/process/processor.ts', undefined],
  ['examples/x.ts', '../core/words.ts', 'examples may not import core/words.ts'],
  ['collector/x.ts', '../store/embedded/cache.ts', 'store/embedded/cache.ts is an adapter; only wiring.ts may import it'],
  ['collector/wiring.ts', '../store/embedded/cache.ts', undefined],
  ['collector/x.test.ts', '../store/embedded/cache.ts', undefined],
  ['collector/x.ts', './testing.ts', 'collector/testing.ts is test code'],
  ['nowhere/x.ts', './y.ts', 'no row of the import table in ARCHITECTURE.md covers nowhere/x.ts'],
  ['collector/admit/x.ts', 'node:sqlite', 'node:sqlite belongs in its adapter'],
  ['store/embedded/x.ts', 'node:sqlite', undefined],
  ['reship/ship/x.ts', '@grpc/grpc-js', '@grpc/grpc-js belongs in its adapter'],
  ['link/x.ts', 'kafkajs', 'kafkajs belongs in its adapter'],
];

for (const [path, target, problem] of IMPORT_RULES) {
  test(`${path} ${problem === undefined ? 'may' : 'may not'} import ${target}`, () => {
    for (const text of [`import { a } from '${target}';`, `import type { a } from '${target}';`, `const a = await import('${target}');`]) {
      assert.deepEqual(
        checkImports([parseSource(path, text)], table).map((found) => found.text),
        problem === undefined ? [] : [problem],
      );
    }
  });
}

test('a circle of imports is found once, with its files named', () => {
  const file = (path: string, target: string) => parseSource(path, `import { a } from '${target}';`);
  const circle = [file('core/a.ts', './b.ts'), file('core/b.ts', './c.ts'), file('core/c.ts', './a.ts')];
  assert.deepEqual(
    checkCycles(circle).map(({ text }) => text),
    ['core/a.ts → core/b.ts → core/c.ts → core/a.ts'],
  );
  assert.deepEqual(checkCycles(circle.slice(1)), []);
});
