/** Everything of a run: the clock, chance, the network, the rooms, and what has been seen. */
import type { LogFields, Logger } from '../core/logger.ts';
import type { RoomId } from '../core/words.ts';
import { type Fate, MemoryNetwork } from '../link/memory/network.ts';
import { CacheDisk } from './cache-disk.ts';
import { startChecker } from './checker.ts';
import { Drifts } from './checks/drifts.ts';
import { type Failure, failure, type Invariant } from './checks/failure.ts';
import { Watch } from './checks/watch.ts';
import { configOf, ROOM_IDS } from './config.ts';
import { Life } from './life.ts';
import { Made } from './made.ts';
import type { Plan } from './plan.ts';
import { Poison } from './poison.ts';
import type { Random } from './random.ts';
import { DAEMONS, type DaemonName, Room } from './room.ts';
import { runtimeOf, VirtualClock } from './time.ts';
import type { Trace } from './trace.ts';
import { type Injection, startCollector, startReship } from './wiring.ts';

export interface WorldOptions {
  readonly plan: Plan;
  readonly random: Random;
  readonly trace: Trace;
  readonly injection: Injection;
}

export class World {
  readonly clock = new VirtualClock();
  readonly random: Random;
  readonly plan: Plan;
  readonly trace: Trace;
  readonly injection: Injection;
  readonly network: MemoryNetwork;
  readonly rooms: readonly Room[];
  readonly watch: Watch;
  readonly poison: Poison;
  /** Lines `from>to` that are down, and how. */
  readonly lines = new Map<string, 'cut' | 'stall'>();
  failure: Failure | undefined;
  readonly made = new Made();
  readonly drifts: Drifts;
  /** Daemons that rooms have. */
  readonly daemons: readonly DaemonName[];
  /** Somebody looks whether the rooms are at rest: no canaries. */
  quiet = false;
  /** Faults happen by themselves, and not only by plan. */
  rough = false;
  /** What happens to keys after a repair of them was planned. */
  beforeRepair: ((room: Room, keys: readonly string[]) => Promise<void>) | undefined;
  #starts = 0;

  constructor(options: WorldOptions) {
    this.random = options.random;
    this.plan = options.plan;
    this.trace = options.trace;
    this.injection = options.injection;
    this.poison = new Poison(this.random, ROOM_IDS.slice(0, this.plan.rooms));
    this.network = new MemoryNetwork(runtimeOf(this.clock, this.random), { fate: (from, to, what) => this.fate(from, to, what) });
    this.rooms = ROOM_IDS.slice(0, this.plan.rooms).map((id) => new Room(id, configOf(this.plan, id), new CacheDisk(this.injection.store)));
    this.watch = new Watch(this);
    this.drifts = new Drifts(this);
    this.daemons = DAEMONS.filter((daemon) => daemon !== 'checker' || this.plan.checked);
  }

  /** Whose cache is emptied, where one is. */
  get emptied(): Room {
    return this.rooms.at(-1) as Room;
  }

  room(id: RoomId): Room {
    const found = this.rooms.find((room) => room.id === id);
    if (found === undefined) throw new Error(`no room ${id}`);
    return found;
  }

  tell(line: string): void {
    this.trace.add(this.clock.runMs, line);
  }

  /** The first failure counts; the run ends at the next event. */
  fail(invariant: Invariant, expected: string, found: string): void {
    this.note(failure(invariant, expected, found));
  }

  note(found: Failure | undefined): void {
    if (found === undefined || this.failure !== undefined) return;
    this.failure = found;
    this.tell(`FAILED ${found.invariant}: ${found.expected}; found: ${found.found}`);
  }

  /** Starts a daemon that is not up. */
  start(room: Room, daemon: DaemonName): void {
    if (room.lives.has(daemon)) return;
    this.#starts += 1;
    const life = new Life(this, `${room.id}.${daemon}-${this.#starts}`, room.clock);
    room.lives.set(daemon, life);
    life.onEnd(() => {
      room.lives.delete(daemon);
      room[daemon] = undefined;
    });
    this.tell(`${life.name} starts`);
    void this.#run(room, daemon, life).catch((cause) => this.fail('L', `${life.name} starts`, String(cause?.stack ?? cause)));
  }

  async #run(room: Room, daemon: DaemonName, life: Life): Promise<void> {
    if (daemon === 'reship') room.reship = await startReship(this, room, life);
    else if (daemon === 'collector') room.collector = await startCollector(this, room, life);
    else room.checker = await startChecker(this, room, life);
  }

  /** Ends a daemon's life at once and brings another up a while later. */
  crash(life: Life, where: string): void {
    if (!life.alive) return;
    this.tell(`${life.name} crashes ${where}`);
    life.end();
    const room = this.rooms.find(({ id }) => life.name.startsWith(`${id}.`));
    const daemon = DAEMONS.find((name) => life.name.includes(`.${name}-`));
    if (room !== undefined && daemon !== undefined) this.clock.after(this.random.int(20, 2_000), () => this.start(room, daemon));
  }

  crashesHere(): boolean {
    return this.rough && this.plan.crashChance > 0 && this.random.chance(this.plan.crashChance / 4);
  }

  ioDelayMs(): number {
    return this.random.chance(0.5) ? 0 : this.random.next() * this.plan.ioMsMax;
  }

  logger(life: Life): Logger {
    const line = (level: string) => (fields: LogFields, message: string) => {
      if (life.alive) this.trace.note(this.clock.runMs, () => `${life.name} ${level} ${message} ${JSON.stringify(fields)}`);
    };
    const of: Logger = { debug() {}, info: line('info'), warn: line('warn'), error: line('error'), child: () => of };
    return of;
  }

  fate(from: RoomId, to: RoomId, what: string): Fate {
    const down = this.lines.get(`${from}>${to}`);
    if (down !== undefined) return down;
    const { plan, random } = this;
    const delayMs = from === to ? random.next() : random.next() * plan.delayMsMax;
    if (!this.rough) return delayMs;
    if (plan.cutChance > 0 && random.chance(plan.cutChance)) {
      this.tell(`the line ${from} to ${to} breaks under ${what}`);
      return 'cut';
    }
    if (plan.stallChance > 0 && random.chance(plan.stallChance)) {
      this.tell(`the line ${from} to ${to} falls silent before ${what}`);
      return 'stall';
    }
    return delayMs;
  }
}
