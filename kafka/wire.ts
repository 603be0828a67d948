/** Requests and answers of Kafka's protocol as they lie on the wire: big-endian integers, a text with its length (2), bytes and lists with theirs (4). */
import type { Exchange } from './exchange.ts';

/** Which request, in which version: one that every broker from 2.4 on knows. */
export interface Api {
  readonly name: string;
  readonly key: number;
  readonly version: number;
}

/** What is asked, and how the answer is read. `waitMs`: how long a broker may let the answer wait. */
export function exchangeOf<T>(api: Api, write: (target: WireWriter) => void, read: (source: WireReader) => T, waitMs = 0): Exchange<T> {
  const encode = () => {
    const target = new WireWriter();
    write(target);
    const bytes = target.bytes();
    return { bytes: bytes.length, pieces: () => [bytes] };
  };
  const decode = (answer: Buffer) => {
    const source = new WireReader(answer);
    const throttledMs = source.int32();
    return { value: read(source), throttledMs };
  };
  return { apiKey: api.key, apiVersion: api.version, apiName: api.name, encode, decode, waitMs };
}

export class WireWriter {
  readonly #parts: Uint8Array[] = [];

  int8(value: number): this {
    return this.#number(1, (target) => target.writeInt8(value));
  }

  int16(value: number): this {
    return this.#number(2, (target) => target.writeInt16BE(value));
  }

  int32(value: number): this {
    return this.#number(4, (target) => target.writeInt32BE(value));
  }

  int64(value: number): this {
    return this.#number(8, (target) => target.writeBigInt64BE(BigInt(value)));
  }

  text(value: string): this {
    const bytes = Buffer.from(value);
    this.int16(bytes.length);
    this.#parts.push(bytes);
    return this;
  }

  blob(value: Uint8Array): this {
    this.int32(value.length);
    this.#parts.push(value);
    return this;
  }

  list<T>(items: readonly T[], write: (item: T) => void): this {
    this.int32(items.length);
    for (const item of items) write(item);
    return this;
  }

  bytes(): Buffer {
    return Buffer.concat(this.#parts);
  }

  #number(size: number, write: (target: Buffer) => void): this {
    const target = Buffer.allocUnsafe(size);
    write(target);
    this.#parts.push(target);
    return this;
  }
}

export class WireReader {
  readonly #bytes: Buffer;
  #at = 0;

  constructor(bytes: Buffer) {
    this.#bytes = bytes;
  }

  get isAtEnd(): boolean {
    return this.#at >= this.#bytes.length;
  }

  int8(): number {
    this.#at += 1;
    return this.#bytes.readInt8(this.#at - 1);
  }

  int16(): number {
    this.#at += 2;
    return this.#bytes.readInt16BE(this.#at - 2);
  }

  int32(): number {
    this.#at += 4;
    return this.#bytes.readInt32BE(this.#at - 4);
  }

  int64(): number {
    return Number(this.bigint64());
  }

  bigint64(): bigint {
    this.#at += 8;
    return this.#bytes.readBigInt64BE(this.#at - 8);
  }

  /** Empty where there is none. */
  text(): string {
    return this.#take(this.int16()).toString();
  }

  /** A view. Empty where there is none. */
  blob(): Buffer {
    return this.#take(this.int32());
  }

  /** None where the list is null. */
  list<T>(read: () => T): T[] {
    const items: T[] = [];
    for (let left = this.int32(); left > 0; left -= 1) items.push(read());
    return items;
  }

  skip(bytes: number): void {
    this.#at += bytes;
  }

  #take(length: number): Buffer {
    const start = this.#at;
    this.#at += Math.max(0, length);
    return this.#bytes.subarray(start, this.#at);
  }
}
