/** Redis, or Valkey, in a container. */
import { connect } from 'node:net';
import { connect as connectTls } from 'node:tls';
import { type ContainerFile, ServerContainer, type ServerKind, type ServerOptions } from './server.ts';

const IMAGE = 'redis:8';
const PORT = 6379;
const ANSWER_MS_MAX = 1_000;
const SNAPSHOT = '/data/dump.rdb';

export interface RedisOptions extends ServerOptions {
  /** Asked of every client; without it, none is. */
  readonly password?: string;
  /** What the server begins with: a snapshot that `RedisServer.snapshot` took. */
  readonly snapshot?: Buffer;
  /** It speaks nothing else then. */
  readonly tls?: RedisTls;
}

export interface RedisTls {
  readonly ca: Buffer;
  /** The server's. */
  readonly cert: Buffer;
  readonly key: Buffer;
  /** Its clients have to show a certificate of the same authority. */
  readonly asksClients?: boolean;
}

export interface RedisServer {
  readonly container: ServerContainer;
  readonly host: string;
  readonly port: number;
  readonly address: string;
  readonly password: string | undefined;
  /** Runs one command by the server's own command line and returns what it printed. */
  cli(...command: string[]): Promise<string>;
  /** Writes everything to disk and returns it. */
  snapshot(): Promise<Buffer>;
  /** Kills the server and starts it again with what `snapshot` returned earlier. Not with `--appendonly yes`, where the snapshot would not be read. */
  restore(snapshot: Buffer): Promise<void>;
  remove(): Promise<void>;
}

/** Without flags, nothing is written to disk but by `snapshot`. Another image: `{ image: 'valkey/valkey:8' }`. */
export async function startRedis(options: RedisOptions = {}): Promise<RedisServer> {
  const { password } = options;
  const files = [...tlsFiles(options.tls), ...(options.snapshot === undefined ? [] : [{ content: options.snapshot, target: SNAPSHOT }])];
  const container = await ServerContainer.start(redisKind(options), { ...options, files: [...(options.files ?? []), ...files] });
  const cli = async (...command: string[]) => {
    const where = [
      ...(options.tls ? TLS_CLIENT : []),
      '-p',
      `${options.hostNetwork ? container.port : PORT}`,
      ...(password ? ['--no-auth-warning', '-a', password] : []),
    ];
    return (await container.exec(`${product(options.image)}-cli`, ...where, ...command)).trim();
  };
  return {
    container,
    host: container.host,
    port: container.port,
    address: container.address,
    password,
    cli,
    async snapshot() {
      await cli('SAVE');
      return container.readFile(SNAPSHOT);
    },
    async restore(snapshot) {
      await container.kill();
      await container.writeFile(SNAPSHOT, snapshot);
      await container.start();
    },
    remove: () => container.remove(),
  };
}

const [CA, CERT, PRIVATE] = ['/tls/ca.pem', '/tls/server.pem', '/tls/server.key'] as const;
const TLS_CLIENT = ['--tls', '--cacert', CA, '--cert', CERT, '--key', PRIVATE];

function tlsFiles(tls: RedisTls | undefined): readonly ContainerFile[] {
  if (tls === undefined) return [];
  return [
    { content: tls.ca, target: CA },
    { content: tls.cert, target: CERT },
    { content: tls.key, target: PRIVATE },
  ];
}

function tlsFlags(port: number, { asksClients = false }: RedisTls): readonly string[] {
  const files = ['--tls-ca-cert-file', CA, '--tls-cert-file', CERT, '--tls-key-file', PRIVATE];
  return ['--port', '0', '--tls-port', `${port}`, ...files, '--tls-auth-clients', asksClients ? 'yes' : 'no'];
}

function redisKind({ image = IMAGE, password, tls }: RedisOptions): ServerKind {
  const secret = password ? ['--requirepass', password] : [];
  return {
    image,
    environment: {},
    port: PORT,
    ready: (port) => answers(port, tls),
    command: (listen) => {
      const where = listen ? ['--bind', listen.host, '--port', `${listen.port}`] : [];
      const secured = tls === undefined ? [] : tlsFlags(listen?.port ?? PORT, tls);
      return [`${product(image)}-server`, '--save', '', ...where, ...secured, ...secret];
    },
  };
}

function product(image = IMAGE): 'redis' | 'valkey' {
  return image.startsWith('valkey') ? 'valkey' : 'redis';
}

/** PONG, or that a password is wanted. A server that is still loading says so instead. */
async function answers(port: number, tls: RedisTls | undefined): Promise<boolean> {
  const where = { host: '127.0.0.1', port };
  const socket = tls === undefined ? connect(where) : connectTls({ ...where, ...tls, rejectUnauthorized: false });
  socket.setTimeout(ANSWER_MS_MAX, () => socket.destroy(new Error('silent')));
  try {
    socket.write('PING\r\n');
    // Docker's proxy takes connections before there is a server, and closes them.
    for await (const answer of socket) return /^(\+PONG|-NOAUTH)/.test((answer as Buffer).toString('latin1'));
    return false;
  } catch {
    return false;
  } finally {
    socket.destroy();
  }
}
