import assert from 'node:assert/strict';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { filesOf, SECRET } from './config.fixture.ts';
import { checkConfig } from './load.ts';
import { formatProblem } from './problem.ts';
import { configReference, fullExample } from './reference.ts';
import { roomFileSchema, topologySchema } from './schema.ts';
import { keyPaths, type Shape, shapeAt, shapeOf } from './shape.ts';

const ROOT = new URL('../../', import.meta.url).pathname;

test('docs/configuration.md is what the schemas say (run npm run generate)', () => {
  assert.equal(readFileSync(join(ROOT, 'docs/configuration.md'), 'utf8'), configReference());
});

test('The full examples of the reference page are a configuration without problems', () => {
  const files = {
    'conf/topology.yaml': fullExample(topologySchema),
    'conf/beijing.yaml': fullExample(roomFileSchema),
    'conf/schema.sql': '',
    'conf/processor.ts': '',
    'conf/tls/ca.pem': '',
    'conf/tls/beijing.pem': '',
    'conf/tls/beijing.key': '',
  };
  assert.deepEqual(checkConfig('conf/beijing.yaml', { WMB_LINK_SECRET: SECRET }, filesOf(files)).problems.map(formatProblem), []);
});

test('Every key has a description, and every number bounds', () => {
  const missing: string[] = [];
  const visit = (shape: Shape, path: string) => {
    for (const [key, inner] of Object.entries(shape.properties ?? {})) {
      if (inner.description === undefined) missing.push(`${path}${key}: description`);
      if (inner.type === 'integer' && (inner.minimum === undefined || inner.maximum === undefined)) missing.push(`${path}${key}: bounds`);
      for (const below of [inner, inner.items, inner.additionalProperties]) if (below) visit(below, `${path}${key}.`);
    }
  };
  visit(shapeOf(topologySchema), '');
  visit(shapeOf(roomFileSchema), '');
  assert.deepEqual(missing, []);
});

test('Every default is within its own bounds', () => {
  const shape = shapeOf(roomFileSchema);
  let seen = 0;
  for (const path of keyPaths(shape)) {
    const { default: value, minimum, maximum } = shapeAt(shape, path) ?? {};
    if (typeof value !== 'number' || minimum === undefined || maximum === undefined) continue;
    assert.ok(value >= minimum && value <= maximum, path.join('.'));
    seen += 1;
  }
  assert.ok(seen >= 10);
});

const PASSWORDS = { WMB_DB_PASSWORD: 'x', WMB_REPLICA_PASSWORD: 'x' };

/** Room files in the folders of examples/: every YAML file beside a topology. */
const EXAMPLES = readdirSync(join(ROOT, 'examples'), { withFileTypes: true })
  .filter((entry) => entry.isDirectory() && existsSync(join(ROOT, 'examples', entry.name, 'topology.yaml')))
  .flatMap(({ name }) =>
    readdirSync(join(ROOT, 'examples', name))
      .filter((file) => file.endsWith('.yaml') && file !== 'topology.yaml')
      .map((file) => `examples/${name}/${file}`),
  );

const FOLDERS = new Set(EXAMPLES.map((file) => file.split('/')[1] ?? ''));

test('There are examples of two, three and five rooms, of both modes, of a cache-only room, of databases on servers, and of rooms on servers whose peers need none', () => {
  for (const folder of [
    ...['two-rooms', 'three-rooms', 'five-rooms', 'master-slave', 'cache-only-room'],
    ...['mysql-rooms', 'kafka-room', 'kafka-master'],
  ])
    assert.ok(FOLDERS.has(folder), folder);
});

for (const folder of FOLDERS) {
  const files = EXAMPLES.filter((file) => file.split('/')[1] === folder).map((file) => checkConfig(join(ROOT, file), PASSWORDS).value);

  test(`examples/README.md lists ${folder} with its rooms and its mode`, () => {
    const line = readFileSync(join(ROOT, 'examples/README.md'), 'utf8')
      .split('\n')
      .find((each) => each.startsWith(`| [${folder}](${folder}`));
    const topology = files[0]?.topology;
    const [, , rooms, mode] = line?.split('|').map((cell) => cell.trim()) ?? [];
    assert.equal(Number.parseInt(rooms ?? '', 10), topology?.rooms.length);
    if (mode !== 'either') assert.equal(mode?.replace('–', '-'), topology?.mode);
  });

  test(`examples/${folder} has a file for each of its rooms`, () => {
    assert.deepEqual(files.map((value) => value?.room.id).sort(), files[0]?.topology.rooms.map(({ id }) => id).sort());
  });
}

for (const file of EXAMPLES) {
  test(`${file} loads`, () => {
    const { value, problems } = checkConfig(join(ROOT, file), PASSWORDS);
    assert.deepEqual(problems.map(formatProblem), []);
    assert.ok(file.endsWith(`/${value?.room.id}.yaml`));
  });
}
