/**
 * Several rooms on one machine, each of real daemons in processes of their own. Peers reach a room's reship through a
 * proxy that can cut the link; the room itself does not.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, mkdirSync, openSync, readFileSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parse, stringify } from 'yaml';
import { EXIT } from '../../core/errors.ts';
import { freePorts, TcpProxy } from './proxy.ts';

export type Daemon = 'reship' | 'collector' | 'checker';

const WITHOUT_CHECKER: readonly Daemon[] = ['reship', 'collector'];

export interface RoomsOptions {
  /** 1 to 5. The first room is the master. */
  readonly count: number;
  readonly mode: 'independent' | 'master-slave';
  /** Everything the rooms write goes below it. */
  readonly directory: string;
  readonly partitions?: number;
  /** The last room has no database. */
  readonly cacheOnly?: boolean;
  /** What `start` and `startAll` start in each room; default: no checker. The topology has its addresses all the same. */
  readonly daemons?: readonly Daemon[];
  /** The processor module of kind `message`, and the schema file of its tables. */
  readonly processorFile?: string;
  readonly schemaFile?: string;
  /** Peers reach each other without the proxies, which then can do nothing. */
  readonly direct?: boolean;
  /** Added to every room file, as it is or by room id. */
  readonly roomSettings?: Readonly<Record<string, unknown>> | ((room: string) => Readonly<Record<string, unknown>>);
  /** Added to the topology. */
  readonly topologySettings?: Readonly<Record<string, unknown>>;
}

export interface StartOptions {
  /** Another room file than the room's own. */
  readonly configFile?: string;
  /** Another program than `wmb`, started with the same arguments. */
  readonly main?: string;
  /** Added to the environment. */
  readonly env?: Readonly<Record<string, string>>;
}

export interface RunningRoom {
  readonly id: string;
  readonly directory: string;
  readonly configFile: string;
  readonly database: 'master' | 'slave' | 'none';
  /** host:port of the daemons themselves, past any proxy. */
  readonly reship: { readonly grpc: string; readonly http: string };
  readonly collector: { readonly grpc: string; readonly http: string };
  readonly checker: { readonly grpc: string; readonly http: string };
  /** In front of the reship, for the peers. */
  readonly proxy: TcpProxy;
  /** In front of the checker, for the peers. */
  readonly checkerProxy: TcpProxy;
}

const NAMES = ['beijing', 'guangzhou', 'shanghai', 'chengdu', 'xian'];
/** Environment in which processes share what they compiled: a start takes a third of the time. */
export const COMPILED_ONCE = { NODE_COMPILE_CACHE: join(tmpdir(), 'wmb-compiled') } as const;
const MAIN = new URL('../../cli/main.ts', import.meta.url).pathname;

export class Rooms {
  readonly rooms: readonly RunningRoom[];
  readonly #children = new Map<string, ChildProcess>();
  readonly #daemons: readonly Daemon[];
  readonly #env: Readonly<Record<string, string | undefined>> = { ...process.env, ...COMPILED_ONCE };

  private constructor(rooms: readonly RunningRoom[], daemons: readonly Daemon[]) {
    this.rooms = rooms;
    this.#daemons = daemons;
  }

  /** Writes the configuration and starts every daemon; resolves when all are ready. */
  static async start(options: RoomsOptions): Promise<Rooms> {
    const running = await Rooms.prepare(options);
    await running.startAll();
    return running;
  }

  /** Starts every daemon; where one does not come up, none is left running. `mains`: other programs, by `room/daemon`. */
  async startAll(mains: Readonly<Record<string, string>> = {}): Promise<void> {
    const start = (room: RunningRoom, daemon: Daemon) => {
      const main = mains[`${room.id}/${daemon}`];
      return this.start(room, daemon, main === undefined ? {} : { main });
    };
    try {
      await Promise.all(this.rooms.flatMap((room) => this.#daemons.map((daemon) => start(room, daemon))));
    } catch (cause) {
      this.killAll();
      throw cause;
    }
  }

  /** Writes the configuration only. */
  static async prepare(options: RoomsOptions): Promise<Rooms> {
    return new Rooms(await writeConfiguration(options), options.daemons ?? WITHOUT_CHECKER);
  }

  /** Rooms whose configuration is there already. */
  static of(rooms: readonly RunningRoom[], daemons: readonly Daemon[]): Rooms {
    return new Rooms(rooms, daemons);
  }

  room(index: number): RunningRoom {
    const room = this.rooms[index];
    if (room === undefined) throw new Error(`there is no room ${index}`);
    return room;
  }

  /**
   * Starts one daemon and waits until it is ready. Its log goes to `<daemon>.log` in the room's directory. One that ends because a server does not answer in time is started again, as `wmb up` does it:
   * the machine may have stood still.
   */
  async start(room: RunningRoom, daemon: Daemon, options: StartOptions = {}): Promise<void> {
    for (let again = STARTS_AGAIN_MAX; ; again -= 1) {
      try {
        return await this.#startOnce(room, daemon, options);
      } catch (cause) {
        if (again === 0 || this.#children.get(`${room.id}/${daemon}`)?.exitCode !== EXIT.unavailable) throw cause;
        // Nobody should miss that it happened.
        process.stderr.write(`${(cause as Error).message}\nit is started again\n`);
      }
    }
  }

  async #startOnce(
    room: RunningRoom,
    daemon: Daemon,
    { configFile = room.configFile, main = MAIN, env = {} }: StartOptions,
  ): Promise<void> {
    const file = join(room.directory, `${daemon}.log`);
    const log = openSync(file, 'a');
    const child = spawn(
      process.execPath,
      ['--disable-warning=ExperimentalWarning', '--v8-pool-size=0', main, daemon, '--config', configFile],
      {
        // By the end of the channel a daemon notices that the program that started it is gone, however that ended.
        stdio: ['ignore', log, log, 'ipc'],
        env: { ...this.#env, ...env },
      },
    );
    child.channel?.unref();
    closeSync(log);
    this.#children.set(`${room.id}/${daemon}`, child);
    await ready(`http://${room[daemon].http}/readyz`, child, `${room.id}’s ${daemon}`, file);
  }

  /** Sends the signal and waits for the process to be gone; returns its exit code (null where the signal ended it). */
  async end(room: RunningRoom, daemon: Daemon, signal: NodeJS.Signals): Promise<number | null> {
    const child = this.#children.get(`${room.id}/${daemon}`);
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return child?.exitCode ?? null;
    const exit = this.ended(room, daemon);
    child.kill(signal);
    // A test that failed may have left it standing still.
    child.kill('SIGCONT');
    return exit;
  }

  /** Waits for the process to be gone, for whatever reason; returns its exit code. */
  async ended(room: RunningRoom, daemon: Daemon): Promise<number | null> {
    const child = this.#children.get(`${room.id}/${daemon}`);
    if (child !== undefined && child.exitCode === null && child.signalCode === null) await once(child, 'exit');
    return child?.exitCode ?? null;
  }

  pid(room: RunningRoom, daemon: Daemon): number | undefined {
    return this.#children.get(`${room.id}/${daemon}`)?.pid;
  }

  async stop(): Promise<void> {
    const daemons = ['checker', 'collector', 'reship'] as const;
    await Promise.all(this.rooms.flatMap((room) => daemons.map((daemon) => this.end(room, daemon, 'SIGTERM'))));
    await Promise.all(this.rooms.flatMap((room) => [room.proxy.close(), room.checkerProxy.close()]));
  }

  /** For the end of a program that was interrupted: nothing is left running. */
  killAll(): void {
    for (const child of this.#children.values()) child.kill('SIGKILL');
  }
}

/**
 * Daemons beside a room's first one: the room's file with other ports, and a directory for what it logs. `apart`: that is the room's directory for it too, as it is on a machine of
 * its own. Each is started and ended as its room's daemon.
 */
export async function moreDaemons(
  room: RunningRoom,
  daemon: 'reship' | 'collector',
  count: number,
  { apart = false }: { readonly apart?: boolean } = {},
): Promise<RunningRoom[]> {
  const ports = await freePorts(2 * count);
  return Array.from({ length: count }, (_, index) => {
    const [grpc, http] = [`127.0.0.1:${ports[2 * index]}`, `127.0.0.1:${ports[2 * index + 1]}`];
    const configFile = room.configFile.replace('.yaml', `-${daemon}-${index}.yaml`);
    const file = parse(readFileSync(room.configFile, 'utf8'));
    const directory = join(room.directory, `${daemon}-${index}`);
    mkdirSync(directory);
    const own = { listen: { ...file.listen, [daemon]: { grpc, http } }, ...(apart && { directory }) };
    writeFileSync(configFile, stringify({ ...file, ...own }));
    return { ...room, id: `${room.id}-${index}`, configFile, directory, [daemon]: { grpc, http } };
  });
}

async function writeConfiguration(options: RoomsOptions): Promise<RunningRoom[]> {
  const names = NAMES.slice(0, options.count);
  const ports = await freePorts(names.length * 6);
  const rooms: RunningRoom[] = [];
  const entries: unknown[] = [];
  for (const [index, id] of names.entries()) {
    const at = (daemon: number) => {
      const [grpc = 0, http = 0] = ports.slice(index * 6 + daemon * 2);
      return { grpc: `127.0.0.1:${grpc}`, http: `127.0.0.1:${http}` };
    };
    const [reship, collector, checker] = [at(0), at(1), at(2)];
    const [proxy, checkerProxy] = [proxyOf(reship.grpc), proxyOf(checker.grpc)];
    const database = index === 0 ? 'master' : options.cacheOnly && index === names.length - 1 ? 'none' : 'slave';
    const directory = join(options.directory, id);
    mkdirSync(directory, { recursive: true });
    const configFile = join(options.directory, `${id}.yaml`);
    rooms.push({ id, directory, configFile, database, reship, collector, checker, proxy, checkerProxy });
    entries.push({
      id,
      number: index + 1,
      database,
      reship: options.direct ? reship : { ...reship, grpc: `127.0.0.1:${await proxy.listen()}` },
      collector,
      checker: { ...checker, grpc: `127.0.0.1:${await checkerProxy.listen()}` },
    });
  }
  const topology = {
    epoch: 1,
    mode: options.mode,
    partitions: options.partitions ?? 8,
    rooms: entries,
    ...(options.processorFile === undefined ? {} : { kinds: { message: {} } }),
    ...options.topologySettings,
  };
  writeFileSync(join(options.directory, 'topology.yaml'), stringify(topology));
  for (const room of rooms) writeFileSync(room.configFile, stringify(roomFile(room, options)));
  return rooms;
}

function proxyOf(address: string): TcpProxy {
  return new TcpProxy({ host: '127.0.0.1', port: Number(address.split(':')[1]) });
}

function roomFile(room: RunningRoom, options: RoomsOptions): unknown {
  const processes = options.mode === 'independent' || room.database === 'master';
  return {
    room: room.id,
    topology: './topology.yaml',
    directory: room.directory,
    listen: { reship: room.reship, collector: room.collector, checker: room.checker },
    ...(room.database === 'none'
      ? {}
      : { database: { adapter: 'embedded', ...(options.schemaFile === undefined ? {} : { schemaFile: options.schemaFile }) } }),
    ...(options.processorFile === undefined || !processes ? {} : { processors: { message: { module: options.processorFile } } }),
    ...(typeof options.roomSettings === 'function' ? options.roomSettings(room.id) : options.roomSettings),
  };
}

const STARTS_AGAIN_MAX = 2;
/** Also on a machine that is busy with other things. */
const READY_MS_MAX = 120_000;
const ANSWER_MS_MAX = 5_000;

async function ready(url: string, child: ChildProcess, who: string, log: string): Promise<void> {
  const deadline = Date.now() + READY_MS_MAX;
  let answer = 'no answer';
  while (Date.now() < deadline) {
    if (child.exitCode !== null || child.signalCode !== null)
      throw new Error(`${who} ended at start with ${child.exitCode ?? child.signalCode}:\n${end(log)}`);
    const response = await fetch(url, { signal: AbortSignal.timeout(ANSWER_MS_MAX) }).catch(() => undefined);
    if (response?.ok) return;
    answer = (await response?.text().catch(() => undefined)) ?? 'no answer';
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  throw new Error(`${who} was not ready within ${READY_MS_MAX} ms: ${answer}\n${end(log)}`);
}

/** Who reads of it may not have the machine on which it was. */
function end(log: string): string {
  return readFileSync(log, 'utf8').trimEnd().split('\n').slice(-15).join('\n');
}
