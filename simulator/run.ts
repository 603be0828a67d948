/** One run of one seed: rounds of traffic and trouble, each followed by healing, rest, and a look at everything. */

import { type Failure, failure } from './checks/failure.ts';
import { checkRest, underWay } from './checks/rest.ts';
import { heal, makeTrouble, resumeLinks, retryParked } from './faults.ts';
import { harm } from './made.ts';
import { checkerPlanOf, type Plan, planOf } from './plan.ts';
import { Random } from './random.ts';
import { checkStrangers } from './strangers.ts';
import { Trace } from './trace.ts';
import { checkDrifts, checkRepaired, checkSilence, repairAll } from './trials.ts';
import type { Injection } from './wiring.ts';
import { Workload } from './workload.ts';
import { World } from './world.ts';

export interface RunOptions {
  readonly seed: number;
  readonly injection?: Injection;
  /** Is given every line of the trace. */
  readonly show?: (line: string) => void;
  /** Replaces parts of what the seed would make of the plan. */
  readonly plan?: Partial<Plan>;
}

export interface RunResult {
  readonly seed: number;
  readonly failure: Failure | undefined;
  /** Of the trace: the same seed gives the same. */
  readonly hash: string;
  readonly plan: Plan;
  readonly acked: number;
  readonly runMs: number;
}

/** Longest that the rooms may take to come to rest after everything is healed. */
const REST_MS_MAX = 120_000;
const LOOK_MS = 500;
/** After rest: time for floors to pass and caches to be swept. */
const SWEEP_MS = 6_000;
const BOUNDS_MS = 50;
/** Away from the seeds of runs. */
const CHECKER_SEEDS = 2 ** 40;

export async function run(options: RunOptions): Promise<RunResult> {
  const random = new Random(options.seed);
  const plan: Plan = { ...planOf(random), ...checkerPlanOf(new Random(options.seed + CHECKER_SEEDS)), ...options.plan };
  const trace = new Trace(options.show);
  const world = new World({ plan, random, trace, injection: options.injection ?? {} });
  world.tell(`seed ${options.seed}: ${JSON.stringify(plan)}`);
  await rounds(world).catch((cause) => world.note(failure('L', 'the run comes to its end', String(cause?.stack ?? cause))));
  const { failure: failed, clock, watch } = world;
  for (const room of world.rooms) for (const life of [...room.lives.values()]) life.end();
  return { seed: options.seed, failure: failed, hash: trace.digest(), plan, acked: watch.acked, runMs: clock.runMs };
}

async function rounds(world: World): Promise<void> {
  const { plan, random, clock } = world;
  const stop = () => world.failure !== undefined;
  for (const room of world.rooms) {
    room.clock.offsetMs = random.int(-plan.clockMsMax, plan.clockMsMax) / 2;
    for (const daemon of world.daemons) world.start(room, daemon);
  }
  const workload = new Workload(world);
  watchBounds(world);
  for (let round = 0; round < plan.rounds && !stop(); round += 1) {
    world.poison.setMended(false);
    workload.begin(plan.roughMs);
    makeTrouble(world, plan.roughMs);
    await clock.run(plan.roughMs, stop);
    heal(world);
    await rest(world, workload);
    if (stop()) return;
    await checkRest(world);
    await clock.run(SWEEP_MS, stop);
    await checkRest(world);
    world.quiet = false;
    if (!plan.checked || stop()) continue;
    for (let harms = 0; harms < plan.harms; harms += 1) await harm(world, random.pick(world.rooms), true);
    await checkDrifts(world);
  }
  if (plan.checked && !stop()) await trials(world, workload);
}

async function trials(world: World, workload: Workload): Promise<void> {
  const stop = () => world.failure !== undefined;
  await checkSilence(world);
  if (stop()) return;
  await checkStrangers(world);
  if (stop()) return;
  await repairAll(world, workload);
  if (stop()) return;
  await rest(world, workload);
  if (stop()) return;
  await checkRest(world, true);
  world.quiet = false;
  if (!stop()) await checkRepaired(world);
}

async function rest(world: World, workload: Workload): Promise<void> {
  const { clock } = world;
  const stop = () => world.failure !== undefined;
  let why: string | undefined = 'nobody looked';
  world.quiet = true;
  for (let waitedMs = 0; waitedMs < REST_MS_MAX; waitedMs += LOOK_MS) {
    await clock.run(LOOK_MS, stop);
    if (stop()) return;
    resumeLinks(world);
    why = workload.idle ? await underWay(world) : 'applications wait for answers';
    if (why === undefined) return;
    for (const room of world.rooms) if (room.disks.book.parkedTotal() > 0 && waitedMs % 2_000 === 0) void retryParked(world, room);
  }
  world.fail('L', `the rooms come to rest within ${REST_MS_MAX} ms after everything is healed`, why ?? '');
}

function watchBounds(world: World): void {
  for (const room of world.rooms) world.watch.bounded(room);
  world.clock.after(BOUNDS_MS, () => watchBounds(world));
}
