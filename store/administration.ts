/**
 * What people do to a database before the daemons may use it. Each step is told as a line when it is done, or, in a dry run, when it would be. Embedded databases
 * need none of it: their daemons make what is missing.
 */
export interface DatabaseAdministration {
  /** In the master room: makes WMB's own tables and those of the schema file, where they are missing. */
  init(dryRun: boolean): AsyncIterable<string>;
  /** In a slave room: makes its server follow the master room's. */
  replicate(dryRun: boolean): AsyncIterable<string>;
}
