/** What people do to a server of MySQL or MariaDB. */
import type { RoomId } from '../../core/words.ts';
import type { DatabaseAdministration } from '../administration.ts';
import { initDatabase } from './init.ts';
import type { ServerAddress } from './session.ts';

export interface AdministrationOptions {
  /** With the user who may make tables and set up replication. */
  readonly server: ServerAddress & { readonly schema: string };
  readonly master: RoomId;
  /** The topology has slave rooms. */
  readonly replicates: boolean;
  readonly schemaFile: string | undefined;
}

export class MysqlAdministration implements DatabaseAdministration {
  readonly #options: AdministrationOptions;

  constructor(options: AdministrationOptions) {
    this.#options = options;
  }

  init(dryRun: boolean): AsyncIterable<string> {
    return initDatabase({ ...this.#options, dryRun });
  }
}
