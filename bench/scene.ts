/** Two rooms of real daemons, and what the bench asks of them. */
import { mkdtempSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import type { CheckerStatus } from '../proto/gen/wmb/v1/checker.ts';
import { RoomClients, settled, unary } from '../test/harness/clients.ts';
import { type Daemon, Rooms, type RoomsOptions, type RunningRoom } from '../test/harness/rooms.ts';
import { LoadClient } from './load.ts';
import { type Usage, usageOf } from './usage.ts';

const PARTITIONS = 8;
const POLL_MS = 50;

export interface SceneOptions extends Pick<RoomsOptions, 'roomSettings' | 'topologySettings' | 'direct' | 'partitions' | 'cacheOnly'> {
  /** What the rooms need before their daemons start. */
  readonly prepare?: (rooms: Rooms) => Promise<void>;
  /** Default: no checker. */
  readonly daemons?: readonly Daemon[] | undefined;
}

export class Scene {
  readonly rooms: Rooms;
  readonly origin: RoomClients;
  readonly load: LoadClient;
  readonly #directory: string;
  readonly #daemons: readonly Daemon[];

  private constructor(rooms: Rooms, directory: string, daemons: readonly Daemon[]) {
    this.rooms = rooms;
    this.#daemons = daemons;
    this.#directory = directory;
    this.origin = new RoomClients(rooms.room(0));
    this.load = new LoadClient(rooms.room(0).reship.grpc);
  }

  static async open(directory: string, { daemons = ['reship', 'collector'], prepare, ...more }: SceneOptions = {}): Promise<Scene> {
    const own = mkdtempSync(join(directory, 'rooms-'));
    const rooms = await Rooms.prepare({ count: 2, mode: 'independent', directory: own, partitions: PARTITIONS, daemons, ...more });
    await prepare?.(rooms);
    await rooms.startAll();
    return new Scene(rooms, own, daemons);
  }

  /** Resolves with the last round of the first room's checker when that has read everything and found the rooms equal. */
  async verified(waitMsMax: number): Promise<{ readonly roundBytes: number; readonly roundMs: number }> {
    const deadlineMs = performance.now() + waitMsMax;
    for (;;) {
      const { built, peers } = await unary<CheckerStatus>((answer) => this.origin.checker.getStatus({}, answer));
      const isWhole = built === 1 && peers.every(({ reason, suspects, rounds }) => reason === '' && suspects === 0 && rounds > 1);
      if (isWhole && peers[0] !== undefined) return peers[0];
      if (performance.now() > deadlineMs) throw new Error(`the rooms were not verified within ${waitMsMax} ms: ${JSON.stringify(peers)}`);
      await new Promise((resolve) => setTimeout(resolve, POLL_MS));
    }
  }

  /** Resolves when both rooms have acked everything that the first one has logged. */
  async settled(waitMsMax: number): Promise<void> {
    const deadlineMs = performance.now() + waitMsMax;
    for (;;) {
      const status = await this.origin.reshipStatus();
      if (status.peers.length > 1 && settled(status)) return;
      if (performance.now() > deadlineMs) throw new Error(`the rooms did not settle within ${waitMsMax} ms`);
      await new Promise((resolve) => setTimeout(resolve, POLL_MS));
    }
  }

  usage(room: RunningRoom, daemon: Daemon): Usage {
    return usageOf(this.rooms.pid(room, daemon));
  }

  /** By `room/daemon`. */
  usages(): Map<string, Usage> {
    return new Map(
      this.rooms.rooms.flatMap((room) => this.#daemons.map((daemon) => [`${room.id}/${daemon}`, this.usage(room, daemon)] as const)),
    );
  }

  /** Of all daemons together. */
  cpuSeconds(): number {
    return [...this.usages().values()].reduce((sum, usage) => sum + usage.cpuSeconds, 0);
  }

  async close(): Promise<void> {
    this.load.close();
    this.origin.close();
    await this.rooms.stop();
    rmSync(this.#directory, { recursive: true, force: true });
  }
}
