/**
 * Rooms of real daemons under mixed traffic and one trouble after the other. While all of that goes on no checker may report a drift, because nobody makes one; at the
 * end the rooms have to come to rest, verified and equal; and then some keys are tampered with, to be found and repaired.
 */
import { setTimeout as pause } from 'node:timers/promises';
import { sleepAwake, systemRuntime } from '../../core/runtime.ts';
import type { RepairProgress } from '../../proto/gen/wmb/v1/checker.ts';
import { allSettled, RoomClients } from '../../test/harness/clients.ts';
import { Rooms } from '../../test/harness/rooms.ts';
import { Dice } from './dice.ts';
import { differences, eventually, whyNotVerified } from './rest.ts';
import { type Tampered, tamper } from './tamper.ts';
import { SoakTraffic } from './traffic.ts';
import { Troubles } from './trouble.ts';
import { listDrifts, Watch } from './watch.ts';

/** A grace period far shorter than the default: what is no drift must not become one by haste. */
const CHECKER = { roundMs: 500, graceMs: 1_000, sweepMs: 10_000, canaryMs: 500, silenceMsMax: 4_000 };
const LINK = { pulseMs: 200, silenceMsMax: 2_000, reconnectMsMin: 20, reconnectMsMax: 500 };
const PROGRESS_MS = 10_000;
const SETTLE_MS_MAX = 180_000;
const VERIFY_MS_MAX = 120_000;
const SHOWN_MAX = 10;
/** After everything that was made is found: time for something that was not. */
const QUIET_MS = 3_000;

export interface SoakOptions {
  readonly minutes: number;
  readonly rooms: number;
  readonly mode: 'independent' | 'master-slave';
  /** Write requests per second into each room. */
  readonly perSecond: number;
  readonly seed: number;
  readonly directory: string;
  readonly signal: AbortSignal;
  readonly say: (line: string) => void;
}

/** What does not hold, in words; nothing where everything does, or where it was interrupted. */
export async function soak(options: SoakOptions): Promise<readonly string[]> {
  const { directory, mode, rooms: count } = options;
  const rooms = await Rooms.prepare({
    count,
    mode,
    directory,
    daemons: ['reship', 'collector', 'checker'],
    roomSettings: { link: LINK, checker: CHECKER },
  });
  process.once('exit', () => rooms.killAll());
  await rooms.startAll();
  const clients = rooms.rooms.map((room) => new RoomClients(room));
  try {
    return await new Soak(options, rooms, clients).run();
  } finally {
    for (const client of clients) client.close();
    await rooms.stop();
  }
}

class Soak {
  readonly #options: SoakOptions;
  readonly #rooms: Rooms;
  readonly #clients: readonly RoomClients[];
  readonly #failures: string[] = [];
  readonly #startedMs = performance.now();

  constructor(options: SoakOptions, rooms: Rooms, clients: readonly RoomClients[]) {
    this.#options = options;
    this.#rooms = rooms;
    this.#clients = clients;
  }

  async run(): Promise<readonly string[]> {
    await this.#underTrouble();
    if (this.#failures.length > 0 || this.#aborted) return this.#failures;
    const tampered = this.#tamper();
    await this.#find(tampered);
    if (this.#failures.length === 0 && !this.#aborted) await this.#repair(tampered);
    return this.#aborted ? [] : this.#failures;
  }

  get #aborted(): boolean {
    return this.#options.signal.aborted;
  }

  async #underTrouble(): Promise<void> {
    const { minutes, perSecond, seed, signal, say } = this.#options;
    const [clients, rooms] = [this.#clients, this.#rooms];
    const found = new AbortController();
    const watch = new Watch(clients, (drift) => {
      this.#failures.push(`a drift that nobody made: ${drift.id} ${drift.kind} ${drift.subject}`);
      say(`FALSE DRIFT ${JSON.stringify(drift, null, 2)}`);
      found.abort();
    });
    const failed = (error: unknown) => {
      this.#failures.push(String(error));
      found.abort();
    };
    const traffic = new SoakTraffic({ clients, perSecond, seed, failed });
    const everyMs = minutes < 2 ? { min: 500, max: 2_500 } : { min: 1_000, max: 8_000 };
    const troubles = new Troubles({ rooms, clients, seed, everyMs, tell: (line) => this.#tell(line), failed });
    const progress = setInterval(() => this.#tell(progressOf({ traffic, troubles, watch })), PROGRESS_MS);
    // Nothing happens while the machine stands still.
    await sleepAwake(systemRuntime, minutes * 60_000, AbortSignal.any([signal, found.signal]));
    await troubles.stop();
    await traffic.stop();
    this.#tell('no more trouble and no more traffic: waiting for rest');
    if (!this.#aborted && !found.signal.aborted) await this.#rest();
    clearInterval(progress);
    await watch.stop().catch((cause: unknown) => this.#failures.push(`a checker does not answer: ${cause}`));
    this.#tell(progressOf({ traffic, troubles, watch }));
  }

  async #rest(): Promise<void> {
    await allSettled(this.#clients, SETTLE_MS_MAX);
    await this.#verified();
    const { keys, different } = await differences(this.#clients);
    this.#tell(`${keys} keys compared by what is in them: ${different.length} differ`);
    this.#failures.push(...different.slice(0, SHOWN_MAX));
  }

  async #verified(): Promise<void> {
    const sinceMs = Date.now() + CHECKER.graceMs;
    let reasons: readonly string[] = [];
    const probe = async () => {
      reasons = await whyNotVerified(this.#clients, sinceMs);
      return reasons.length === 0;
    };
    if (!(await eventually(probe, { waitMsMax: VERIFY_MS_MAX, signal: this.#options.signal })))
      this.#failures.push(...reasons.map((reason) => `not verified after ${VERIFY_MS_MAX} ms: ${reason}`));
    else this.#tell('all rooms verified, no drift');
  }

  #tamper(): readonly Tampered[] {
    const tampered = tamper(new Dice(this.#options.seed).pick(this.#rooms.rooms));
    this.#tell(`tampered with ${tampered.map(({ room, key, kind }) => `${key} of ${room} (${kind})`).join(', ')}`);
    return tampered;
  }

  async #find(tampered: readonly Tampered[]): Promise<void> {
    const expected = new Set(
      tampered.flatMap((made) => this.#clients.filter(({ room }) => room.id !== made.room).map(({ room }) => nameOf(made, room.id))),
    );
    const found = async () =>
      new Set(
        (await Promise.all(this.#clients.map((client) => listDrifts(client, 'open'))))
          .flat()
          // Alarms are about lines, and about a machine that stood still.
          .filter(({ kind }) => kind !== 'stuck')
          .map(nameOfDrift),
      );
    const isFound = async () => missingOf(expected, await found()).length === 0;
    if (await eventually(isFound, { waitMsMax: VERIFY_MS_MAX, signal: this.#options.signal })) await pause(QUIET_MS);
    const names = await found();
    const missing = missingOf(expected, names);
    this.#failures.push(...missing.map((name) => `made and not found: ${name}`));
    this.#failures.push(...missingOf(names, expected).map((name) => `found and not made: ${name}`));
    this.#tell(`${expected.size - missing.length} of ${expected.size} found`);
  }

  async #repair(tampered: readonly Tampered[]): Promise<void> {
    const client = this.#clients.find(({ room }) => room.id === tampered[0]?.room);
    const steps: RepairProgress[] = [];
    const request = { ids: [], all: true, apply: true, limit: 0, from: '', by: 'soak' };
    for await (const step of client?.checker.repair(request) ?? []) steps.push(step as RepairProgress);
    this.#tell(`repaired: ${steps.map(({ subject, result }) => `${subject} ${result}`).join(', ')}`);
    await this.#verified();
    const { different } = await differences(this.#clients);
    this.#failures.push(...different.slice(0, SHOWN_MAX).map((text) => `differs after the repair: ${text}`));
  }

  #tell(line: string): void {
    this.#options.say(`${((performance.now() - this.#startedMs) / 1_000).toFixed(0).padStart(5)} s  ${line}`);
  }
}

function missingOf(wanted: ReadonlySet<string>, found: ReadonlySet<string>): readonly string[] {
  return [...wanted].filter((name) => !found.has(name));
}

function nameOf({ key, kind, room }: Tampered, peer: string): string {
  return `${kind} ${key} in ${room} (${[room, peer].sort().join('–')})`;
}

function nameOfDrift({
  kind,
  subject,
  wrong,
  sides,
}: {
  kind: string;
  subject: string;
  wrong: string;
  sides: readonly { room: string }[];
}): string {
  return `${kind} ${subject} in ${wrong} (${sides
    .map(({ room }) => room)
    .sort()
    .join('–')})`;
}

function progressOf({
  traffic,
  troubles,
  watch,
}: {
  readonly traffic: SoakTraffic;
  readonly troubles: Troubles;
  readonly watch: Watch;
}): string {
  const { opened, healed } = watch.alarms;
  const counts = [...troubles.counts].map(([name, count]) => `${count} × ${name}`).join(', ');
  return [
    `${traffic.acked.toLocaleString('en')} writes (${traffic.again} calls sent again)`,
    counts,
    `${watch.rounds} rounds`,
    `${watch.suspects} suspects (at most ${watch.suspectsMax})`,
    `alarms ${opened} opened, ${healed} healed`,
    `${watch.falseOnes} false drifts`,
    ...watch.reasons,
  ].join('; ');
}
