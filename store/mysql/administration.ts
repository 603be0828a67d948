/** What people do to a server of MySQL or MariaDB. */
import { WmbError } from '../../core/errors.ts';
import type { Runtime } from '../../core/runtime.ts';
import type { RoomId } from '../../core/words.ts';
import type { DatabaseAdministration } from '../administration.ts';
import { initDatabase } from './init.ts';
import { replicateDatabase, type Source } from './replicate.ts';
import type { ServerAddress } from './session.ts';

export interface AdministrationOptions {
  /** With the user who may make tables and set up replication. */
  readonly server: ServerAddress & { readonly schema: string };
  readonly master: RoomId;
  /** The topology has slave rooms. */
  readonly replicates: boolean;
  readonly schemaFile: string | undefined;
  /** Whom a slave follows; undefined where the configuration does not say. */
  readonly replication: Source | undefined;
  readonly runtime: Runtime;
}

export class MysqlAdministration implements DatabaseAdministration {
  readonly #options: AdministrationOptions;

  constructor(options: AdministrationOptions) {
    this.#options = options;
  }

  init(dryRun: boolean): AsyncIterable<string> {
    return initDatabase({ ...this.#options, dryRun });
  }

  replicate(dryRun: boolean): AsyncIterable<string> {
    const { server, replication, runtime } = this.#options;
    if (replication === undefined) {
      throw new WmbError(
        'CONFIG_INVALID',
        'the room’s file has no database.replication: it names the master’s server and a user for replication',
      );
    }
    return replicateDatabase({ server, source: replication, dryRun, runtime });
  }
}
