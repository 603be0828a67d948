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

/** The same for a cache on servers. */
export interface CacheAdministration {
  /** Checks the servers and makes what the daemons need of them. */
  init(dryRun: boolean): AsyncIterable<string>;
  inspect(key: string): Promise<CacheKeyView>;
  /** Looks at about `keysMax` keys of each server. */
  footprint(keysMax: number): Promise<readonly CacheNodeFootprint[]>;
}

/** What is stored of a key, in the application's key and beside it. */
export interface CacheKeyView {
  readonly key: string;
  /** Address of the server that has it. */
  readonly node: string;
  /** As the server's TYPE; `none`. */
  readonly type: string;
  readonly elements: number;
  /** 0: none. */
  readonly expireAtMs: number;
  readonly dataKey: string;
  /** The hash that has its head. */
  readonly headKey: string;
  /** In words. */
  readonly head: string;
  readonly versions: readonly { readonly name: string; readonly text: string }[];
  readonly expiries: readonly { readonly version: string; readonly atMs: number }[];
}

export interface CacheNodeFootprint {
  readonly node: string;
  /** There are more keys than were looked at. */
  readonly isSampled: boolean;
  readonly keys: number;
  readonly dataBytesPerKey: number;
  /** What WMB remembers of a plain string. */
  readonly headBytesPerKey: number;
  /** What it remembers of elements, over all keys. */
  readonly elementBytesPerKey: number;
}
