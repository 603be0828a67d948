/**
 * A processor turns a write request into effects: cache commands in Redis' own spelling (the same for every language) and, for the
 * master room, database statements. It is a pure function of the write request: every room calls it and must get the same result.
 */
import type { Statement } from '../../store/database.ts';

export interface ProcessorInput {
  readonly requestId: string;
  readonly kind: string;
  readonly key: string;
  readonly payload: Uint8Array;
  readonly stamp: string;
  /** The stamp's milliseconds since 1970: the only clock that a processor may use. */
  readonly stampMs: number;
  readonly trace: string;
  /** The payload parsed as JSON. */
  json(): unknown;
}

/** `['HSET', 'unread:7', '12', 1]`; numbers are written in decimal. */
export type CacheCommand = readonly (string | number)[];

export interface ProcessorOutput {
  readonly cache?: readonly CacheCommand[];
  readonly database?: readonly Statement[];
}

export type ProcessFunction = (write: ProcessorInput) => ProcessorOutput | Promise<ProcessorOutput>;

export interface ProcessorModule {
  readonly kinds: Readonly<Record<string, ProcessFunction>>;
}

/** What a processor module exports as `processor`. It gives the functions their types and nothing else. */
export function defineProcessor(kinds: Readonly<Record<string, ProcessFunction>>): ProcessorModule {
  return { kinds };
}
