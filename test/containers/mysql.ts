/** MySQL and MariaDB in containers, with a binary log and GTIDs. */
import { createConnection } from 'mysql2/promise';
import { ServerContainer, type ServerKind, type ServerOptions } from './server.ts';

const PORT = 3306;
const ANSWER_MS_MAX = 2_000;
const ROOT = { user: 'root', password: 'root-Secret-1' } as const;

export interface SqlServer {
  readonly container: ServerContainer;
  readonly host: string;
  readonly port: number;
  readonly address: string;
  /** May do everything, from everywhere. */
  readonly user: string;
  readonly password: string;
  remove(): Promise<void>;
}

export interface SqlServerOptions extends ServerOptions {
  /** Of its own where one server replicates from another. */
  readonly serverId?: number;
}

export function startMysql(options: SqlServerOptions = {}): Promise<SqlServer> {
  const flags = ['--gtid-mode=ON', '--enforce-gtid-consistency=ON', '--mysqlx=OFF'];
  return startServer({ image: 'mysql:9', environment: { MYSQL_ROOT_PASSWORD: ROOT.password }, flags }, options);
}

export function startMariadb(options: SqlServerOptions = {}): Promise<SqlServer> {
  const flags = ['--log-bin', '--gtid-strict-mode=ON', '--binlog-format=ROW'];
  return startServer({ image: 'mariadb:11', environment: { MARIADB_ROOT_PASSWORD: ROOT.password }, flags }, options);
}

interface Product {
  readonly image: string;
  readonly environment: Readonly<Record<string, string>>;
  readonly flags: readonly string[];
}

async function startServer(product: Product, options: SqlServerOptions): Promise<SqlServer> {
  const container = await ServerContainer.start(sqlKind(product, options.serverId ?? 1), options);
  const { host, port, address } = container;
  return { container, host, port, address, ...ROOT, remove: () => container.remove() };
}

function sqlKind({ image, environment, flags }: Product, serverId: number): ServerKind {
  return {
    image,
    environment,
    port: PORT,
    ready: answers,
    command: (listen) => {
      const where = listen ? [`--bind-address=${listen.host}`, `--port=${listen.port}`] : [];
      return [`--server-id=${serverId}`, '--skip-name-resolve', ...flags, ...where];
    },
  };
}

/** A statement of root's has a result. Before that, the first start still makes its users. */
async function answers(port: number): Promise<boolean> {
  try {
    const connection = await createConnection({ host: '127.0.0.1', port, ...ROOT, connectTimeout: ANSWER_MS_MAX });
    connection.on('error', () => {});
    try {
      await connection.query({ sql: 'SELECT 1', timeout: ANSWER_MS_MAX });
      return true;
    } finally {
      connection.destroy();
    }
  } catch {
    return false;
  }
}
