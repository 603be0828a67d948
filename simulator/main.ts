/** `npm run sim -- --seeds N [--from N]` hunts; `npm run sim -- --seed N --trace` replays; `npm run sim -- --mutations` shows that a hunt would find something. */
import { parseArgs } from 'node:util';
import { EXIT } from '../core/errors.ts';
import { CHECKER_MUTATIONS } from './checker-mutations.ts';
import { COPY_MUTATIONS } from './copy-mutations.ts';
import { MUTATIONS, type Mutation } from './mutations.ts';
import { EMPTIED, EMPTIED_SLAVE, type Plan } from './plan.ts';
import { type RunResult, run } from './run.ts';

const USAGE = `Usage: npm run sim -- [options]

  --seeds N     run N seeds (default 100)
  --from N      the first of them (default 1)
  --seed N      run one seed
  --trace       print everything that happens
  --keep-going  do not stop at the first failure
  --emptied     of a family of its own: caches are emptied after the logs were trimmed
  --emptied-slave  the same in master–slave topologies
  --mutations   switch the guards off, one at a time, and say which seed finds it

Exit code 0 where every invariant held, 7 where one did not or a mutation was not found, 2 where the command line is wrong.
`;
const PROGRESS_EVERY = 50;
/** Every mutation is found within so many seeds. */
const MUTATION_SEEDS_MAX = 200;

const write = (line: string): void => void process.stdout.write(`${line}\n`);

async function main(): Promise<number> {
  const { values } = parseArgs({
    options: {
      seeds: { type: 'string', default: '100' },
      from: { type: 'string', default: '1' },
      seed: { type: 'string' },
      trace: { type: 'boolean', default: false },
      'keep-going': { type: 'boolean', default: false },
      emptied: { type: 'boolean', default: false },
      'emptied-slave': { type: 'boolean', default: false },
      mutations: { type: 'boolean', default: false },
      help: { type: 'boolean', default: false },
    },
  });
  if (values.help) {
    process.stdout.write(USAGE);
    return EXIT.ok;
  }
  if (values.mutations) return findMutations();
  const from = Number(values.seed ?? values.from);
  const count = values.seed === undefined ? Number(values.seeds) : 1;
  if (!Number.isSafeInteger(from) || !Number.isSafeInteger(count) || count < 1) throw new TypeError('seeds are whole numbers');
  return hunt({
    from,
    count,
    show: values.trace ? write : undefined,
    keepGoing: values['keep-going'],
    plan: values['emptied-slave'] ? EMPTIED_SLAVE : values.emptied ? EMPTIED : {},
  });
}

async function hunt(options: {
  from: number;
  count: number;
  show: ((line: string) => void) | undefined;
  keepGoing: boolean;
  plan: Partial<Plan>;
}): Promise<number> {
  const { from, count, show, keepGoing, plan } = options;
  let failed = 0;
  let acked = 0;
  let runMs = 0;
  for (let seed = from; seed < from + count; seed += 1) {
    const result = await run(show === undefined ? { seed, plan } : { seed, plan, show });
    acked += result.acked;
    runMs += result.runMs;
    if (result.failure !== undefined) {
      failed += 1;
      report(result);
      if (!keepGoing) return EXIT.difference;
    }
    const done = seed - from + 1;
    if (count === 1)
      write(`seed ${seed}: ${result.acked} writes acked in ${Math.round(runMs / 1_000)} s of virtual time, trace ${result.hash}`);
    else if (done % PROGRESS_EVERY === 0 || done === count)
      write(`${done} of ${count} seeds, ${acked} writes acked, ${Math.round(runMs / 60_000)} min of virtual time, ${failed} failed`);
  }
  return failed === 0 ? EXIT.ok : EXIT.difference;
}

async function findMutations(): Promise<number> {
  let exitCode: number = EXIT.ok;
  for (const mutation of [...MUTATIONS, ...CHECKER_MUTATIONS, ...COPY_MUTATIONS]) {
    const { seed, failure } = await firstFailure(mutation);
    const isFound = failure !== undefined && mutation.breaks.includes(failure.invariant);
    if (!isFound) exitCode = EXIT.difference;
    write(`${isFound ? 'found' : 'NOT FOUND'} by seed ${seed} as ${failure?.invariant ?? 'nothing'}: ${mutation.name}`);
    if (failure !== undefined) write(`  expected ${failure.expected}; found ${failure.found}`);
  }
  return exitCode;
}

/** The last run where none failed. */
async function firstFailure({ make, plan }: Mutation): Promise<RunResult> {
  for (let seed = 1; ; seed += 1) {
    const result = await run({ seed, injection: make(), ...(plan && { plan }) });
    if (result.failure !== undefined || seed === MUTATION_SEEDS_MAX) return result;
  }
}

function report({ seed, failure, hash, plan }: RunResult): void {
  write(`seed ${seed} broke ${failure?.invariant}`);
  write(`  expected: ${failure?.expected}`);
  write(`  found:    ${failure?.found}`);
  write(`  plan:     ${JSON.stringify(plan)}`);
  write(`  replay:   npm run sim -- --seed ${seed} --trace      (trace ${hash})`);
}

try {
  process.exitCode = await main();
} catch (cause) {
  process.stderr.write(`${cause instanceof Error ? cause.message : String(cause)}\n\n${USAGE}`);
  process.exitCode = cause instanceof TypeError ? EXIT.usage : EXIT.internal;
}
