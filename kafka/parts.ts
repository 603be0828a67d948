/** What is sent, in pieces that are not put together: frames are large, and were put together once already. */

import type { Sent } from './exchange.ts';

/** Smaller ones cost less as a copy than as a piece of their own. */
const COPIED_BYTES_MAX = 2_048;

export class Parts implements Sent {
  readonly #fixed: Buffer;
  readonly #pieces: Uint8Array[] = [];
  /** Of `#fixed`: what is a piece already, and what is taken. */
  #done = 0;
  #at = 0;
  #bytes = 0;

  /** `fixedBytes`: at least what will be taken and copied. */
  constructor(fixedBytes: number) {
    this.#fixed = Buffer.allocUnsafeSlow(fixedBytes);
  }

  /** How many of these bytes are copied. */
  static copied(values: readonly Uint8Array[]): number {
    return values.reduce((sum, { length }) => sum + (length <= COPIED_BYTES_MAX ? length : 0), 0);
  }

  /** Room for so many bytes, which the caller fills before it is sent. */
  take(bytes: number): Buffer {
    this.#at += bytes;
    this.#bytes += bytes;
    if (this.#at > this.#fixed.length) throw new RangeError('more is sent than was thought');
    return this.#fixed.subarray(this.#at - bytes, this.#at);
  }

  /** The value must not change before it is sent. */
  add(value: Uint8Array): void {
    if (value.length <= COPIED_BYTES_MAX) {
      this.take(value.length).set(value);
      return;
    }
    this.#close();
    this.#pieces.push(value);
    this.#bytes += value.length;
  }

  get bytes(): number {
    return this.#bytes;
  }

  pieces(): readonly Uint8Array[] {
    this.#close();
    return this.#pieces;
  }

  #close(): void {
    if (this.#at > this.#done) this.#pieces.push(this.#fixed.subarray(this.#done, this.#at));
    this.#done = this.#at;
  }
}
