import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { loadConfig } from '../core/config/load.ts';
import { ERRORS } from '../core/errors.ts';
import { daemonsOf } from './commands/up.ts';
import { fakeRooms, wmb } from './testing.ts';

const BEIJING = new URL('../examples/two-rooms/beijing.yaml', import.meta.url).pathname;

test('every command has a description, and every command that does something has an example', async () => {
  const listed = async (args: string[]): Promise<string[][]> => {
    const { code, stdout } = await wmb([...args, '--help']);
    assert.equal(code, 0);
    const section = /\nCommands:\n([\s\S]*?)\n\n|\nCommands:\n([\s\S]*)$/.exec(stdout);
    const names = [...(section?.[1] ?? section?.[2] ?? '').matchAll(/^ {2}([a-z]+)/gm)].map((match) => match[1] ?? '');
    if (names.length === 0) assert.match(stdout, /\nExamples?:\n {2}wmb |\nExamples?:\n/, args.join(' '));
    assert.match(stdout, /^Usage: wmb/);
    return names.length === 0 ? [args] : (await Promise.all(names.map((name) => listed([...args, name])))).flat();
  };
  assert.deepEqual((await listed([])).map((path) => path.join(' ')).sort(), [
    'cache footprint',
    'cache init',
    'cache inspect',
    'checker',
    'collector',
    'compare',
    'config check',
    'db compare',
    'db init',
    'db replicate',
    'drift audit',
    'drift list',
    'drift show',
    'drift watch',
    'errors',
    'get',
    'link init',
    'link pause',
    'link resume',
    'link skip',
    'link transport',
    'log init',
    'log inspect',
    'parked discard',
    'parked list',
    'parked retry',
    'parked show',
    'repair',
    'replay',
    'reship',
    'status',
    'submit',
    'topology show',
    'trace',
    'up',
  ]);
});

const MISTAKES: readonly (readonly [args: string[], message: RegExp])[] = [
  [['frobnicate'], /unknown command 'frobnicate'/],
  [['frob\x1b[2J'], /unknown command 'frob\\x1b\[2J'/],
  [['statos'], /Did you mean status\?/],
  [['status', '--frob'], /unknown option '--frob'/],
  [['get'], /missing required argument 'key'/],
  [['status'], /give --config FILE or set WMB_CONFIG/],
  [['submit', '--config', BEIJING], /needs --key/],
  [
    ['submit', '--config', BEIJING, '--key', 'k', '--payload', '[]', '--wait', 'forever'],
    /Allowed choices are logged, applied, everywhere/,
  ],
  [['submit', '--config', BEIJING, 'file.ndjson'], /wmb replay reads files/],
  [['replay', '--config', BEIJING, '/nowhere/x.ndjson'], /\/nowhere\/x\.ndjson cannot be read \(ENOENT\)/],
  [['replay', '--config', BEIJING, 'x', '--rate', '0'], /--rate must be a whole number of at least 1/],
  [['replay', '--config', BEIJING, 'x', '--reader', '/nowhere/reader.ts'], /reader module \/nowhere\/reader\.ts cannot be loaded/],
  [['parked', 'retry', '--config', BEIJING], /takes request ids or positions, or --all/],
  [['link', 'pause', 'beijing', 'beijing', '--config', BEIJING], /named twice: .*`wmb link resume beijing beijing`/],
];

for (const [args, message] of MISTAKES) {
  test(`a wrong command line is one line on stderr and exit code 2: wmb ${args.map((arg) => (arg === BEIJING ? 'FILE' : arg)).join(' ')}`, async () => {
    const { code, stdout, stderr } = await wmb(args);
    assert.equal(code, 2);
    assert.equal(stdout, '');
    assert.match(stderr, message);
    assert.match(stderr, /^wmb: USAGE: [^\n]+ — See `wmb COMMAND --help`\.\n$/);
  });
}

test('a room that does not exist is refused with the rooms that do', async () => {
  const { code, stderr } = await wmb(['get', 'k', '--rooms', 'beijing,paris', '--config', BEIJING]);
  assert.equal(code, ERRORS.ROOM_UNKNOWN.exit);
  assert.match(stderr, /there is no room “paris”; the topology has beijing, guangzhou/);
});

test('a correct configuration is said to be valid, as text and as JSON', async () => {
  const text = await wmb(['config', 'check', BEIJING]);
  assert.equal(text.code, 0);
  assert.match(text.stdout, /beijing\.yaml: valid \(room beijing, /);
  const json = await wmb(['config', 'check', BEIJING, '--json']);
  assert.deepEqual(JSON.parse(json.stdout), { file: BEIJING, valid: true, problems: [] });
});

test('every error of a configuration is shown at once, and the exit code is 3', async () => {
  const directory = mkdtempSync(join(tmpdir(), 'wmb-cli-'));
  const file = join(directory, 'room.yaml');
  writeFileSync(file, 'topology: none.yaml\nrom: beijing\ndrainMsMax: soon\n');
  const { code, stderr } = await wmb(['config', 'check', file]);
  assert.equal(code, 3);
  assert.match(stderr, /room\.yaml:2:1/);
  assert.match(stderr, /room\.yaml:3:/);
  assert.doesNotMatch(stderr, /\n\s+at /);
  const json = await wmb(['config', 'check', file, '--json']);
  assert.equal(json.code, 3);
  assert.equal(JSON.parse(json.stdout).valid, false);
  for (const command of ['up', 'reship', 'collector', 'status']) assert.equal((await wmb([command, '--config', file])).code, 3, command);
  rmSync(directory, { recursive: true });
});

test('WMB_CONFIG stands in for --config', async () => {
  const { code, stdout } = await wmb(['topology', 'show', '--json'], { env: { WMB_CONFIG: BEIJING } });
  assert.equal(code, 0);
  const { epoch, links } = JSON.parse(stdout);
  assert.equal(epoch, 1);
  assert.deepEqual(links, [
    { origin: 'beijing', peer: 'guangzhou', transport: 'rpc', logs: ['writes', 'changes'] },
    { origin: 'guangzhou', peer: 'beijing', transport: 'rpc', logs: ['writes'] },
  ]);
});

test('an error code is explained, and a misspelt one gets the nearest', async () => {
  assert.match((await wmb(['errors', 'log_gap'])).stdout, /^LOG_GAP: A range of frames/);
  assert.deepEqual(JSON.parse((await wmb(['errors', '--json'])).stdout), ERRORS);
  const misspelt = await wmb(['errors', 'LOG_GAPP']);
  assert.equal(misspelt.code, ERRORS.NOT_FOUND.exit);
  assert.match(misspelt.stderr, /did you mean LOG_GAP\?/);
});

test('with --json an error is JSON as well', async () => {
  const { stderr } = await wmb(['errors', 'NONE', '--json']);
  assert.deepEqual(Object.keys(JSON.parse(stderr).error), ['code', 'message', 'retry', 'remedy']);
});

test('wmb up runs a checker where the room has one, and wmb checker says so where it has none', async () => {
  const config = loadConfig(BEIJING);
  assert.deepEqual(daemonsOf(config), ['reship', 'collector', 'checker']);
  const rooms = config.topology.rooms.map((room) => ({ ...room, checker: undefined }));
  assert.deepEqual(daemonsOf({ ...config, topology: { ...config.topology, rooms } }), ['reship', 'collector']);
  const { configFile, stop } = await fakeRooms([{}]);
  const { code, stderr } = await wmb(['checker', '--config', configFile]);
  stop();
  assert.equal(code, ERRORS.CHECKER_ABSENT.exit);
  assert.match(stderr, /^wmb: CHECKER_ABSENT: room beijing has no checker in the topology/);
});
