/** Write requests that processors cannot handle: some in every room until they are discarded, some in one room until it is mended. */
import type { RoomId } from '../core/words.ts';
import type { Random } from './random.ts';

interface Poisoned {
  readonly rooms: readonly RoomId[];
  /** It never gets better. */
  readonly forever: boolean;
}

export class Poison {
  readonly #random: Random;
  readonly #rooms: readonly RoomId[];
  readonly #poisoned = new Map<string, Poisoned>();
  #mended = false;

  constructor(random: Random, rooms: readonly RoomId[]) {
    this.#random = random;
    this.#rooms = rooms;
  }

  add(requestId: string): void {
    const forever = this.#random.chance(0.4);
    const rooms = forever ? this.#rooms : this.#rooms.filter(() => this.#random.chance(0.6));
    this.#poisoned.set(requestId, { rooms, forever });
  }

  fails(room: RoomId, requestId: string): boolean {
    const found = this.#poisoned.get(requestId);
    return found?.rooms.includes(room) === true && (found.forever || !this.#mended);
  }

  isForever(requestId: string): boolean {
    return this.#poisoned.get(requestId)?.forever ?? false;
  }

  get isMended(): boolean {
    return this.#mended;
  }

  /** From now on only those for ever fail; before a new round it starts again. */
  setMended(mended: boolean): void {
    this.#mended = mended;
  }
}
