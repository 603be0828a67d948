/**
 * What happens to rooms: links and checkers' lines are cut, held back and paused, and daemons are killed or told to end, and come back. Each trouble has its
 * own room and daemon; several may be on at once.
 */
import { setTimeout as pause } from 'node:timers/promises';
import type { SetLinkResponse } from '../../proto/gen/wmb/v1/admin.ts';
import { type RoomClients, unary } from '../../test/harness/clients.ts';
import type { TcpProxy } from '../../test/harness/proxy.ts';
import type { Daemon, Rooms, RunningRoom } from '../../test/harness/rooms.ts';
import { Dice } from './dice.ts';

const DAEMONS: readonly Daemon[] = ['reship', 'collector', 'checker'];
const LASTS_MS = { min: 300, max: 9_000 } as const;
const DOWN_MS_MAX = 4_000;
/** Its collector may be down, and comes back. */
const RESUME_MS_MAX = 60_000;

export type TroubleName = 'cut' | 'hold' | 'pause' | 'SIGKILL' | 'SIGTERM';
const NAMES: readonly TroubleName[] = ['cut', 'hold', 'pause', 'SIGKILL', 'SIGTERM'];

export interface TroublesOptions {
  readonly rooms: Rooms;
  readonly clients: readonly RoomClients[];
  readonly seed: number;
  /** Between the beginnings of two troubles. */
  readonly everyMs: { readonly min: number; readonly max: number };
  readonly tell: (line: string) => void;
  /** A daemon did not end or come back as it should. */
  readonly failed: (error: unknown) => void;
}

export class Troubles {
  readonly #options: TroublesOptions;
  readonly #dice: Dice;
  readonly #stopped = new AbortController();
  /** What has its trouble already, and until when. */
  readonly #busy = new Map<string, Promise<void>>();
  readonly #running: Promise<void>;
  readonly counts = new Map<TroubleName, number>(NAMES.map((name) => [name, 0]));

  /** Begins at once. */
  constructor(options: TroublesOptions) {
    this.#options = options;
    this.#dice = new Dice(options.seed);
    this.#running = this.#run();
  }

  /** Resolves when everything is up and whole again. */
  async stop(): Promise<void> {
    this.#stopped.abort();
    await this.#running;
    await Promise.all(this.#busy.values());
  }

  async #run(): Promise<void> {
    const { everyMs } = this.#options;
    for (;;) {
      await this.#wait(this.#dice.between(everyMs.min, everyMs.max));
      if (this.#stopped.signal.aborted) return;
      this.#begin();
    }
  }

  #begin(): void {
    const name = this.#dice.pick(NAMES);
    const client = this.#dice.pick(this.#options.clients);
    const { room } = client;
    const lastsMs = this.#dice.between(LASTS_MS.min, LASTS_MS.max);
    const isLink = this.#dice.chance(0.5);
    const daemon = this.#dice.pick(DAEMONS);
    const peer = this.#dice.pick(this.#options.clients.filter((other) => other !== client)).room.id;
    const subject =
      name === 'pause'
        ? `pause of ${room.id} from ${peer}`
        : isKill(name)
          ? `${room.id}/${daemon}`
          : `line to ${room.id}/${isLink ? 'reship' : 'checker'}`;
    if (this.#busy.has(subject)) return;
    const trouble = isKill(name)
      ? this.#kill({ room, daemon, signal: name, downMs: Math.min(lastsMs, DOWN_MS_MAX) })
      : name === 'pause'
        ? this.#pause({ client, origin: peer, lastsMs })
        : this.#break({ proxy: isLink ? room.proxy : room.checkerProxy, name, lastsMs });
    this.counts.set(name, (this.counts.get(name) ?? 0) + 1);
    this.#options.tell(`${name}: ${subject}, for ${Math.round(lastsMs)} ms`);
    this.#busy.set(
      subject,
      trouble.catch(this.#options.failed).finally(() => this.#busy.delete(subject)),
    );
  }

  async #kill({
    room,
    daemon,
    signal,
    downMs,
  }: {
    room: RunningRoom;
    daemon: Daemon;
    signal: 'SIGKILL' | 'SIGTERM';
    downMs: number;
  }): Promise<void> {
    const { rooms } = this.#options;
    const code = await rooms.end(room, daemon, signal);
    if (signal === 'SIGTERM' && code !== 0) throw new Error(`${room.id}’s ${daemon} was told to end and exited with ${code}`);
    await this.#wait(downMs);
    await rooms.start(room, daemon);
  }

  async #break({ proxy, name, lastsMs }: { proxy: TcpProxy; name: 'cut' | 'hold'; lastsMs: number }): Promise<void> {
    proxy[name]();
    await this.#wait(lastsMs);
    proxy.heal();
  }

  async #pause({ client, origin, lastsMs }: { client: RoomClients; origin: string; lastsMs: number }): Promise<void> {
    const set = (paused: boolean) => unary<SetLinkResponse>((answer) => client.collector.setLink({ origin, paused }, answer));
    // A collector that is down is not paused, and one that comes back is not either.
    await set(true).catch(() => undefined);
    await this.#wait(lastsMs);
    for (const deadline = Date.now() + RESUME_MS_MAX; ; await pause(100)) {
      const failure = await set(false).then(
        () => undefined,
        (cause: unknown) => cause,
      );
      if (failure === undefined) return;
      if (Date.now() > deadline) throw failure;
    }
  }

  /** Ends early where no more trouble is wanted. */
  async #wait(ms: number): Promise<void> {
    await pause(ms, undefined, { signal: this.#stopped.signal }).catch(() => undefined);
  }
}

function isKill(name: TroubleName): name is 'SIGKILL' | 'SIGTERM' {
  return name === 'SIGKILL' || name === 'SIGTERM';
}
