/** What is done with the checkers once everything was healed: do they know just what was made (I8), do they hear silence (I12), do they refuse strangers (I10), do they repair (I9). */
import type { RepairRequest, RepairStep } from '../consistency-checker/repair/repairer.ts';
import { asWmbError } from '../core/errors.ts';
import { setPaused } from './faults.ts';
import type { Room } from './room.ts';
import type { Workload } from './workload.ts';
import type { World } from './world.ts';

const LOOK_MS = 500;
/** Rounds, looks, answers and turns, on top of what the configuration says. */
const SLACK_MS = 12_000;
/** Calls between rooms, one after the other, until everything that differs is explained. */
const CALLS_MAX = 100;
/** What has gathered behind a lane comes through first, and lanes may be narrow and lines slow. */
const ALARM_OVER_MS_MAX = 30_000;
const REPAIR_RUNS_MAX = 6;
const RUN_MS_MAX = 120_000;
/** Applications have begun. */
const BUSY_MS = 1_000;

/** I8: what differs is known to the checkers, and nothing else is. */
export async function checkDrifts(world: World): Promise<void> {
  const { graceMs, sweepMs, delayMsMax } = world.plan;
  const found = await within(world, graceMs + 2 * sweepMs + CALLS_MAX * delayMsMax + SLACK_MS, () => world.drifts.missed());
  if (found !== undefined) world.fail('I8', 'at rest, the checkers know what differs, and nothing else', found);
}

/** Lets time pass until `look` finds nothing any more, or `ms` milliseconds are over: then what it still finds. */
async function within(world: World, ms: number, look: () => Promise<string | undefined> | string | undefined): Promise<string | undefined> {
  const untilMs = world.clock.ms + ms;
  let found = await look();
  while (found !== undefined && world.clock.ms < untilMs && world.failure === undefined) {
    await world.clock.run(LOOK_MS, () => world.failure !== undefined);
    found = await look();
  }
  return found;
}

/** I12: canaries come through every lane, and one that stands still is told of; when it goes on, so is that. */
export async function checkSilence(world: World): Promise<void> {
  const { random, plan, rooms } = world;
  const moving = await within(world, SLACK_MS, () => silentLane(world));
  if (moving !== undefined) world.fail('I12', 'at rest, canaries come through every lane of every room', moving);
  if (!plan.stuck || world.failure !== undefined) return;
  const room = random.pick(rooms);
  const free = stick(world, room);
  const limitMs = plan.silenceMsMax + 6 * plan.roundMs + 2_000;
  const unheard = await within(world, limitMs, () => (alarmsOf(room).length > 0 ? undefined : 'no alarm'));
  if (unheard !== undefined) world.fail('I12', `the checker of ${room.id} raises an alarm within ${limitMs} ms`, unheard);
  free();
  const left = await within(world, ALARM_OVER_MS_MAX, () => rooms.flatMap(alarmsOf)[0]);
  if (left !== undefined) world.fail('I12', `an alarm is over within ${ALARM_OVER_MS_MAX} ms after the lane goes on`, left);
}

function alarmsOf(room: Room): readonly string[] {
  return [...(room.checker?.book.openDrifts.values() ?? [])]
    .filter(({ kind, subject }) => kind === 'stuck' && !subject.name.startsWith('checker/'))
    .map(({ causeText }) => `${room.id}: ${causeText}`);
}

function silentLane(world: World): string | undefined {
  for (const room of world.rooms) {
    if (room.checker === undefined) return `the checker of ${room.id} is not up`;
    const ages = room.checker.checker.canaryAges();
    for (const { id } of world.rooms) {
      const ageMs = ages.get(id);
      if (ageMs === undefined || ageMs > world.plan.silenceMsMax) return `${room.id} has heard nothing of ${id} for ${ageMs} ms`;
    }
  }
  return undefined;
}

/** Something stands still and says nothing. Returns what ends it. */
function stick(world: World, room: Room): () => void {
  const { random, lines } = world;
  // To a slave room everything comes by way of the master.
  const [first] = world.rooms;
  const isSlave = world.plan.mode === 'master-slave' && room !== first;
  const origin = random.pick(world.rooms.filter((it) => (isSlave ? it === first : it !== room))).id;
  const how = random.pick(['pause', 'line', 'cache'] as const);
  world.tell(`stuck in ${room.id}: ${how}${how === 'cache' ? '' : ` from ${origin}`}`);
  if (how === 'cache') {
    room.cacheHangs = true;
    return () => {
      room.cacheHangs = false;
    };
  }
  if (how === 'pause') {
    setPaused(room, origin, true);
    return () => setPaused(room, origin, false);
  }
  const names = [`${origin}>${room.id}`, `${room.id}>${origin}`];
  for (const name of names) lines.set(name, 'stall');
  return () => names.forEach((name) => void lines.delete(name));
}

/** I9: what the checkers found they repair, and nobody's write is lost by it. The caller looks at the keys when the rooms are at rest again. */
export async function repairAll(world: World, workload: Workload): Promise<void> {
  const { plan, clock } = world;
  if (plan.busyRepairs) workload.begin(4_000, plan.calls);
  world.beforeRepair = plan.busyRepairs ? (room, keys) => workload.overwrite(room, keys) : undefined;
  await clock.run(BUSY_MS, () => world.failure !== undefined);
  for (let runs = 0; runs < REPAIR_RUNS_MAX && world.failure === undefined; runs += 1) {
    for (const room of world.rooms) await repair(world, room);
    await clock.run(plan.graceMs + 4 * plan.roundMs, () => world.failure !== undefined);
    if (runs > 0 && workload.idle && (await world.drifts.differences()).length === 0) break;
  }
  world.beforeRepair = undefined;
}

/** A run of everything, and of what only a person can decide: the room that nothing was done to is right. */
async function repair(world: World, room: Room): Promise<readonly RepairStep[]> {
  const { made } = world;
  const steps = await stepsOf(world, room, { ids: 'all', from: '' });
  for (const { id, subject, sides, wrong } of room.checker?.book.openDrifts.values() ?? []) {
    const right = sides.find((side) => !made.has(side.room, subject.name))?.room;
    if (wrong === '' && right !== undefined && right !== room.id && sides.some((side) => side.room === room.id))
      steps.push(...(await stepsOf(world, room, { ids: [id], from: right })));
  }
  return steps;
}

async function stepsOf(world: World, room: Room, what: Pick<RepairRequest, 'ids' | 'from'>): Promise<RepairStep[]> {
  const steps: RepairStep[] = [];
  const run = async () => {
    const request = { ...what, apply: true, limit: 0, by: 'simulator' };
    for await (const step of room.checker?.repairs.run(request, new AbortController().signal) ?? []) {
      world.tell(`${room.id} repairs ${step.subject}: ${step.action} ${step.result}: ${step.detail}`);
      steps.push(step);
    }
  };
  let isDone = false;
  const running = run().then(
    () => {
      isDone = true;
    },
    (cause) => {
      isDone = true;
      world.fail('I9', `a repair run of ${room.id} comes to its end`, `${asWmbError(cause).code}: ${asWmbError(cause).message}`);
    },
  );
  const found = await within(world, RUN_MS_MAX, () => (isDone ? undefined : 'it goes on'));
  if (found !== undefined) world.fail('I9', `a repair run of ${room.id} comes to its end within ${RUN_MS_MAX} ms`, found);
  else await running;
  return steps;
}

/** I9, after the rooms came to rest: a second run has nothing to do. */
export async function checkRepaired(world: World): Promise<void> {
  await checkDrifts(world);
  for (const { key, rooms } of await world.drifts.differences())
    world.fail('I9', 'after repairs all rooms show the same', `${key} differs between ${rooms.map(({ id }) => id).join(' and ')}`);
  for (const room of world.rooms) {
    if (world.failure !== undefined) return;
    const steps = await repair(world, room);
    const busy = steps.find(({ result }) => result !== 'unchanged');
    if (busy !== undefined)
      world.fail('I9', `a second repair run of ${room.id} has nothing to do`, `${busy.subject}: ${busy.result}: ${busy.detail}`);
  }
}
