/** Running rooms for the tests of one file, and what those tests ask of them again and again. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after } from 'node:test';
import { type Ended, wmb } from '../../cli/testing.ts';
import type { CollectorStatus, KeyEntry, LaneStatus } from '../../proto/gen/wmb/v1/admin.ts';
import type { CheckerClient, CheckerStatus } from '../../proto/gen/wmb/v1/checker.ts';
import { type SubmitResponse, Wait, type WriteRequest, type WriteResult } from '../../proto/gen/wmb/v1/writes.ts';
import { allSettled, RoomClients, unary } from '../harness/clients.ts';
import { COMPILED_ONCE, type Daemon, Rooms, type RoomsOptions, type RunningRoom } from '../harness/rooms.ts';

/** Links that notice and recover quickly: tests wait for them. */
export const QUICK_LINK = { pulseMs: 100, silenceMsMax: 2_000, reconnectMsMin: 20, reconnectMsMax: 300 };

/** Of a machine that has other things to do as well. */
const UNTIL_MS_MAX = 60_000;
/** The checker takes a twentieth of a processor. */
export const VERIFIED_MS_MAX = 80_000;

/** Waits until `probe` returns something else than undefined or false, and returns that. */
export async function until<T>(
  what: string,
  probe: () => Promise<T | undefined | false> | T | undefined | false,
  waitMsMax = UNTIL_MS_MAX,
): Promise<T> {
  const deadline = Date.now() + waitMsMax;
  let last: unknown;
  for (;;) {
    try {
      const found = await probe();
      if (found !== undefined && found !== false) return found;
      last = found;
    } catch (cause) {
      last = cause;
    }
    if (Date.now() > deadline) throw new Error(`in vain waited ${waitMsMax} ms until ${what}; last: ${last}`, { cause: last });
    await new Promise((resolve) => setTimeout(resolve, 25));
  }
}

/** A directory that goes when the file's tests have passed, and stays to be looked at when they have not. */
export function scratch(): string {
  const directory = mkdtempSync(join(tmpdir(), 'wmb-e2e-'));
  process.once('exit', (code) => {
    if (code === 0) rmSync(directory, { recursive: true, force: true });
    else process.stderr.write(`logs and data are left in ${directory}\n`);
  });
  return directory;
}

/** Waits for a round of the room's checker that began after now and verified the rooms. */
export async function verifiedAnew(checker: CheckerClient): Promise<void> {
  const status = () => unary<CheckerStatus>((answer) => checker.getStatus({}, answer));
  const sinceMs = (await status()).nowMs;
  const isVerified = async () => (await status()).peers.every(({ verifiedMs, reason }) => reason === '' && verifiedMs > sinceMs + 300);
  await until('the rooms are verified', isVerified, VERIFIED_MS_MAX);
}

let serial = 0;

/** A write request of kind cache with a request id of its own. */
export function cacheWrite(key: string, commands: readonly (readonly (string | number)[])[], requestId?: string): WriteRequest {
  return write({ kind: 'cache', key, payload: JSON.stringify(commands), ...(requestId === undefined ? {} : { requestId }) });
}

export function write(fields: {
  readonly kind: string;
  readonly key: string;
  readonly payload: string;
  readonly requestId?: string;
}): WriteRequest {
  serial += 1;
  const { kind, key, payload, requestId = `e2e-${process.pid}-${serial}` } = fields;
  return { requestId, kind, key, payload: Buffer.from(payload), traceparent: '' };
}

/** What an application sees of a key, without the version. */
export function visible({ type, value, elements, expireAtMs }: KeyEntry): object {
  return { type, value, elements: elements.map((element) => [element.name, element.value]), expireAtMs };
}

/** Submits to one reship. */
export function submit(
  client: RoomClients,
  writes: readonly WriteRequest[],
  wait: Wait = Wait.WAIT_LOGGED,
  deadlineMs = UNTIL_MS_MAX,
): Promise<SubmitResponse> {
  return client.submit({ writes: [...writes], wait, deadlineMs, batchId: 0 });
}

export class Scene {
  readonly rooms: Rooms;
  readonly directory: string;
  readonly clients: readonly RoomClients[];

  private constructor(rooms: Rooms, directory: string) {
    this.rooms = rooms;
    this.directory = directory;
    this.clients = rooms.rooms.map((room) => new RoomClients(room));
    process.once('exit', () => rooms.killAll());
    after(async () => {
      for (const client of this.clients) client.close();
      await rooms.stop();
    });
  }

  /** Starts rooms that end with the file's tests. */
  static async open(options: Omit<RoomsOptions, 'directory'> & { readonly directory?: string }): Promise<Scene> {
    const scene = await Scene.prepare(options);
    await scene.rooms.startAll();
    return scene;
  }

  /** Writes the configuration only. */
  static async prepare(options: Omit<RoomsOptions, 'directory'> & { readonly directory?: string }): Promise<Scene> {
    const directory = options.directory ?? scratch();
    return Scene.of(await Rooms.prepare({ roomSettings: { link: QUICK_LINK }, ...options, directory }), directory);
  }

  /** Rooms whose configuration is in `directory` already. */
  static of(rooms: Rooms, directory: string): Scene {
    return new Scene(rooms, directory);
  }

  room(index: number): RunningRoom {
    return this.rooms.room(index);
  }

  at(index: number): RoomClients {
    const clients = this.clients[index];
    if (clients === undefined) throw new Error(`there is no room ${index}`);
    return clients;
  }

  /** Submits in a room; fails where a write request is not taken or a wait runs out. */
  async submit(index: number, writes: readonly WriteRequest[], wait: Wait = Wait.WAIT_LOGGED): Promise<WriteResult[]> {
    const { results } = await this.trySubmit(index, writes, wait);
    for (const result of results) assert.equal(result.error, undefined, JSON.stringify(result));
    return results;
  }

  trySubmit(index: number, writes: readonly WriteRequest[], wait: Wait = Wait.WAIT_LOGGED): Promise<SubmitResponse> {
    return submit(this.at(index), writes, wait);
  }

  /** The key as the room's applications see it; undefined where nothing is visible. */
  async get(index: number, key: string): Promise<KeyEntry | undefined> {
    const { entries } = await unary<{ entries: KeyEntry[] }>((answer) => this.at(index).collector.getKeys({ keys: [key] }, answer));
    return entries[0]?.found ? entries[0] : undefined;
  }

  async value(index: number, key: string): Promise<string | undefined> {
    return (await this.get(index, key))?.value;
  }

  /** Runs `wmb` as a person of the room would. */
  wmb(index: number, ...args: string[]): Promise<Ended> {
    return wmb([...args, '--config', this.room(index).configFile], { env: COMPILED_ONCE });
  }

  /** The same, which must succeed and print JSON. */
  async wmbJson<T>(index: number, ...args: string[]): Promise<T> {
    const ended = await this.wmb(index, ...args, '--json');
    assert.equal(ended.code, 0, ended.stderr);
    return JSON.parse(ended.stdout) as T;
  }

  collector(index: number): Promise<CollectorStatus> {
    return this.at(index).collectorStatus();
  }

  /** The lanes of the link from `origin` into a room. */
  async lanes(index: number, origin: number, log = 'writes'): Promise<LaneStatus[]> {
    const { links } = await this.collector(index);
    return links.find((link) => link.origin === this.room(origin).id)?.lanes.filter((lane) => lane.log === log) ?? [];
  }

  async restart(index: number, daemon: Daemon, signal: NodeJS.Signals): Promise<number | null> {
    const code = await this.rooms.end(this.room(index), daemon, signal);
    await this.rooms.start(this.room(index), daemon);
    return code;
  }

  settled(): Promise<void> {
    return allSettled(this.clients, UNTIL_MS_MAX);
  }

  /** What each room's applications see of all keys, by room. */
  async dumps(): Promise<Map<string, object>[]> {
    const dumps = await Promise.all(this.clients.map((client) => client.dump()));
    return dumps.map((dump) => new Map([...dump].map(([key, entry]) => [key, visible(entry)])));
  }

  /** Waits until all rooms have applied everything, and fails where they differ. Returns what they hold. */
  async equalRooms(): Promise<Map<string, object>> {
    await this.settled();
    const [first, ...others] = await this.dumps();
    assert.ok(first !== undefined && first.size > 0);
    for (const other of others) assert.deepEqual(other, first);
    return first;
  }
}
