/** The files of a room's TLS identity, as servers, diallers and the command line need them. */
import { readFileSync } from 'node:fs';
import type { TlsFiles } from '../core/config/types.ts';
import { WmbError } from '../core/errors.ts';

/** PEM. */
export interface TlsPems {
  readonly ca: Buffer;
  readonly cert: Buffer;
  readonly key: Buffer;
}

/** CONFIG_UNREADABLE, with the file that cannot be read. */
export function readTls(files: TlsFiles): TlsPems {
  return { ca: readPem(files.caFile), cert: readPem(files.certFile), key: readPem(files.keyFile) };
}

function readPem(file: string): Buffer {
  try {
    return readFileSync(file);
  } catch (cause) {
    throw new WmbError('CONFIG_UNREADABLE', `the TLS file ${file} cannot be read (${(cause as NodeJS.ErrnoException).code})`, { cause });
  }
}
