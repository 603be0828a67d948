/** The disasters of a round, each at its moment, and the end of all of them. */
import { asWmbError } from '../core/errors.ts';
import { logsKept } from '../core/topology.ts';
import type { LogName } from '../core/words.ts';
import { MemoryLog } from '../log/memory/memory.ts';
import { harm } from './made.ts';
import type { Room } from './room.ts';
import { runtimeOf } from './time.ts';
import type { World } from './world.ts';

/** Spreads the disasters of the plan over the next `ms` milliseconds. */
export function makeTrouble(world: World, ms: number): void {
  const { plan, random, clock } = world;
  world.rough = true;
  const sometime = (times: number, task: () => void) => {
    for (let i = 0; i < times; i += 1) clock.after(random.next() * ms, () => world.rough && task());
  };
  sometime(plan.crashes, () => crash(world));
  sometime(plan.cuts, () => cut(world));
  sometime(plan.clockJumps, () => jump(world));
  sometime(plan.restores, () => restore(world));
  sometime(plan.rollbacks, () => rollBack(world, random.pick(world.rooms)));
  sometime(plan.empties, () => void empty(world));
  sometime(plan.pauses, () => pause(world));
  if (plan.checked) sometime(plan.harms, () => void harm(world, random.pick(world.rooms), false));
  if (plan.poisonChance > 0) sometime(3, () => void retryParked(world, random.pick(world.rooms)));
}

/** No more disasters: lines up, clocks right, links resumed, daemons up, processors mended. */
export function heal(world: World): void {
  world.tell('everything is healed');
  world.rough = false;
  world.lines.clear();
  world.poison.setMended(true);
  for (const room of world.rooms) {
    room.clock.offsetMs = 0;
    room.cacheHangs = false;
    for (const daemon of world.daemons) world.start(room, daemon);
  }
}

function crash(world: World): void {
  const life = world.random.pick(world.rooms).lives.get(world.random.pick(world.daemons));
  if (life !== undefined) world.crash(life, 'by plan');
}

/** Breaks the line between two rooms, in one direction or both, for a while. */
function cut(world: World): void {
  const { random, rooms, clock, lines } = world;
  const from = random.pick(rooms).id;
  const to = random.pick(rooms).id;
  if (from === to) {
    world.network.cut(from, to);
    return;
  }
  const how = random.pick(['cut', 'stall'] as const);
  const names = random.chance(0.5) ? [`${from}>${to}`] : [`${from}>${to}`, `${to}>${from}`];
  const forMs = random.int(50, 6_000);
  world.tell(`${names.join(' and ')}: ${how} for ${forMs} ms`);
  for (const name of names) lines.set(name, how);
  if (how === 'cut' && random.chance(0.5)) world.network.cut(from, to);
  clock.after(forMs, () => {
    for (const name of names) lines.delete(name);
  });
}

function jump(world: World): void {
  const { random, rooms, plan } = world;
  const room = random.pick(rooms);
  room.clock.offsetMs = random.int(-plan.clockMsMax, plan.clockMsMax);
  world.tell(`the clock of ${room.id} is ${room.clock.offsetMs} ms off`);
}

/** The collector is down, and its cache comes back as it was a while ago. */
function restore(world: World): void {
  const { random, rooms } = world;
  const room = random.pick(rooms);
  const life = room.lives.get('collector');
  if (life !== undefined) world.crash(life, 'for a restore of its cache');
  rollBack(world, room);
}

/** The cache comes back as it was a while ago, whether its collector is up or not. */
function rollBack(world: World, room: Room): void {
  const { random, clock } = world;
  const { cache } = room.disks;
  const back = random.int(0, Math.min(cache.steps, random.chance(0.2) ? cache.steps : 20));
  world.tell(`the cache of ${room.id} is restored, ${back} changes older`);
  room.restoredMs = clock.ms;
  void cache.restore(cache.steps - back);
}

/** What every room has is removed from the logs; then a cache loses everything, or nearly, its collector up or not. */
async function empty(world: World): Promise<void> {
  const { random, clock } = world;
  const room = world.emptied;
  const [life, back] = [room.lives.get('collector'), random.next()];
  await trimLogs(world);
  if (life !== undefined && random.chance(0.5)) world.crash(life, 'for its cache to be emptied');
  const { cache } = room.disks;
  world.tell(`the cache of ${room.id} is emptied`);
  room.restoredMs = clock.ms;
  await cache.restore(random.chance(0.7) ? 0 : Math.floor(cache.steps * back * 0.3));
}

async function trimLogs(world: World): Promise<void> {
  world.watch.ledger.learnAll();
  for (const room of world.rooms) for (const log of logsKept(room.config.topology, room.id)) await trimLog(world, room, log);
}

async function trimLog(world: World, { id, reship, disks }: Room, name: LogName): Promise<void> {
  if (reship === undefined || name === 'changes') return;
  const { partitions, windowWrites: writesMin } = world.plan;
  const log = new MemoryLog({ disk: disks[name], log: name, origin: id, partitions, runtime: runtimeOf(world.clock, world.random) });
  await log.open();
  const policy = { ageMsMin: 0, bytesMax: 0, overflow: 'keep' as const, writesMin };
  const { frames } = await log.trim(policy, reship.shipper.retentionFloors(name), world.clock.ms);
  await log.close();
  world.tell(`${frames} frames are removed from the ${name} log of ${id}`);
}

function pause(world: World): void {
  const { random, rooms, clock } = world;
  const room = random.pick(rooms);
  const origin = random.pick(rooms).id;
  world.tell(`${room.id} pauses its link from ${origin}`);
  setPaused(room, origin, true);
  clock.after(random.int(50, 4_000), () => setPaused(room, origin, false));
}

export function setPaused(room: Room, origin: string, paused: boolean): void {
  void room.collector?.receiver.setPaused(origin, paused);
}

/** Also what a collector that was down remembers. */
export function resumeLinks(world: World): void {
  for (const room of world.rooms)
    for (const { origin, lanes } of room.collector?.receiver.status() ?? [])
      if (lanes.some(({ state }) => state === 'paused')) setPaused(room, origin, false);
}

/** An operator discards what will never work and retries the rest. In a master–slave topology only the master's parking lot matters. */
export async function retryParked(world: World, room: Room): Promise<void> {
  const parking = room.collector?.applier.parking;
  if (parking === undefined) return;
  const forever = room.disks.book.parked().filter(({ write }) => world.poison.isForever(write.requestId));
  world.tell(`an operator of ${room.id} discards ${forever.length} of ${room.disks.book.parkedTotal()} and retries the rest`);
  try {
    if (forever.length > 0) await parking.discard({ writes: forever.map(({ write }) => write.requestId), all: false });
    await parking.retry({ writes: [], all: true });
  } catch (cause) {
    // The cache has just come back from a copy, and the collector says so: the operator tries again later.
    world.tell(`an operator of ${room.id} is told ${asWmbError(cause).code}`);
    if (asWmbError(cause).code !== 'MARK_MOVED') throw cause;
  }
}
