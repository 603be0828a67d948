/** The image of deploy/Dockerfile is built from what `.dockerignore` lets through: everything that the daemons and the command are made of. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { importsOf, isTestCode, readSources } from './tidy/source.ts';

const ROOT = fileURLToPath(new URL('..', import.meta.url));
const built: readonly string[] = JSON.parse(readFileSync(`${ROOT}tsconfig.build.json`, 'utf8')).include;
const passed = readFileSync(`${ROOT}.dockerignore`, 'utf8')
  .split('\n')
  .filter((line) => line.startsWith('!'))
  .map((line) => line.slice(1));

const folderOf = (path: string) => path.split('/')[0] ?? '';

test('what is built imports nothing from folders that are not', () => {
  const sources = readSources(ROOT).filter(({ path }) => built.includes(folderOf(path)) && !isTestCode(path));
  assert.ok(sources.length > 50);
  const folders = new Set(
    sources.flatMap((source) =>
      importsOf(source)
        .filter(({ internal }) => internal)
        .map(({ target }) => folderOf(target)),
    ),
  );
  assert.deepEqual(
    [...folders].filter((folder) => !built.includes(folder)),
    [],
  );
});

test('the build of the image gets every folder that is built', () => {
  assert.deepEqual(
    built.filter((folder) => !passed.includes(folder)),
    [],
  );
});
