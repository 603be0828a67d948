import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { cpSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { type AddressInfo, createServer } from 'node:net';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { type Ended, start, wmb } from '../../cli/testing.ts';
import { Wait } from '../../proto/gen/wmb/v1/writes.ts';
import { COMPILED_ONCE, type Daemon } from '../harness/rooms.ts';
import { post } from './http.ts';
import { cacheWrite, Scene, until } from './scene.ts';

/** One room is enough: what is wrong is wrong before any peer matters. */
const scene = await Scene.prepare({ count: 1, mode: 'independent', partitions: 2 });
const room = scene.room(0);
const topologyFile = join(scene.directory, 'topology.yaml');

/** A copy of the room file with some text replaced. */
function variant(name: string, replace: readonly (readonly [from: string, to: string])[], file = room.configFile): string {
  let text = readFileSync(file, 'utf8');
  for (const [from, to] of replace) {
    assert.ok(text.includes(from), `${from} is not in ${file}`);
    text = text.replaceAll(from, to);
  }
  const made = join(scene.directory, `${name}.yaml`);
  writeFileSync(made, text);
  return made;
}

function run(daemon: Daemon | 'up', config: string): Promise<Ended> {
  return wmb([daemon, '--config', config], { env: COMPILED_ONCE });
}

/** A user's mistake: the exit code, and one line with the code on stderr that matches; no stack anywhere. */
function assertRefused({ code, stderr, stdout }: Ended, exit: number, line: RegExp): void {
  const plain = stderr.split('\n').filter((each) => each !== '' && !each.startsWith('{'));
  assert.equal(plain.length, 1, stderr);
  assert.match(plain[0] ?? '', line);
  assert.equal(code, exit, stderr);
  assert.doesNotMatch(stderr + stdout, /^\s+at .*:\d+|"stack"/m);
}

describe('a daemon that cannot start says why in one line, with an exit code', () => {
  for (const daemon of ['reship', 'collector', 'up'] as const) {
    test(`${daemon}: errors of the configuration, all at once, with file, line, column and the nearest name`, async () => {
      const config = variant('wrong', [['topology: ./topology.yaml', 'topology: ./topology.yaml\nlogLevle: debug\ndrainMsMax: soon']]);
      const { code, stderr, stdout } = await run(daemon, config);
      assert.equal(code, 3);
      assert.match(stderr, /CONFIG_INVALID/);
      assert.match(stderr, /wrong\.yaml:3:1 logLevle: .*logLevel/);
      assert.match(stderr, /wrong\.yaml:4:13 drainMsMax: /);
      assert.doesNotMatch(stderr + stdout, /^\s+at /m);
    });
  }

  test('a room file that is not there, and a room that the topology does not have', async () => {
    assertRefused(await run('reship', join(scene.directory, 'absent.yaml')), 3, /^wmb.*: CONFIG_UNREADABLE: .*absent\.yaml/);
    const stranger = variant('stranger', [['room: beijing', 'room: atlantis']]);
    assertRefused(await run('collector', stranger), 3, /^wmb.*: CONFIG_INVALID: .*atlantis/);
  });

  test('a port of either daemon that is in use', async (t) => {
    const other = createServer().listen(0, '127.0.0.1');
    t.after(() => other.close());
    await once(other, 'listening');
    const taken = `127.0.0.1:${(other.address() as AddressInfo).port}`;
    const daemons = ['reship', 'collector'] as const;
    const cases = daemons.flatMap((daemon) => (['grpc', 'http'] as const).map((port) => ({ daemon, port })));
    const check = async ({ daemon, port }: (typeof cases)[number]) => {
      const name = `taken-${daemon}-${port}`;
      const config = variant(name, [
        [room[daemon][port], taken],
        [room.directory, join(scene.directory, name)],
      ]);
      // The other port is free for one of them at a time.
      assertRefused(await run(daemon, config), 6, new RegExp(`^wmb ${daemon}: PORT_IN_USE: .*${taken.replaceAll('.', '\\.')}`));
    };
    for (const port of ['grpc', 'http']) await Promise.all(cases.filter((each) => each.port === port).map(check));
  });

  test('a processor module that is not there, and one without the kind', async () => {
    const topology = variant('topology-kinds', [['epoch: 1', 'epoch: 1\nkinds: { note: {} }']], topologyFile);
    const module = join(scene.directory, 'empty.mjs');
    writeFileSync(module, 'export const processor = {};\n');
    for (const file of ['./absent.mjs', './empty.mjs']) {
      const config = variant('no-module', [
        ['./topology.yaml', topology],
        ['topology:', `processors: { note: { module: '${file}' } }\ntopology:`],
      ]);
      assertRefused(await run('collector', config), 3, /^wmb.*: (PROCESSOR_MODULE|CONFIG_UNREADABLE): .*(absent|empty)\.mjs/);
    }
  });

  test('a directory of another room', async () => {
    await scene.rooms.start(room, 'reship');
    await scene.rooms.end(room, 'reship', 'SIGTERM');
    const topology = variant('topology-renamed', [['beijing', 'tianjin']], topologyFile);
    const config = variant('renamed', [
      ['room: beijing', 'room: tianjin'],
      ['./topology.yaml', topology],
    ]);
    assertRefused(await run('reship', config), 3, /^wmb reship: LOG_FOREIGN: .*room beijing.*room tianjin/);
  });

  test('another partition count than the log was made with', async () => {
    const topology = variant('topology-wider', [['partitions: 2', 'partitions: 4']], topologyFile);
    const config = variant('wider', [['./topology.yaml', topology]]);
    assertRefused(await run('reship', config), 3, /^wmb reship: LOG_FOREIGN: .*2 partitions.*4 partitions/);
  });

  test('a directory that another process has open; the other one goes on', async () => {
    await Promise.all([scene.rooms.start(room, 'reship'), scene.rooms.start(room, 'collector')]);
    const pid = scene.rooms.pid(room, 'reship');
    assertRefused(await run('reship', room.configFile), 6, new RegExp(`^wmb reship: LOG_LOCKED: .*process ${pid}`));
    assertRefused(await run('collector', room.configFile), 6, /^wmb collector: STORE_LOCKED: /);
    await scene.submit(0, [cacheWrite('unharmed', [['SET', 'unharmed', 'v']])], Wait.WAIT_APPLIED);
  });
});

/** A small disk of its own; undefined where this user may not mount one. */
function smallDisk(name: string, options: string): string | undefined {
  const directory = join(scene.directory, name);
  mkdirSync(directory);
  try {
    execFileSync('mount', ['-t', 'tmpfs', '-o', options, 'tmpfs', directory], { stdio: 'ignore' });
  } catch {
    return undefined;
  }
  const unmount = () => execFileSync('umount', ['-l', directory], { stdio: 'ignore' });
  // Before the directory around it goes.
  process.prependOnceListener('exit', unmount);
  return directory;
}

describe('disks', () => {
  before(async () => {
    await scene.rooms.end(room, 'reship', 'SIGTERM');
    await scene.rooms.end(room, 'collector', 'SIGTERM');
  });
  after(async () => {
    await scene.rooms.end(room, 'reship', 'SIGTERM');
    await scene.rooms.end(room, 'collector', 'SIGTERM');
  });

  test('a read-only directory is refused by both daemons', async (t) => {
    const disk = smallDisk('readonly', 'size=4m');
    if (disk === undefined) return t.skip('NOT COVERED HERE: tmpfs cannot be mounted by this user');
    const config = variant('readonly', [[room.directory, join(disk, 'room')]]);
    execFileSync('mount', ['-o', 'remount,ro', disk]);
    assertRefused(await run('reship', config), 6, /^wmb reship: LOG_READONLY: /);
    assertRefused(await run('collector', config), 6, /^wmb collector: STORE_READONLY: /);
  });

  test('a log that was readable and is now on a read-only disk is refused', async (t) => {
    const disk = smallDisk('readonly-later', 'size=8m');
    if (disk === undefined) return t.skip('NOT COVERED HERE: tmpfs cannot be mounted by this user');
    cpSync(room.directory, join(disk, 'room'), { recursive: true });
    execFileSync('mount', ['-o', 'remount,ro', disk]);
    const config = variant('readonly-later', [[room.directory, join(disk, 'room')]]);
    assertRefused(await run('reship', config), 6, /^wmb reship: LOG_READONLY: /);
    assertRefused(await run('collector', config), 6, /^wmb collector: STORE_READONLY: /);
  });

  test('on a full disk intake answers LOG_FULL, loses nothing that was acked, and goes on when there is space', async (t) => {
    const disk = smallDisk('full', 'size=3m');
    if (disk === undefined) return t.skip('NOT COVERED HERE: tmpfs cannot be mounted by this user');
    const configFile = variant('full', [[room.directory, disk]]);
    await scene.rooms.start(room, 'reship', { configFile });
    const url = `http://${room.reship.http}/v1/writes`;
    const line = (at: number) =>
      JSON.stringify({
        requestId: `full-${at}`,
        kind: 'cache',
        key: 'full',
        payload: [['SET', `full:${at}`, randomBytes(30_000).toString('hex')]],
      });
    let acked = 0;
    const refusal = await until('the disk is full', async () => {
      const { lines } = await post(url, line(acked));
      if (lines[0]?.stamp !== undefined) acked += 1;
      return lines[0]?.error;
    });
    assert.deepEqual([refusal.code, refusal.retry], ['LOG_FULL', 'later']);
    assert.ok(acked > 3, `${acked} acked`);
    const readyz = async () => await (await fetch(`http://${room.reship.http}/readyz`)).text();
    assert.match(await readyz(), /"write log".*LOG_FULL/);
    execFileSync('mount', ['-o', 'remount,size=64m', disk]);
    await until('intake goes on by itself', async () => (await post(url, line(acked))).lines[0]?.stamp);
    assert.doesNotMatch(await readyz(), /write log/);
    await scene.rooms.start(room, 'collector', { configFile });
    await scene.settled();
    for (let at = 0; at <= acked; at += 1) assert.ok((await scene.get(0, `full:${at}`)) !== undefined, `full:${at}`);
  });
});

test('wmb up runs all daemons, starts a killed one again, and Ctrl-C ends them all', async () => {
  const up = start([new URL('../../cli/main.ts', import.meta.url).pathname, 'up', '--config', room.configFile], { env: COMPILED_ONCE });
  const ready = (daemon: Daemon) => until(`${daemon} is ready`, async () => (await fetch(`http://${room[daemon].http}/readyz`)).ok);
  await Promise.all([ready('reship'), ready('collector'), ready('checker')]);
  const children = () =>
    execFileSync('ps', ['-o', 'pid=', '--ppid', String(up.pid)], { encoding: 'utf8' })
      .trim()
      .split(/\s+/)
      .map(Number);
  const first = children();
  assert.equal(first.length, 3);
  const killed = first[1] as number;
  process.kill(killed, 'SIGKILL');
  await until('another child runs in its place', () => {
    const now = children();
    return now.length === 3 && !now.includes(killed);
  });
  await Promise.all([ready('reship'), ready('collector'), ready('checker')]);
  await scene.submit(0, [cacheWrite('up', [['SET', 'up', 'v']])], Wait.WAIT_APPLIED);
  const last = children();
  up.kill('SIGINT');
  assert.equal((await up.ended).code, 0);
  for (const pid of last) assert.throws(() => process.kill(pid, 0), { code: 'ESRCH' });
});

test('when wmb up itself is killed, its daemons notice and end', async () => {
  const up = spawn(
    process.execPath,
    ['--disable-warning=ExperimentalWarning', new URL('../../cli/main.ts', import.meta.url).pathname, 'up', '--config', room.configFile],
    {
      stdio: 'ignore',
      env: { ...process.env, ...COMPILED_ONCE },
    },
  );
  await until('all are ready', async () => {
    for (const daemon of ['reship', 'collector', 'checker'] as const)
      if (!(await fetch(`http://${room[daemon].http}/readyz`)).ok) return false;
    return true;
  });
  const pids = execFileSync('ps', ['-o', 'pid=', '--ppid', String(up.pid)], { encoding: 'utf8' })
    .trim()
    .split(/\s+/)
    .map(Number);
  assert.equal(pids.length, 3);
  up.kill('SIGKILL');
  await until('no orphan is left', () =>
    pids.every((pid) => {
      try {
        process.kill(pid, 0);
        return false;
      } catch {
        return true;
      }
    }),
  );
});
