/** For the tests of the command line: `wmb` as its own process, and rooms whose daemons answer what a test says. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { type AddressInfo, createServer, type Server as NetServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after } from 'node:test';
import { fileURLToPath } from 'node:url';
import { Server, ServerCredentials, type UntypedServiceImplementation } from '@grpc/grpc-js';
import { EXIT } from '../core/errors.ts';
import { CollectorService, ReshipService } from '../proto/gen/wmb/v1/admin.ts';
import { CheckerService } from '../proto/gen/wmb/v1/checker.ts';
import { WritesService } from '../proto/gen/wmb/v1/writes.ts';
import { STILL_MS, standstill } from '../test/harness/standstill.ts';

const children = new Set<ChildProcess>();
/** A test that gave up must not leave its processes behind: they would keep the runner waiting. */
after(() => {
  for (const child of children) child.kill('SIGKILL');
});

const MAIN = fileURLToPath(new URL('./main.ts', import.meta.url));

export interface Ended {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

export interface Running {
  readonly ended: Promise<Ended>;
  readonly pid: number;
  kill(signal: NodeJS.Signals): void;
  /** Resolves when stdout and stderr together hold `text`. */
  until(text: string): Promise<void>;
}

export interface RunOptions {
  readonly stdin?: string;
  readonly env?: Readonly<Record<string, string>>;
}

/** Runs a script of this Node; `wmb` below runs cli/main.ts. */
export function start(args: readonly string[], { stdin, env = {} }: RunOptions = {}): Running {
  const { WMB_CONFIG: _outside, ...outside } = process.env;
  const child = spawn(process.execPath, ['--disable-warning=ExperimentalWarning', ...args], { env: { ...outside, ...env } });
  children.add(child);
  child.once('close', () => children.delete(child));
  const text = { stdout: '', stderr: '' };
  const waiting: (() => void)[] = [];
  for (const name of ['stdout', 'stderr'] as const) {
    child[name].setEncoding('utf8').on('data', (data: string) => {
      text[name] += data;
      for (const resolve of waiting.splice(0)) resolve();
    });
  }
  if (stdin !== undefined) child.stdin.end(stdin);
  return {
    ended: new Promise((resolve) => child.once('close', (code) => resolve({ code, ...text }))),
    pid: child.pid ?? 0,
    kill: (signal) => child.kill(signal),
    async until(wanted) {
      while (!`${text.stdout}${text.stderr}`.includes(wanted)) await new Promise<void>((resolve) => waiting.push(resolve));
    },
  };
}

export function startWmb(args: readonly string[], options: RunOptions = {}): Running {
  return start([MAIN, ...args], options);
}

/** A command waits for an answer as long as a person would: where one is missing although the machine stood still meanwhile, it is asked once more. */
export async function wmb(args: readonly string[], options: RunOptions = {}): Promise<Ended> {
  const run = () => startWmb(args, { stdin: '', ...options }).ended;
  const watched = standstill();
  const ended = await run();
  const { longestMs } = watched();
  const lacksAnswer = ended.code === EXIT.unavailable || ended.stdout.includes('UNREACHABLE');
  return lacksAnswer && longestMs > STILL_MS ? run() : ended;
}

type Handlers = Readonly<Record<string, (...args: never[]) => unknown>>;

export interface FakeRoom {
  readonly reship?: Handlers;
  readonly collector?: Handlers;
  readonly writes?: Handlers;
  /** `away`: in the topology, and not there. `silent`: takes connections, as of a process that stands still. */
  readonly checker?: Handlers | 'away' | 'silent';
}

export interface FakeRooms {
  readonly configFile: string;
  readonly directory: string;
  stop(): void;
}

/** Rooms beijing, guangzhou, … of which each daemon has the handlers given; one without any is not there. */
export async function fakeRooms(rooms: readonly FakeRoom[]): Promise<FakeRooms> {
  const directory = mkdtempSync(join(tmpdir(), 'wmb-cli-'));
  const servers: Server[] = [];
  const silent = createServer();
  const entries = [];
  for (const [index, room] of rooms.entries()) {
    const reship = await serve(servers, [
      [WritesService, room.writes],
      [ReshipService, room.reship],
    ]);
    const collector = await serve(servers, [[CollectorService, room.collector]]);
    const checker = room.checker === 'silent' ? await listen(silent) : room.checker && (await serveChecker(servers, room.checker));
    entries.push(roomEntry(index, { reship, collector, checker }));
  }
  const topology = ['epoch: 3', 'mode: independent', 'partitions: 4', 'rooms:', ...entries].join('\n');
  writeFileSync(join(directory, 'topology.yaml'), topology);
  writeFileSync(join(directory, 'beijing.yaml'), 'topology: topology.yaml\nroom: beijing\ndirectory: data\n');
  return {
    configFile: join(directory, 'beijing.yaml'),
    directory,
    stop() {
      for (const server of servers) server.forceShutdown();
      silent.close();
      rmSync(directory, { recursive: true });
    },
  };
}

function serveChecker(servers: Server[], checker: Handlers | 'away'): Promise<number> {
  return serve(servers, [[CheckerService, checker === 'away' ? undefined : checker]]);
}

async function listen(server: NetServer): Promise<number> {
  await once(server.listen(0, '127.0.0.1'), 'listening');
  return (server.address() as AddressInfo).port;
}

/** A closed port stands for a daemon that is not there; 1 is never listened on. */
async function serve(servers: Server[], services: readonly (readonly [object, Handlers | undefined])[]): Promise<number> {
  const given = services.filter(([, handlers]) => handlers !== undefined);
  if (given.length === 0) return 1;
  const server = new Server();
  for (const [service, handlers] of given) server.addService(service as never, handlers as UntypedServiceImplementation);
  servers.push(server);
  return new Promise((resolve, reject) => {
    server.bindAsync('127.0.0.1:0', ServerCredentials.createInsecure(), (error, port) => (error === null ? resolve(port) : reject(error)));
  });
}

interface Ports {
  readonly reship: number;
  readonly collector: number;
  readonly checker: number | undefined;
}

function roomEntry(index: number, { reship, collector, checker }: Ports): string {
  // Addresses have to differ from each other, those of absent daemons and HTTP ports too.
  const host = (part: number) => `127.0.${index + 1}.${part}`;
  const at = (port: number, part: number) => (port === 1 ? `${host(part)}:1` : `127.0.0.1:${port}`);
  return [
    `  - id: ${['beijing', 'guangzhou', 'shanghai'][index]}`,
    `    number: ${index + 1}`,
    '    database: none',
    `    reship: { grpc: '${at(reship, 1)}', http: '${host(2)}:1' }`,
    `    collector: { grpc: '${at(collector, 3)}', http: '${host(4)}:1' }`,
    ...(checker === undefined ? [] : [`    checker: { grpc: '${at(checker, 5)}', http: '${host(6)}:1' }`]),
  ].join('\n');
}
