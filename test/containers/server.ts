/**
 * A real server in a container of its own, for one test file. Its address is published on 127.0.0.1 and stays the same whatever happens to it: it can be
 * killed, stopped, frozen and started again, with its data.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { GenericContainer, type StartedTestContainer } from 'testcontainers';
import { freePorts } from '../harness/proxy.ts';
import { ownerLabels, requiredEngine, sweep } from './engine.ts';
import { fileOf } from './tar.ts';

const READY_MS_MAX = 120_000;
const READY_POLL_MS = 50;
const EXEC_MS_MAX = 60_000;
const LOG_LINES = 20;
const LOG_HEAD_BYTES = 8;

export interface ServerOptions {
  /** Instead of the usual image of this server. */
  readonly image?: string;
  /** Added to the server's command line. */
  readonly flags?: readonly string[];
  /** Of the server's image. */
  readonly environment?: Readonly<Record<string, string>>;
  /** Put into the container before the server starts. */
  readonly files?: readonly ContainerFile[];
  /** A folder of the container that is a file system in memory of so many megabytes, and can be full. Its files are gone when the server ends. */
  readonly smallDisk?: { readonly path: string; readonly megabytes: number };
  /** Folders of this machine that the server sees as its own. */
  readonly mounts?: readonly { readonly source: string; readonly target: string }[];
  /**
   * In the network of this machine (Linux only) instead of one of its own: servers reach each other, and proxies of the test, on 127.0.0.1, and no traffic
   * goes through Docker's own proxy, which costs throughput.
   */
  readonly hostNetwork?: boolean;
}

export interface ContainerFile {
  readonly content: Buffer | string;
  /** Where, in the container. */
  readonly target: string;
}

/** What is particular to one kind of server. */
export interface ServerKind {
  readonly image: string;
  readonly environment: Readonly<Record<string, string>>;
  /** The port that the server listens on unless it is told another. */
  readonly port: number;
  /** The port on this machine, for a server that has to be told where clients reach it; otherwise any free one. */
  readonly publishedPort?: number;
  /** The whole command line. `listen` is where to listen, unless that is left to the image. */
  command(listen: { readonly host: string; readonly port: number } | undefined): readonly string[];
  /** Whether the server does its work: not that a port is open, which Docker's proxy opens at once. */
  ready(port: number): Promise<boolean>;
}

/** Publishes a port on loopback only, which testcontainers itself cannot. */
class LocalContainer extends GenericContainer {
  id: string | undefined;

  get imageOf(): string {
    return this.imageName.string;
  }

  publish(inside: number, port: number): this {
    this.withExposedPorts({ container: inside, host: port });
    this.hostConfig.PortBindings = { [`${inside}/tcp`]: [{ HostIp: '127.0.0.1', HostPort: `${port}` }] };
    return this;
  }

  protected override async containerCreated(id: string): Promise<void> {
    this.id = id;
  }
}

export class ServerContainer {
  readonly host = '127.0.0.1';
  readonly port: number;
  readonly #kind: ServerKind;
  readonly #started: StartedTestContainer;

  private constructor(kind: ServerKind, started: StartedTestContainer, port: number) {
    this.#kind = kind;
    this.#started = started;
    this.port = port;
  }

  /** Resolves when the server does its work. */
  static async start(kind: ServerKind, options: ServerOptions): Promise<ServerContainer> {
    await requiredEngine();
    await sweep();
    const [port = 0] = kind.publishedPort === undefined ? await freePorts(1) : [kind.publishedPort];
    const container = describeContainer(kind, options, port);
    try {
      const server = new ServerContainer(kind, await container.start(), port);
      await server.#untilReady();
      return server;
    } catch (error) {
      throw await explained(error, container);
    }
  }

  get address(): string {
    return `${this.host}:${this.port}`;
  }

  /** SIGKILL, as when the machine loses its power, but for what the kernel still holds. It stays down until `start`. */
  async kill(): Promise<void> {
    const container = await this.#container();
    await container.kill({ signal: 'SIGKILL' });
    await container.wait();
  }

  /** In order: SIGTERM, and SIGKILL after half a minute. */
  async stop(): Promise<void> {
    await (await this.#container()).stop({ t: 30 });
  }

  /** Resolves when the server has ended by itself. */
  async ended(): Promise<void> {
    await (await this.#container()).wait();
  }

  /** The same container again, with its data and its address; resolves when the server does its work. */
  async start(): Promise<void> {
    await (await this.#container()).start();
    await this.#untilReady();
  }

  /** The server stands still; its connections stay open and silent. */
  async freeze(): Promise<void> {
    await (await this.#container()).pause();
  }

  async thaw(): Promise<void> {
    const container = await this.#container();
    await container.unpause();
    // The engine may still refuse commands in it for a moment.
    while ((await container.inspect()).State.Paused) await sleep(READY_POLL_MS);
  }

  /** Runs a command in the container and returns what it printed; throws when it fails. */
  async exec(...command: string[]): Promise<string> {
    const late = sleep(EXEC_MS_MAX, undefined, { ref: false }).then(() => {
      throw new Error(`${command.join(' ')} did not end within ${EXEC_MS_MAX} ms`);
    });
    const { exitCode, output } = await Promise.race([this.#started.exec(command), late]);
    if (exitCode !== 0) throw new Error(`${command.join(' ')} ended with ${exitCode}: ${output.trim()}`);
    return output;
  }

  /** A file of the container, also while the server is down. */
  async readFile(path: string): Promise<Buffer> {
    return fileOf(await this.#started.copyArchiveFromContainer(path));
  }

  /** Writes a file into the container, also while the server is down. */
  async writeFile(target: string, content: Buffer | string): Promise<void> {
    await this.#started.copyContentToContainer([{ content, target }]);
  }

  /** The last lines that the server wrote to its log. */
  async log(): Promise<string> {
    return lastLines(this.#started.getId());
  }

  /** Processor time of everything that has run in the container since it was started. */
  async cpuSeconds(): Promise<number> {
    const { cpu_stats } = await (await this.#container()).stats({ stream: false, 'one-shot': true });
    return cpu_stats.cpu_usage.total_usage / 1e9;
  }

  /** Removes the container with its data, whatever state it is in. */
  async remove(): Promise<void> {
    await (await this.#container()).remove({ force: true, v: true });
  }

  async #container() {
    return (await requiredEngine()).container.getById(this.#started.getId());
  }

  async #untilReady(): Promise<void> {
    const container = await this.#container();
    const deadline = performance.now() + READY_MS_MAX;
    while (!(await this.#kind.ready(this.port))) {
      const { State } = await container.inspect();
      if (!State.Running) throw new Error(`the server ended with ${State.ExitCode}`);
      if (performance.now() > deadline) throw new Error(`the server was not ready within ${READY_MS_MAX} ms`);
      await sleep(READY_POLL_MS);
    }
  }
}

function describeContainer(kind: ServerKind, options: ServerOptions, port: number): LocalContainer {
  const container = new LocalContainer(options.image ?? kind.image)
    .withLabels({ ...ownerLabels() })
    .withEnvironment({ ...kind.environment, ...options.environment })
    .withCopyContentToContainer([...(options.files ?? [])])
    .withBindMounts([...(options.mounts ?? [])])
    .withWaitStrategy(elsewhere);
  if (options.smallDisk !== undefined) container.withTmpFs({ [options.smallDisk.path]: `size=${options.smallDisk.megabytes}m` });
  const listen = options.hostNetwork ? { host: '127.0.0.1', port } : undefined;
  container.withCommand([...kind.command(listen), ...(options.flags ?? [])]);
  return options.hostNetwork ? container.withNetworkMode('host') : container.publish(kind.port, port);
}

/** Waiting is done by ServerContainer, which also does it after a `start`. */
const elsewhere = {
  waitUntilReady: async () => {},
  withStartupTimeout: () => elsewhere,
  isStartupTimeoutSet: () => false,
  getStartupTimeout: () => READY_MS_MAX,
};

async function explained(error: unknown, container: LocalContainer): Promise<Error> {
  const image = container.imageOf;
  const { message } = error as Error;
  if (container.id === undefined)
    return new Error(`${image} did not start: ${message}. Without a registry, .ci/images/ensure ${image} builds it`);
  const log = await lastLines(container.id);
  await (await requiredEngine()).container.getById(container.id).remove({ force: true, v: true });
  return new Error(`${image} did not start: ${message}. The end of its log:\n${log}`);
}

async function lastLines(id: string): Promise<string> {
  const { container } = await requiredEngine();
  const log = await container.getById(id).logs({ stdout: true, stderr: true, tail: LOG_LINES });
  return logText(log);
}

/** Docker's log comes in pieces, each with a head of eight bytes: the stream, three zeros, and the length of what follows. */
export function logText(log: Buffer): string {
  const pieces: Buffer[] = [];
  for (let at = 0; at + LOG_HEAD_BYTES <= log.length; ) {
    const end = at + LOG_HEAD_BYTES + log.readUInt32BE(at + 4);
    pieces.push(log.subarray(at + LOG_HEAD_BYTES, end));
    at = end;
  }
  return Buffer.concat(pieces).toString('utf8');
}
