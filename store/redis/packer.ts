/**
 * One argument for a whole batch, in MessagePack, which Redis takes apart in C. Thousands of separate arguments cost both sides more than the work
 * itself (docs/adr/0006).
 *
 * Only what the functions use: arrays, strings of bytes, small numbers. Every string is written with four bytes of length, so that its place
 * is known before its bytes are.
 */
import type { Version } from '../../core/stamp.ts';
import { VERSION_DIGITS } from '../../core/stamp.ts';

const STRING = 0xdb;
const ARRAY = 0xdd;
const NUMBER = 0xce;
const PREFIX = 5;

export class Packer {
  #buffer: Buffer;
  #at = 0;

  constructor(bytes = 4_096) {
    this.#buffer = Buffer.allocUnsafe(bytes);
  }

  /** That many values follow. */
  array(length: number): void {
    this.#prefix(ARRAY, length);
  }

  number(value: number): void {
    this.#prefix(NUMBER, value);
  }

  text(text: string): void {
    this.#reserve(PREFIX + text.length * 3);
    const bytes = this.#buffer.write(text, this.#at + PREFIX);
    this.#prefix(STRING, bytes);
    this.#at += bytes;
  }

  bytes(bytes: Uint8Array): void {
    this.#prefix(STRING, bytes.length);
    this.#reserve(bytes.length);
    this.#buffer.set(bytes, this.#at);
    this.#at += bytes.length;
  }

  /** A string of a byte, a version in 14 bytes, and a moment in 6 where it is not 0. */
  head(kind: number, version: Version, atMs: number): void {
    const bytes = 1 + VERSION_DIGITS / 2 + (atMs === 0 ? 0 : 6);
    this.#prefix(STRING, bytes);
    this.#reserve(bytes);
    this.#buffer[this.#at] = kind;
    this.#buffer.write(version, this.#at + 1, 'hex');
    if (atMs !== 0) this.#buffer.writeUIntBE(atMs, this.#at + bytes - 6, 6);
    this.#at += bytes;
  }

  /** What was packed, as bytes of its own. */
  take(): Buffer {
    const packed = Buffer.from(this.#buffer.subarray(0, this.#at));
    this.#at = 0;
    return packed;
  }

  #prefix(type: number, value: number): void {
    this.#reserve(PREFIX);
    this.#buffer[this.#at] = type;
    this.#buffer.writeUInt32BE(value, this.#at + 1);
    this.#at += PREFIX;
  }

  #reserve(bytes: number): void {
    const needed = this.#at + bytes;
    if (needed <= this.#buffer.length) return;
    const grown = Buffer.allocUnsafe(Math.max(needed, this.#buffer.length * 2));
    grown.set(this.#buffer.subarray(0, this.#at));
    this.#buffer = grown;
  }
}
