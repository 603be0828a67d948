import assert from 'node:assert/strict';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { ERRORS } from '../core/errors.ts';
import { METRIC_UNITS } from '../daemon/metrics.ts';
import { buf } from './buf.ts';
import { declaredIn } from './pages/metrics.ts';
import { pages, ROOT } from './pages.ts';
import { parseSource } from './tidy/source.ts';

function filesOf(folder: string): ReadonlyMap<string, string> {
  const names = readdirSync(folder, { recursive: true, encoding: 'utf8' }).filter((name) => name.endsWith('.ts'));
  return new Map(names.sort().map((name) => [name, readFileSync(join(folder, name), 'utf8')]));
}

for (const { path, text } of pages()) {
  test(`${path} is what npm run generate makes`, () => {
    assert.equal(readFileSync(join(ROOT, path), 'utf8'), text, `${path} is out of date: npm run generate`);
  });
}

test('the generated code is what buf makes from the proto files', () => {
  const directory = mkdtempSync(join(tmpdir(), 'wmb-generated-'));
  buf('generate', '--output', directory);
  assert.deepEqual(filesOf(join(ROOT, 'proto/gen')), filesOf(join(directory, 'proto/gen')));
  rmSync(directory, { recursive: true });
});

test('the proto files keep buf’s rules', () => {
  buf('lint');
});

test('docs/errors.md lists every code of the table', () => {
  const page = readFileSync(join(ROOT, 'docs/errors.md'), 'utf8');
  for (const code of Object.keys(ERRORS)) assert.ok(page.includes(`| \`${code}\` |`), code);
});

test('every declared metric has a name that begins with wmb_ and ends in its unit, and each is declared once', () => {
  const names = [...readFileSync(join(ROOT, 'docs/metrics.md'), 'utf8').matchAll(/^\| `(\w+)`/gm)].map((match) => match[1] ?? '');
  assert.ok(names.length > 10);
  assert.deepEqual(names, [...new Set(names)].sort());
  for (const name of names) {
    assert.match(name, /^wmb_/);
    assert.ok(
      Object.keys(METRIC_UNITS).some((unit) => name.endsWith(unit)),
      name,
    );
  }
});

test('a declaration is found with its labels, through constants of its file', () => {
  const text =
    "const labels = ['peer']; const spec = { name: 'wmb_a_total', help: 'A.', labels: [...labels, 'log'] }; options.metrics.counter(spec);";
  assert.deepEqual(declaredIn(parseSource('reship/x.ts', text)), [
    { name: 'wmb_a_total', type: 'counter', help: 'A.', labels: ['peer', 'log'], path: 'reship/x.ts' },
  ]);
  assert.throws(
    () => declaredIn(parseSource('reship/x.ts', 'metrics.counter({ name: makeName(), help: "A." });')),
    /reship\/x\.ts:1 .*literals/,
  );
});
