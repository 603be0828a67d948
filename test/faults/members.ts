/** The collectors of a room, where several divide its partitions: the room's own one, and those beside it. */
import assert from 'node:assert/strict';
import { until } from '../e2e/scene.ts';
import { RoomClients } from '../harness/clients.ts';
import { moreDaemons, type Rooms, type RunningRoom } from '../harness/rooms.ts';

export const SHARES = 4;
const OTHERS = 2;
/** How many partitions each has while all are there, and while one is gone. */
export const ALL_THERE = [2, 2, 4] as const;
export const ONE_GONE = [4, 4] as const;

export class Members {
  readonly #rooms: Rooms;
  readonly #members: readonly RunningRoom[];
  readonly #clients: readonly RoomClients[];
  readonly #frozen = new Set<number>();

  private constructor(rooms: Rooms, members: readonly RunningRoom[]) {
    this.#rooms = rooms;
    this.#members = members;
    this.#clients = members.map((member) => new RoomClients(member));
  }

  static async of(rooms: Rooms, room: RunningRoom, isShared: boolean): Promise<Members> {
    return new Members(rooms, isShared ? [room, ...(await moreDaemons(room, 'collector', OTHERS))] : [room]);
  }

  async startOthers(): Promise<void> {
    await Promise.all(this.#members.slice(1).map((member) => this.#rooms.start(member, 'collector')));
  }

  start(which: number): Promise<void> {
    return this.#rooms.start(this.#member(which), 'collector');
  }

  async end(which: number, signal: 'SIGKILL' | 'SIGTERM'): Promise<void> {
    const code = await this.#rooms.end(this.#member(which), 'collector', signal);
    assert.equal(code, signal === 'SIGTERM' ? 0 : null);
  }

  /** It stands still. */
  freeze(which: number): void {
    this.#signal(which, 'SIGSTOP');
    this.#frozen.add(which);
  }

  /** It goes on where it stood. */
  wake(which: number): void {
    this.#signal(which, 'SIGCONT');
    this.#frozen.delete(which);
  }

  /** Resolves when every partition is with one of the collectors, and they have so many. `asked`: one of them that answers. */
  async divided(counts: readonly number[], asked = 0): Promise<void> {
    await until(`the partitions of ${this.#member(0).id} are divided as ${counts}`, async () => {
      const { members = [] } = (await this.#clients[asked]?.collectorStatus()) ?? {};
      const found = members.map(({ partitions }) => partitions.length).sort((a, b) => a - b);
      if (found.join() !== counts.join()) throw new Error(`they are divided as ${found}`);
      return true;
    });
  }

  async close(): Promise<void> {
    for (const client of this.#clients) client.close();
    for (const which of this.#frozen) this.wake(which);
    await Promise.all(this.#members.map((member) => this.#rooms.end(member, 'collector', 'SIGTERM')));
  }

  #signal(which: number, signal: 'SIGSTOP' | 'SIGCONT'): void {
    const pid = this.#rooms.pid(this.#member(which), 'collector');
    assert.ok(pid !== undefined);
    process.kill(pid, signal);
  }

  #member(which: number): RunningRoom {
    const member = this.#members[which];
    if (member === undefined) throw new Error(`this room has no collector ${which}`);
    return member;
  }
}
