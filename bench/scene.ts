/** Two rooms of real daemons, and what the bench asks of them. */
import { mkdtempSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { RoomClients, settled } from '../test/harness/clients.ts';
import { type Daemon, Rooms, type RunningRoom } from '../test/harness/rooms.ts';
import { LoadClient } from './load.ts';
import { type Usage, usageOf } from './usage.ts';

const PARTITIONS = 8;
const POLL_MS = 20;

export class Scene {
  readonly rooms: Rooms;
  readonly origin: RoomClients;
  readonly load: LoadClient;
  readonly #directory: string;

  private constructor(rooms: Rooms, directory: string) {
    this.rooms = rooms;
    this.#directory = directory;
    this.origin = new RoomClients(rooms.room(0));
    this.load = new LoadClient(rooms.room(0).reship.grpc);
  }

  static async open(directory: string): Promise<Scene> {
    const own = mkdtempSync(join(directory, 'rooms-'));
    return new Scene(await Rooms.start({ count: 2, mode: 'independent', directory: own, partitions: PARTITIONS }), own);
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
    const daemons = ['reship', 'collector'] as const;
    return new Map(
      this.rooms.rooms.flatMap((room) => daemons.map((daemon) => [`${room.id}/${daemon}`, this.usage(room, daemon)] as const)),
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
