/** `npm run soak`: whether the checkers stay silent where nothing is wrong, whatever else happens, and speak where something is. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { asWmbError, ERRORS, EXIT, WmbError } from '../../core/errors.ts';
import { type SoakOptions, soak } from './soak.ts';

const USAGE = `Usage: npm run soak -- [options]

  --minutes N                 of traffic and trouble (default 30)
  --rooms N                   2 to 5 rooms (default 2)
  --mode MODE                 independent or master-slave (default independent)
  --rate WRITES_PER_SECOND    into each room (default 2000)
  --seed N                    of the traffic and the troubles (default: another each time; it is printed)
  --help                      this page

Exit codes: 0 no drift but those that were made; 2 wrong option; 7 a drift that nobody made, or one that was not found; 130 interrupted.
`;

function readOptions(args: readonly string[]): Omit<SoakOptions, 'directory' | 'signal' | 'say'> & { readonly help: boolean } {
  const { minutes, rooms, mode, rate, seed, help } = parse(args);
  const number = (name: string, text: string, isRight: (value: number) => boolean, what: string) => {
    if (!isRight(Number(text))) throw new WmbError('USAGE', `--${name} is ${text}; it must be ${what}`);
    return Number(text);
  };
  if (mode !== 'independent' && mode !== 'master-slave')
    throw new WmbError('USAGE', `--mode is ${mode}; it must be independent or master-slave`);
  return {
    minutes: number('minutes', minutes, (value) => value > 0, 'a number above 0'),
    rooms: number('rooms', rooms, (value) => Number.isInteger(value) && value >= 2 && value <= 5, '2 to 5'),
    mode,
    perSecond: number('rate', rate, (value) => value >= 1, 'a number of write requests per second, 1 or more'),
    seed: number('seed', seed, (value) => Number.isSafeInteger(value) && value >= 0, 'a whole number'),
    help,
  };
}

function parse(args: readonly string[]) {
  try {
    return parseArgs({
      args: [...args],
      options: {
        minutes: { type: 'string', default: '30' },
        rooms: { type: 'string', default: '2' },
        mode: { type: 'string', default: 'independent' },
        rate: { type: 'string', default: '2000' },
        seed: { type: 'string', default: String(Date.now() % 1_000_000) },
        help: { type: 'boolean', default: false },
      },
    }).values;
  } catch (cause) {
    throw new WmbError('USAGE', (cause as Error).message, { cause });
  }
}

async function main(): Promise<number> {
  const { help, ...options } = readOptions(process.argv.slice(2));
  const say = (line: string) => void process.stdout.write(`${line}\n`);
  if (help) {
    say(USAGE);
    return EXIT.ok;
  }
  const interrupted = new AbortController();
  for (const signal of ['SIGINT', 'SIGTERM'] as const)
    process.on(signal, () => {
      if (interrupted.signal.aborted) process.exit(130);
      say('interrupted: stopping (once more: at once)');
      interrupted.abort();
    });
  const directory = mkdtempSync(join(tmpdir(), 'wmb-soak-'));
  say(
    `seed ${options.seed}, ${options.rooms} rooms, ${options.mode}, ${options.perSecond} writes/s into each, ${options.minutes} min; data and logs in ${directory}`,
  );
  const failures = await soak({ ...options, directory, signal: interrupted.signal, say });
  for (const failure of failures) say(`✗ ${failure}`);
  if (failures.length > 0) return EXIT.difference;
  rmSync(directory, { recursive: true, force: true });
  if (interrupted.signal.aborted) return 130;
  say('No drift but those that were made; those were found, repaired and verified.');
  return EXIT.ok;
}

try {
  process.exit(await main());
} catch (cause) {
  const error = asWmbError(cause);
  process.stderr.write(`soak: ${error.code === 'INTERNAL' ? (error.stack ?? error.message) : `${error.code}: ${error.message}`}\n`);
  process.exit(ERRORS[error.code].exit);
}
