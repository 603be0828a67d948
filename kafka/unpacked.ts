/** Bytes that a decompressor makes, which refer back to themselves. It grows as they come, up to a limit. */

const BYTES_FIRST = 64 * 1024;

export class Unpacked {
  readonly #bytesMax: number;
  #bytes: Buffer;
  #length = 0;

  constructor(bytesMax: number, bytesExpected = BYTES_FIRST) {
    this.#bytesMax = bytesMax;
    this.#bytes = Buffer.allocUnsafe(Math.min(bytesMax, bytesExpected));
  }

  get bytes(): Buffer {
    return this.#bytes.subarray(0, this.#length);
  }

  append(bytes: Uint8Array): void {
    this.#reserve(bytes.length);
    this.#bytes.set(bytes, this.#length);
    this.#length += bytes.length;
  }

  /** `length` bytes from `back` before the end on; they may reach into what this makes. */
  repeat(back: number, length: number): void {
    if (back <= 0 || back > this.#length) throw new RangeError('compressed data refers to what is before its beginning');
    this.#reserve(length);
    const from = this.#length - back;
    if (back >= length) this.#bytes.copyWithin(this.#length, from, from + length);
    else for (let i = 0; i < length; i += 1) this.#bytes[this.#length + i] = this.#bytes[from + i] ?? 0;
    this.#length += length;
  }

  #reserve(more: number): void {
    const needed = this.#length + more;
    if (needed <= this.#bytes.length) return;
    if (needed > this.#bytesMax) throw new RangeError(`a batch has more than ${this.#bytesMax} bytes unpacked`);
    const larger = Buffer.allocUnsafe(Math.min(this.#bytesMax, Math.max(needed, 2 * this.#bytes.length)));
    larger.set(this.bytes);
    this.#bytes = larger;
  }
}
