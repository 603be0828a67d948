/**
 * Where `wmb replay` gets write requests from: NDJSON, or any text file with a reader module. A reader module exports
 *
 *     read(line, lineNumber): { requestId?, kind, key, payload | payloadBase64, traceparent? } | undefined
 *     roomOf?(write, rooms): which of the room ids the write request is submitted in
 *
 * `undefined` skips the line (a header). A line number counts from 1.
 */
import { constants, createReadStream } from 'node:fs';
import { access, stat } from 'node:fs/promises';
import { resolve } from 'node:path';
import { createInterface } from 'node:readline';
import { pathToFileURL } from 'node:url';
import { WmbError } from '../../core/errors.ts';
import type { RoomId } from '../../core/words.ts';
import { parseWriteJson, writeFromJson } from '../../core/write-json.ts';
import type { WriteRequest } from '../../proto/gen/wmb/v1/writes.ts';
import { toWire } from '../wire-write.ts';

export interface ReaderModule {
  read(line: string, lineNumber: number): unknown;
  roomOf?(write: unknown, rooms: readonly RoomId[]): RoomId;
}

export interface ReadWrite {
  readonly lineNumber: number;
  readonly write: WriteRequest;
  /** Where the reader wants it; undefined: wherever the command says. */
  readonly room: RoomId | undefined;
}

export const ndjsonReader: ReaderModule = {
  read: (line) => (line.trim() === '' ? undefined : parseWriteJson(line)),
};

export async function loadReader(file: string): Promise<ReaderModule> {
  const module = (await import(pathToFileURL(resolve(file)).href).catch((cause: Error) => {
    throw new WmbError('USAGE', `the reader module ${file} cannot be loaded: ${cause.message}`, { cause });
  })) as Partial<ReaderModule>;
  if (typeof module.read !== 'function') throw new WmbError('USAGE', `the reader module ${file} does not export a function named read`);
  return module as ReaderModule;
}

/** The write requests of a file, or of stdin (`-`), in order. What is wrong in a line is thrown with the line named. */
export async function* readWrites(file: string, reader: ReaderModule, rooms: readonly RoomId[]): AsyncGenerator<ReadWrite> {
  if (file !== '-') await checkReadable(file);
  const lines = createInterface({ input: file === '-' ? process.stdin : createReadStream(file), crlfDelay: Number.POSITIVE_INFINITY });
  let lineNumber = 0;
  try {
    for await (const line of lines) {
      lineNumber += 1;
      const item = readLine({ line, lineNumber, reader, rooms });
      if (item !== undefined) yield item;
    }
  } finally {
    lines.close();
  }
}

async function checkReadable(file: string): Promise<void> {
  const unreadable = (cause: NodeJS.ErrnoException) => {
    throw new WmbError('USAGE', `${file} cannot be read (${cause.code})`, { cause });
  };
  await access(file, constants.R_OK).catch(unreadable);
  if ((await stat(file).catch(unreadable)).isDirectory())
    throw new WmbError('USAGE', `${file} is a directory; name a file, or - for stdin`);
}

interface Line {
  readonly line: string;
  readonly lineNumber: number;
  readonly reader: ReaderModule;
  readonly rooms: readonly RoomId[];
}

function readLine({ line, lineNumber, reader, rooms }: Line): ReadWrite | undefined {
  try {
    const value = reader.read(line, lineNumber);
    if (value === undefined) return undefined;
    const room = reader.roomOf?.(value, rooms);
    if (room !== undefined && !rooms.includes(room)) throw new WmbError('ROOM_UNKNOWN', `the reader names the room “${room}”`);
    return { lineNumber, write: toWire(writeFromJson(value)), room };
  } catch (cause) {
    const code = cause instanceof WmbError ? cause.code : 'WRITE_INVALID';
    const { message } = cause as Error;
    // A reader may have named the line itself.
    throw new WmbError(code, message.startsWith(`line ${lineNumber}`) ? message : `line ${lineNumber}: ${message}`, { cause });
  }
}
