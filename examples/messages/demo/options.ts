/** The command line of the demo. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { WmbError } from '../../../core/errors.ts';
import type { WriteRequest } from '../../../proto/gen/wmb/v1/writes.ts';
import { read, roomOfUser } from '../reader.ts';

export const USAGE = `Usage: npm run demo -- [options]

  --rooms N                   2 to 5 rooms; the first is the master (default 2)
  --mode MODE                 independent or master-slave (default independent)
  --file FILE                 lines of "src dst unixtime" (default: the CollegeMsg messages)
  --rate WRITES_PER_SECOND    into each room (default 1500)
  --keep                      keep data and logs afterwards
  --help                      this page

Exit codes: 0 every claim was checked and holds; 2 wrong option; 5 the file is no list of messages; 7 a check failed.
`;

export interface DemoOptions {
  readonly rooms: number;
  readonly mode: 'independent' | 'master-slave';
  readonly file: string;
  /** Write requests per second into each room. */
  readonly rate: number;
  readonly keep: boolean;
  readonly help: boolean;
}

/** USAGE, with the option that is wrong. */
export function readOptions(args: readonly string[], home: string): DemoOptions {
  const { rooms, mode, rate, ...rest } = parse(args, home);
  const count = Number(rooms);
  if (!Number.isInteger(count) || count < 2 || count > 5) throw usage(`--rooms is ${rooms}; it must be 2 to 5`);
  if (mode !== 'independent' && mode !== 'master-slave') throw usage(`--mode is ${mode}; it must be independent or master-slave`);
  if (!(Number(rate) >= 1)) throw usage(`--rate is ${rate}; it must be a number of write requests per second, 1 or more`);
  return { ...rest, rooms: count, mode, rate: Number(rate) };
}

function parse(args: readonly string[], home: string) {
  try {
    return parseArgs({
      args: [...args],
      options: {
        rooms: { type: 'string', default: '2' },
        mode: { type: 'string', default: 'independent' },
        file: { type: 'string', default: join(home, 'CollegeMsg.txt') },
        rate: { type: 'string', default: '1500' },
        keep: { type: 'boolean', default: false },
        help: { type: 'boolean', default: false },
      },
    }).values;
  } catch (cause) {
    throw usage((cause as Error).message);
  }
}

/** The file, and one list of write requests per room, in the order of the file. USAGE, WRITE_INVALID. */
export function readWrites({ file, rooms }: DemoOptions): { readonly text: string; readonly lists: readonly (readonly WriteRequest[])[] } {
  const text = readText(file);
  const lists: WriteRequest[][] = Array.from({ length: rooms }, () => []);
  for (const [index, line] of text.split('\n').entries()) {
    const write = readLine(file, line, index + 1);
    if (write === undefined) continue;
    lists[roomOfUser(write.payload.from, rooms)]?.push({ ...write, payload: Buffer.from(JSON.stringify(write.payload)), traceparent: '' });
  }
  if (lists.every((list) => list.length === 0)) throw new WmbError('WRITE_INVALID', `${file} holds no messages`);
  return { text, lists };
}

function readText(file: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch (cause) {
    throw usage(`--file ${file} cannot be read (${(cause as NodeJS.ErrnoException).code})`);
  }
}

function readLine(file: string, line: string, number: number): ReturnType<typeof read> {
  try {
    return read(line, number);
  } catch (cause) {
    throw new WmbError('WRITE_INVALID', `${file}: ${(cause as Error).message}`);
  }
}

function usage(message: string): WmbError {
  return new WmbError('USAGE', message);
}
