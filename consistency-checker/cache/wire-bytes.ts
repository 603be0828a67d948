/** What travels between two rooms' checkers, in bytes of payload: what is asked and what is answered, without the framing of the transport. */
import type { KeyState } from '../../core/converge/state.ts';
import type { EntryDigest } from '../../store/inspection.ts';
import type { Horizon, NodeDigests, RoomView, StateAnswer } from '../room.ts';

const NUMBER_BYTES = 6;
const DIGEST_BYTES = 16;

/** Counts what is asked of a room and what it answers. */
export class CountedRoom {
  readonly #room: RoomView;
  #bytes = 0;

  constructor(room: RoomView) {
    this.#room = room;
  }

  get bytes(): number {
    return this.#bytes;
  }

  async horizon(): Promise<Horizon> {
    const horizon = await this.#room.horizon();
    for (const { origin, epoch, seen, state, reason } of horizon.lanes) this.#add(origin, epoch, seen, state, reason, 3 * NUMBER_BYTES);
    return horizon;
  }

  async nodes(query: { readonly level: number; readonly parents: readonly number[] }): Promise<NodeDigests> {
    const answer = await this.#room.nodes(query);
    this.#add(1, numbersBytes(query.parents), answer.digests.length, 2 * NUMBER_BYTES);
    return answer;
  }

  async entries(buckets: readonly number[]): Promise<readonly (readonly EntryDigest[])[]> {
    const answer = await this.#room.entries(buckets);
    this.#add(numbersBytes(buckets));
    for (const entry of answer.flat()) this.#add(entry.key, entry.version, DIGEST_BYTES, entry.expireAtMs === 0 ? 0 : NUMBER_BYTES);
    return answer;
  }

  async states(keys: readonly string[]): Promise<readonly StateAnswer[]> {
    const answer = await this.#room.states(keys);
    this.#add(...keys);
    for (const { key, state } of answer) this.#add(key, NUMBER_BYTES, state === undefined ? 0 : stateBytes(state));
    return answer;
  }

  #add(...parts: readonly (string | number)[]): void {
    for (const part of parts) this.#bytes += typeof part === 'number' ? part : Buffer.byteLength(part);
  }
}

function stateBytes({ key, kill, registers, increments, expiries, caps }: KeyState): number {
  let bytes = Buffer.byteLength(key) + kill.length + NUMBER_BYTES + (expiries.length + caps.length) * (28 + NUMBER_BYTES);
  for (const { name, version, value } of registers) bytes += Buffer.byteLength(name) + version.length + valueBytes(value);
  for (const { name, version, delta } of increments) bytes += Buffer.byteLength(name) + version.length + valueBytes(delta);
  return bytes;
}

function valueBytes(value: string | number | null): number {
  return typeof value === 'string' ? Buffer.byteLength(value) : 8;
}

/** As varints. */
function numbersBytes(numbers: readonly number[]): number {
  return numbers.reduce((bytes, number) => bytes + (number < 128 ? 1 : number < 16_384 ? 2 : 3), 0);
}
