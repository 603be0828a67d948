import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { test } from 'node:test';
import { WmbError } from '../errors.ts';
import { filesOf, ROOM, SECRET, TOPOLOGY } from './config.fixture.ts';
import { checkConfig, checkTopologyFile, loadConfig, loadTopology } from './load.ts';

const check = (files: Readonly<Record<string, string>> = {}) =>
  checkConfig('conf/beijing.yaml', { WMB_LINK_SECRET: SECRET }, filesOf(files));

test('A configuration becomes a Config with defaults filled in and absolute paths', () => {
  const { room, topology } = loadConfig('conf/beijing.yaml', { WMB_LINK_SECRET: SECRET }, filesOf({}));
  assert.equal(room.directory, resolve('conf/data/beijing'));
  assert.equal(room.database?.schemaFile, resolve('messages/schema.sql'));
  assert.deepEqual(room.processors, { message: { type: 'module', file: resolve('messages/processor.ts'), timeoutMs: 1_000 } });
  assert.deepEqual(room.listen, {
    reship: { grpc: '10.0.0.1:7101', http: '10.0.0.1:7102' },
    collector: { grpc: '10.0.0.1:7103', http: '10.0.0.1:7104' },
    checker: undefined,
  });
  assert.equal(room.checker.graceMs, 10_000);
  assert.deepEqual(room.checker.repair, { keysMax: 1_000, keysPerSecondMax: 100 });
  assert.equal(room.secret, SECRET);
  assert.equal(room.tls, undefined);
  assert.equal(room.intake.frameBytesMax, 262_144);
  assert.deepEqual(room.log, { adapter: 'embedded', retention: { ageMsMin: 86_400_000, bytesMax: 10_737_418_240, overflow: 'keep' } });
  assert.equal(topology.limits.payloadBytesMax, 1_048_576);
  assert.deepEqual(topology.links, []);
});

test('The kind cache is always there, and a kind without rooms is for all of them', () => {
  const { kinds } = loadTopology('conf/topology.yaml', filesOf({}));
  assert.deepEqual(kinds, {
    message: { rooms: ['beijing', 'guangzhou'], onFailure: 'park' },
    cache: { rooms: ['beijing', 'guangzhou'], onFailure: 'park' },
  });
});

test('An address to listen on replaces only its own address of the topology', () => {
  const room = `${ROOM}listen: { reship: { http: '0.0.0.0:80' } }\n`;
  const { value } = check({ 'conf/beijing.yaml': room });
  assert.deepEqual(value?.room.listen.reship, { grpc: '10.0.0.1:7101', http: '0.0.0.0:80' });
});

test('A checker listens where the topology says, or where the room’s file does', () => {
  const files = {
    'conf/topology.yaml': TOPOLOGY.replace('7104 }', '7104 }\n    checker: { grpc: 10.0.0.1:7105, http: 10.0.0.1:7106 }'),
    'conf/beijing.yaml': `${ROOM}listen: { checker: { http: '0.0.0.0:80' } }\n`,
  };
  const { value } = check(files);
  assert.deepEqual(value?.room.listen.checker, { grpc: '10.0.0.1:7105', http: '0.0.0.0:80' });
});

test('A processor behind gRPC gets its own defaults', () => {
  const room = ROOM.replace('{ module: ../messages/processor.ts }', '{ grpc: localhost:9000, timeoutMs: 50 }');
  const { value } = check({ 'conf/beijing.yaml': room });
  assert.deepEqual(value?.room.processors.message, { type: 'grpc', address: 'localhost:9000', timeoutMs: 50, concurrentMax: 64 });
});

test('On loopback no secret is needed', () => {
  const files = {
    'conf/beijing.yaml': ROOM.replace(/^secret:.*\n/m, ''),
    'conf/topology.yaml': TOPOLOGY.replaceAll(/10\.0\.0\.(\d)/g, '127.0.0.$1'),
  };
  assert.equal(checkConfig('conf/beijing.yaml', {}, filesOf(files)).value?.room.secret, '');
});

test('Aliases stand for what they name, and an error in them points to what they name', () => {
  const kinds = (entry: string) => TOPOLOGY.replace('message: { onFailure: park }', `message: &same ${entry}\n  notice: *same`);
  const room = ROOM.replace('message: {', 'notice: { grpc: localhost:1 }\n  message: {');
  const { value } = check({ 'conf/topology.yaml': kinds('{ onFailure: pass }'), 'conf/beijing.yaml': room });
  assert.equal(value?.topology.kinds.notice?.onFailure, 'pass');
  const { problems } = check({ 'conf/topology.yaml': kinds('{ onFailure: stop }'), 'conf/beijing.yaml': room });
  assert.deepEqual(
    problems.map(({ line, column, path }) => [line, column, path]),
    [
      [16, 31, 'kinds.message.onFailure'],
      [16, 31, 'kinds.notice.onFailure'],
    ],
  );
});

test('All errors of both documents come in one CONFIG_INVALID, one per line, the room’s file first', () => {
  const files = {
    'conf/beijing.yaml': ROOM.replace('room: beijing', 'room: shanghai').replace('directory:', 'directroy:'),
    'conf/topology.yaml': TOPOLOGY.replace('number: 2', 'number: 0').replace('epoch: 1', 'epoch: lots'),
  };
  assert.throws(
    () => loadConfig('conf/beijing.yaml', { WMB_LINK_SECRET: SECRET }, filesOf(files)),
    (error) => {
      assert.ok(error instanceof WmbError);
      assert.equal(error.code, 'CONFIG_INVALID');
      assert.deepEqual(error.message.split('\n'), [
        'conf/beijing.yaml:1:1 directory: is missing; allowed: a path, absolute or relative to this file (~ and $ are not expanded)',
        'conf/beijing.yaml:2:7 room: is "shanghai", which is no room of the topology; allowed: beijing, guangzhou',
        'conf/beijing.yaml:3:1 directroy: is not a known key; did you mean directory?',
        'conf/topology.yaml:1:8 epoch: is "lots"; allowed: a whole number, 1 to 9007199254740991',
        'conf/topology.yaml:11:13 rooms[1].number: is 0; allowed: 1 to 255',
      ]);
      return true;
    },
  );
});

test('The problems are there as data', () => {
  const { value, problems } = check({ 'conf/topology.yaml': TOPOLOGY.replace('number: 2', 'number: 0') });
  assert.equal(value, undefined);
  assert.deepEqual(problems, [
    {
      code: 'CONFIG_INVALID',
      file: 'conf/topology.yaml',
      line: 11,
      column: 13,
      path: 'rooms[1].number',
      message: 'is 0; allowed: 1 to 255',
    },
  ]);
});

test('A room’s file that cannot be read is CONFIG_UNREADABLE', () => {
  assert.throws(() => loadConfig('conf/nanjing.yaml', {}, filesOf({})), {
    code: 'CONFIG_UNREADABLE',
    message: 'conf/nanjing.yaml: cannot be read: no such file',
  });
});

test('A topology that cannot be read is CONFIG_UNREADABLE at the line that names it', () => {
  const files = filesOf({ 'conf/beijing.yaml': ROOM.replace('topology.yaml', '../topo.yaml') });
  assert.throws(() => loadConfig('conf/beijing.yaml', { WMB_LINK_SECRET: SECRET }, files), {
    code: 'CONFIG_UNREADABLE',
    message: 'conf/beijing.yaml:1:11 topology: names "topo.yaml", which cannot be read: no such file',
  });
});

test('A file that cannot be read beside other errors is listed among them', () => {
  const room = ROOM.replace('topology.yaml', 'gone.yaml').replace('room: beijing', 'room: 7');
  const { problems } = check({ 'conf/beijing.yaml': room });
  assert.deepEqual(
    problems.map(({ code, path }) => [code, path]),
    [
      ['CONFIG_UNREADABLE', 'topology'],
      ['CONFIG_INVALID', 'room'],
    ],
  );
});

test('A topology alone is checked without a room', () => {
  assert.deepEqual(
    checkTopologyFile('t.yaml', () => TOPOLOGY.replace('epoch: 1', 'epoch: -1')).problems.map(({ message }) => message),
    ['is -1; allowed: 1 to 9007199254740991'],
  );
  assert.throws(() => loadTopology('gone.yaml', filesOf({})), { code: 'CONFIG_UNREADABLE' });
});

test('Files of the real file system are read when no reader is given', () => {
  const directory = mkdtempSync(join(tmpdir(), 'wmb-config-'));
  try {
    const file = join(directory, 'topology.yaml');
    writeFileSync(file, TOPOLOGY);
    assert.equal(loadTopology(file).epoch, 1);
    assert.throws(() => loadTopology(directory), { code: 'CONFIG_UNREADABLE', message: `${directory}: cannot be read: it is a directory` });
    assert.throws(() => loadConfig(join(file, 'x.yaml')), { code: 'CONFIG_UNREADABLE' });
  } finally {
    rmSync(directory, { recursive: true });
  }
});
