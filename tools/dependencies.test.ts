import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { ROOT } from './pages.ts';

interface LockedPackage {
  readonly license?: string;
  readonly hasInstallScript?: boolean;
  readonly dependencies?: Readonly<Record<string, string>>;
  readonly devDependencies?: Readonly<Record<string, string>>;
  readonly optionalDependencies?: Readonly<Record<string, string>>;
}

const lock = JSON.parse(readFileSync(join(ROOT, 'package-lock.json'), 'utf8')) as { packages: Readonly<Record<string, LockedPackage>> };
const page = readFileSync(join(ROOT, 'docs/dependencies.md'), 'utf8');
const root = lock.packages[''] ?? {};
const direct = { ...root.dependencies, ...root.devDependencies, ...root.optionalDependencies };

test('docs/dependencies.md tells why each dependency is there, with its licence, and lists no other', () => {
  const rows = [...page.matchAll(/^\| `([^`]+)` \| ([^|]+) \|/gm)].map((match) => [match[1], match[2]]);
  const expected = Object.keys(direct).map((name) => [name, lock.packages[`node_modules/${name}`]?.license]);
  assert.deepEqual(rows.sort(), expected.sort());
});

test('every dependency is pinned to one version', () => {
  for (const [name, version] of Object.entries(direct)) assert.match(version, /^\d+\.\d+\.\d+$/, name);
});

test('install scripts are off, and every package that has one is named', () => {
  assert.match(readFileSync(join(ROOT, '.npmrc'), 'utf8'), /^ignore-scripts=true$/m);
  for (const [path, { hasInstallScript }] of Object.entries(lock.packages)) {
    if (hasInstallScript) assert.ok(page.includes(`- \`${path.replace(/^.*node_modules\//, '')}\``), path);
  }
});

test('the lock file holds every package that a dependency may want on some platform, so that npm ci works on all of them', () => {
  for (const [path, { optionalDependencies = {} }] of Object.entries(lock.packages)) {
    for (const name of Object.keys(optionalDependencies)) {
      const nested = `${path === '' ? '' : `${path}/`}node_modules/${name}`;
      assert.ok(lock.packages[`node_modules/${name}`] ?? lock.packages[nested], `${name}, wanted by ${path}`);
    }
  }
});
