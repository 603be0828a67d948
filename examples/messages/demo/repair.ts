/**
 * The last act: one room is damaged in every way that receipts and marks do not show, and the checkers have to find all of it and nothing else, say which side is wrong and why,
 * and put it right. What is printed is what an operator would see: the commands are the real ones.
 */
import { spawn } from 'node:child_process';
import { EXIT } from '../../../core/errors.ts';
import type { CheckerStatus, DriftReport, ListDriftsResponse } from '../../../proto/gen/wmb/v1/checker.ts';
import { type RoomClients, unary } from '../../../test/harness/clients.ts';
import type { Damage } from './damage.ts';
import type { Check } from './verify.ts';

const FOUND_MS_MAX = 90_000;
/** After everything is found: time for something that was not made to show up. */
const QUIET_MS = 3_000;
const POLL_MS = 250;
const WMB = new URL('../../../cli/main.ts', import.meta.url).pathname;
const TRIED_MAX = 5;
const LIST_MAX = 10_000;

/** Open drifts of all rooms, each once. Alarms are not among them: they are about lines, and lines were cut. */
async function openDrifts(clients: readonly RoomClients[], status = 'open'): Promise<readonly DriftReport[]> {
  const drifts = new Map<string, DriftReport>();
  for (const client of clients) {
    const answer = await unary<ListDriftsResponse>((callback) => client.checker.listDrifts({ status, limit: LIST_MAX, id: '' }, callback));
    for (const drift of answer.drifts) if (drift.kind !== 'stuck') drifts.set(drift.id, drift);
  }
  return [...drifts.values()];
}

/** Resolves when every checker has read its room as a whole, and found it equal to every other room. */
export async function allVerified(clients: readonly RoomClients[]): Promise<void> {
  let statuses: readonly CheckerStatus[] = [];
  const isDone = ({ built, peers }: CheckerStatus) =>
    built === 1 && peers.every(({ reason, suspects, verifiedMs }) => reason === '' && suspects === 0 && verifiedMs > 0);
  for (const deadline = Date.now() + FOUND_MS_MAX; Date.now() < deadline; ) {
    statuses = await Promise.all(clients.map((client) => unary<CheckerStatus>((callback) => client.checker.getStatus({}, callback))));
    if (statuses.every(isDone)) return;
    await pause(POLL_MS);
  }
  throw new Error(`the checkers did not verify all rooms within ${FOUND_MS_MAX} ms: ${JSON.stringify(statuses)}`);
}

/** A drift of a damaged room shows between it and every other room. */
function expectedIn(clients: readonly RoomClients[], damages: readonly Damage[]): ReadonlyMap<string, Damage> {
  const expected = new Map<string, Damage>();
  for (const damage of damages) {
    for (const [left, right] of pairs(clients.map((client) => client.room.id)))
      if (damage.room === '' || damage.room === left || damage.room === right) expected.set(nameOf([left, right], damage.subject), damage);
  }
  return expected;
}

function pairs(rooms: readonly string[]): (readonly [string, string])[] {
  const sorted = [...rooms].sort();
  return sorted.flatMap((left, at) => sorted.slice(at + 1).map((right) => [left, right] as const));
}

function nameOf(rooms: readonly string[], subject: string): string {
  return `${[...rooms].sort().join('–')} ${subject}`;
}

export class RepairAct {
  readonly #clients: readonly RoomClients[];
  readonly #damages: readonly Damage[];
  readonly #checks: Check[] = [];

  constructor(clients: readonly RoomClients[], damages: readonly Damage[]) {
    this.#clients = clients;
    this.#damages = damages;
  }

  async run(): Promise<readonly Check[]> {
    const found = await this.#find();
    const shown = [found.find(({ cause }) => cause === 'missed-apply'), found.find(({ kind }) => kind === 'value')];
    await this.#wmb('drift', 'list');
    for (const drift of shown) if (drift !== undefined) await this.#wmb('drift', 'show', drift.id);
    await this.#wmb('repair', '--all');
    await this.#discardPoisoned(found);
    await this.#wmb('repair', '--all', '--apply');
    await this.#gone(found);
    await this.#wmb('drift', 'list');
    return this.#checks;
  }

  /** Waits until everything is found, and then for what nobody made. */
  async #find(): Promise<readonly DriftReport[]> {
    const expected = expectedIn(this.#clients, this.#damages);
    const nameOfDrift = (drift: DriftReport) =>
      nameOf(
        drift.sides.map(({ room }) => room),
        drift.subject,
      );
    const found = await this.#eventually((drifts) => {
      const names = new Set(drifts.map(nameOfDrift));
      return [...expected.keys()].every((name) => names.has(name));
    });
    await pause(QUIET_MS);
    const drifts = await openDrifts(this.#clients);
    const byName = new Map(drifts.map((drift) => [nameOfDrift(drift), drift]));
    const missed = [...expected.keys()].filter((name) => !byName.has(name));
    const invented = [...byName.keys()].filter((name) => !expected.has(name));
    this.#checks.push(
      { what: 'every drift that was made was found', compared: expected.size, differences: missed.map((name) => `not found: ${name}`) },
      {
        what: 'no drift was invented',
        compared: drifts.length,
        differences: invented.map((name) => `nobody made ${name}: ${byName.get(name)?.why}`),
      },
      { what: 'each names the wrong room, the kind and the cause', compared: expected.size, differences: explained(expected, byName) },
    );
    return found ? drifts : [];
  }

  async #discardPoisoned(found: readonly DriftReport[]): Promise<void> {
    if (!found.some(({ kind }) => kind === 'parked')) return;
    for (const { room } of this.#clients) {
      const { parked } = await unary<{ parked: number }>((callback) => this.#at(room.id).collector.getStatus({}, callback));
      // The one behind goes first: it would be retried when the poisoned one leaves.
      if (parked > 0) for (const id of ['poison-1', 'poison-0']) await this.#wmb('parked', 'discard', id, '--room', room.id);
    }
  }

  async #gone(found: readonly DriftReport[]): Promise<void> {
    await this.#eventually((drifts) => drifts.length === 0);
    const left = await openDrifts(this.#clients);
    // What is put right in a room is right for every other room: with the second one it has healed.
    const repaired = new Set((await openDrifts(this.#clients, 'repaired')).map(({ subject }) => subject));
    const keys = new Set(found.filter(({ subjectType }) => subjectType === 'key').map(({ subject }) => subject));
    this.#checks.push(
      { what: 'no drift is left', compared: found.length, differences: left.map(({ id, subject, note }) => `${id} ${subject}: ${note}`) },
      {
        what: 'every repair was verified by its checker',
        compared: keys.size,
        differences: [...keys].filter((key) => !repaired.has(key)).map((key) => `${key} is not marked as repaired`),
      },
    );
  }

  #at(room: string): RoomClients {
    const found = this.#clients.find((client) => client.room.id === room);
    if (found === undefined) throw new Error(`there is no room ${room}`);
    return found;
  }

  async #eventually(holds: (drifts: readonly DriftReport[]) => boolean): Promise<boolean> {
    for (const deadline = Date.now() + FOUND_MS_MAX; Date.now() < deadline; ) {
      if (holds(await openDrifts(this.#clients))) return true;
      await pause(POLL_MS);
    }
    return false;
  }

  /** Runs the command as a person would, and shows what it prints: again where a daemon did not answer in time. Exit code 7 says that something differs, which is known. */
  async #wmb(...args: readonly string[]): Promise<void> {
    for (let tried = 0; tried < TRIED_MAX; tried += 1) if ((await this.#wmbOnce(args)) !== EXIT.unavailable) return;
  }

  async #wmbOnce(args: readonly string[]): Promise<number | null> {
    process.stdout.write(`\n$ wmb ${args.join(' ')}\n`);
    const config = this.#clients[0]?.room.configFile;
    const child = spawn(process.execPath, ['--disable-warning=ExperimentalWarning', WMB, ...args], {
      stdio: ['ignore', 'inherit', 'ignore'],
      env: { ...process.env, WMB_CONFIG: config },
    });
    return new Promise((resolve) => child.once('close', resolve));
  }
}

function explained(expected: ReadonlyMap<string, Damage>, found: ReadonlyMap<string, DriftReport>): string[] {
  const differences: string[] = [];
  for (const [name, damage] of expected) {
    const drift = found.get(name);
    if (drift === undefined) continue;
    const said = `${drift.kind} in ${drift.wrong || 'an unknown room'} by ${drift.cause}`;
    const made = `${damage.kind} in ${damage.room || drift.wrong} by ${damage.cause}`;
    if (said !== made) differences.push(`${name} is said to be ${said}, and was ${made}`);
  }
  return differences;
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
