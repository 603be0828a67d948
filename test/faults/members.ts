/** The collectors of a room, where several divide its partitions, or its reships, where several append to its log: the room's own one, and those beside it. */
import assert from 'node:assert/strict';
import type { SubmitRequest, SubmitResponse } from '../../proto/gen/wmb/v1/writes.ts';
import { until } from '../e2e/scene.ts';
import { RoomClients } from '../harness/clients.ts';
import { moreDaemons, type Rooms, type RunningRoom } from '../harness/rooms.ts';

export const SHARES = 4;
const OTHERS = 2;
/** How many partitions each has while all are there, and while one is gone. */
export const ALL_THERE = [2, 2, 4] as const;
export const ONE_GONE = [4, 4] as const;

type Shared = 'reship' | 'collector';

export class Members {
  readonly #rooms: Rooms;
  readonly #daemon: Shared;
  readonly #members: readonly RunningRoom[];
  readonly #clients: readonly RoomClients[];
  readonly #frozen = new Set<number>();

  private constructor(rooms: Rooms, daemon: Shared, members: readonly RunningRoom[]) {
    this.#rooms = rooms;
    this.#daemon = daemon;
    this.#members = members;
    this.#clients = members.map((member) => new RoomClients(member));
  }

  static async of(rooms: Rooms, room: RunningRoom, daemon: Shared, isShared: boolean): Promise<Members> {
    const others = isShared ? await moreDaemons(room, daemon, OTHERS) : [];
    // Peers reach whichever answers.
    if (daemon === 'reship')
      for (const { reship } of others) room.proxy.alsoTo({ host: '127.0.0.1', port: Number(reship.grpc.split(':')[1]) });
    return new Members(rooms, daemon, [room, ...others]);
  }

  get count(): number {
    return this.#members.length;
  }

  /** Submits to each of the reships in turn, also what is sent again. */
  get inTurn(): RoomClients {
    return new ClientsInTurn(this.#member(0), this.#clients);
  }

  async startOthers(): Promise<void> {
    await Promise.all(this.#members.slice(1).map((member) => this.#rooms.start(member, this.#daemon)));
  }

  start(which: number): Promise<void> {
    return this.#rooms.start(this.#member(which), this.#daemon);
  }

  async end(which: number, signal: 'SIGKILL' | 'SIGTERM'): Promise<void> {
    const code = await this.#rooms.end(this.#member(which), this.#daemon, signal);
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

  /** Resolves when this reship knows of so many. */
  async met(count: number, asked = 0): Promise<void> {
    await until(`there are ${count} reships`, async () => {
      const { members = [] } = (await this.#clients[asked]?.reshipStatus()) ?? {};
      if (members.length !== count) throw new Error(`there are ${members.length}`);
      return true;
    });
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
    await Promise.all(this.#members.map((member) => this.#rooms.end(member, this.#daemon, 'SIGTERM')));
  }

  #signal(which: number, signal: 'SIGSTOP' | 'SIGCONT'): void {
    const pid = this.#rooms.pid(this.#member(which), this.#daemon);
    assert.ok(pid !== undefined);
    process.kill(pid, signal);
  }

  #member(which: number): RunningRoom {
    const member = this.#members[which];
    if (member === undefined) throw new Error(`this room has no ${this.#daemon} ${which}`);
    return member;
  }
}

class ClientsInTurn extends RoomClients {
  readonly #others: readonly RoomClients[];
  #turn = 0;

  constructor(room: RunningRoom, others: readonly RoomClients[]) {
    super(room);
    this.#others = others;
  }

  override submit(request: SubmitRequest): Promise<SubmitResponse> {
    this.#turn += 1;
    const next = this.#others[this.#turn % this.#others.length];
    return next === undefined ? super.submit(request) : next.submit(request);
  }
}
