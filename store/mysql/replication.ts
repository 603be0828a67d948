/** The heartbeat of a master's database, and what a slave's server says of how it follows, each over a connection of its own. */
import { WmbError } from '../../core/errors.ts';
import type { Runtime } from '../../core/runtime.ts';
import type { ReplicaStatus, Replication } from '../replica.ts';
import { type Dialect, dialectOf } from './dialect.ts';
import { storeError } from './errors.ts';
import { readHeartbeat, readIds, readThreads, replicaStatus } from './replica.ts';
import type { Source } from './replicate.ts';
import { placeOf, type ServerAddress, Session } from './session.ts';

export interface MysqlReplicationOptions {
  readonly server: ServerAddress & { readonly schema: string };
  /** In a slave room, where the configuration names it: the master's server is asked what it has committed. */
  readonly source: Source | undefined;
  readonly runtime: Runtime;
}

/** A master that cannot be reached from here is not tried at every look. */
const SOURCE_PAUSE_MS = 10_000;

export class MysqlReplication implements Replication {
  readonly #options: MysqlReplicationOptions;
  readonly #place: string;
  #session: Session | undefined;
  #source: Session | undefined;
  #dialect: Dialect | undefined;
  #sourceFromMs = 0;

  constructor(options: MysqlReplicationOptions) {
    this.#options = options;
    this.#place = placeOf(options.server);
  }

  beat(nowMs: number): Promise<void> {
    return this.#guard(async (session) => {
      await session.query(`REPLACE INTO wmb_heartbeat VALUES (1, ${Math.floor(nowMs)})`);
    });
  }

  status(): Promise<ReplicaStatus> {
    return this.#guard(async (session) => {
      const dialect = await this.#dialectOf(session);
      const threads = await readThreads(session, dialect);
      const here = await readIds(session, dialect);
      const heartbeatMs = await readHeartbeat(session);
      const source = await this.#openSource();
      const master = source === undefined ? undefined : await readIds(source, dialect).catch(() => undefined);
      return replicaStatus(dialect, { threads, here, master, heartbeatMs });
    });
  }

  async close(): Promise<void> {
    await this.#session?.close();
    await this.#source?.close();
  }

  async #guard<T>(work: (session: Session) => Promise<T>): Promise<T> {
    try {
      if (!this.#session?.isOpen) this.#session = await Session.open(this.#options.server, this.#options.runtime);
      return await work(this.#session);
    } catch (cause) {
      const error = storeError(cause, this.#place);
      // What is granted meanwhile holds for new connections only.
      if (error instanceof WmbError && error.code === 'STORE_DENIED') await this.#session?.close();
      throw error;
    }
  }

  async #dialectOf(session: Session): Promise<Dialect> {
    this.#dialect ??= dialectOf(String((await session.rows('SELECT VERSION() AS version'))[0]?.version));
    return this.#dialect;
  }

  async #openSource(): Promise<Session | undefined> {
    const { server, source, runtime } = this.#options;
    if (this.#source?.isOpen || source === undefined || runtime.monotonicMs() < this.#sourceFromMs)
      return this.#source?.isOpen ? this.#source : undefined;
    try {
      const { user, password } = source;
      this.#source = await Session.open({ ...server, address: source.source, schema: undefined, user, password }, runtime);
    } catch {
      this.#source = undefined;
      this.#sourceFromMs = runtime.monotonicMs() + SOURCE_PAUSE_MS;
    }
    return this.#source;
  }
}
