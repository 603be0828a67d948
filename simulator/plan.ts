/** What a seed makes of a run: its rooms, and how rough it gets. Everything is drawn from the seed before the run begins. */
import type { Random } from './random.ts';

export interface Plan {
  readonly mode: 'independent' | 'master-slave';
  readonly rooms: number;
  readonly partitions: number;
  readonly keys: number;
  /** Calls that each room's applications submit in a round. */
  readonly calls: number;
  readonly rounds: number;
  /** A round's time of trouble; then everything is healed. */
  readonly roughMs: number;
  readonly windowWrites: number;
  readonly laneBytesMax: number;
  readonly delayMsMax: number;
  readonly ioMsMax: number;
  /** Per message. */
  readonly cutChance: number;
  readonly stallChance: number;
  /** Per call to a disk or store. */
  readonly crashChance: number;
  /** Times in a round that each of these happens. */
  readonly crashes: number;
  readonly cuts: number;
  readonly clockJumps: number;
  /** Of a cache, while its collector is down. */
  readonly restores: number;
  /** Of a cache, under a collector that goes on running. */
  readonly rollbacks: number;
  /** Times in a round that a cache is emptied after the logs were trimmed; always the same room's. What it lacks then only its peers have. */
  readonly empties: number;
  readonly pauses: number;
  readonly poisonChance: number;
  /** How far clocks may be apart and may jump, milliseconds. */
  readonly clockMsMax: number;
  /** Rooms have checkers. What follows is about them. */
  readonly checked: boolean;
  readonly roundMs: number;
  readonly graceMs: number;
  readonly sweepMs: number;
  readonly canaryMs: number;
  readonly silenceMsMax: number;
  /** Times in a round that something in a cache is changed behind WMB's back. */
  readonly harms: number;
  /** Per write request: a cache takes it for applied and keeps nothing of it. */
  readonly swallowChance: number;
  /** Something stands still for long, without a word. */
  readonly stuck: boolean;
  /** Applications go on while the rooms are repaired. */
  readonly busyRepairs: boolean;
}

/** Of all seeds: checkers cost more than all the rest of a run. */
const CHECKED_SHARE = 0.15;

const CALM = {
  cutChance: 0,
  stallChance: 0,
  crashChance: 0,
  crashes: 0,
  cuts: 0,
  clockJumps: 0,
  restores: 0,
  rollbacks: 0,
  empties: 0,
  pauses: 0,
  poisonChance: 0,
};

/** A family of seeds: caches are emptied after the logs were trimmed, and heal from their peers. Nothing else takes a cache back: two rooms that lack something heal from nobody. */
export const EMPTIED: Partial<Plan> = {
  ...{ mode: 'independent', checked: true, empties: 2, restores: 0, rollbacks: 0, harms: 0, swallowChance: 0, stuck: false },
  ...{ windowWrites: 8, delayMsMax: 20, roundMs: 300, sweepMs: 4_000, graceMs: 4_000 },
};

/** The same of slave rooms, which follow the master's effect log. */
export const EMPTIED_SLAVE: Partial<Plan> = { ...EMPTIED, mode: 'master-slave' };

type CheckerPlan = Pick<
  Plan,
  'checked' | 'roundMs' | 'graceMs' | 'sweepMs' | 'canaryMs' | 'silenceMsMax' | 'harms' | 'swallowChance' | 'stuck' | 'busyRepairs'
>;

/** `random` is another than that of the rest of the run: a seed without checkers is the same run as if there were none. */
export function checkerPlanOf(random: Random): CheckerPlan {
  const checked = random.chance(CHECKED_SHARE);
  const harmed = random.chance(0.6);
  return {
    checked,
    roundMs: random.int(200, 600),
    graceMs: random.int(3_500, 5_000),
    sweepMs: random.int(4_000, 8_000),
    canaryMs: random.int(500, 1_500),
    silenceMsMax: 3_000,
    harms: harmed ? random.int(1, 3) : 0,
    swallowChance: harmed && random.chance(0.6) ? 0.02 : 0,
    stuck: random.chance(0.4),
    busyRepairs: random.chance(0.5),
  };
}

export function planOf(random: Random): Omit<Plan, keyof CheckerPlan> {
  const often = (chance: number, max: number) => (random.chance(chance) ? random.int(1, max) : 0);
  const base = {
    mode: random.chance(0.3) ? ('master-slave' as const) : ('independent' as const),
    rooms: random.chance(0.4) ? 3 : 2,
    partitions: random.int(1, 3),
    keys: random.int(2, 8),
    calls: random.int(10, 40),
    rounds: 2,
    roughMs: random.int(2_000, 8_000),
    windowWrites: random.pick([8, 64, 1_000]),
    laneBytesMax: random.pick([400, 2_000, 100_000]),
    delayMsMax: random.pick([1, 20, 200]),
    ioMsMax: random.pick([0.5, 3, 30]),
    clockMsMax: random.pick([0, 300, 3_000, 7_000]),
  };
  if (random.chance(0.1)) return { ...base, ...CALM };
  return {
    ...base,
    cutChance: random.chance(0.4) ? 0.01 : 0,
    stallChance: random.chance(0.3) ? 0.003 : 0,
    crashChance: random.chance(0.5) ? 0.01 : 0,
    crashes: often(0.5, 3),
    cuts: often(0.5, 3),
    clockJumps: often(0.4, 3),
    restores: often(0.4, 2),
    rollbacks: often(0.4, 3),
    empties: 0,
    pauses: often(0.3, 2),
    poisonChance: random.chance(0.4) ? 0.08 : 0,
  };
}
