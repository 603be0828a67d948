/** The arguments of one cache command: taken one after the other, each checked, with errors that name the command and its place. */
import { WmbError } from '../errors.ts';
import { REFUSED_OPTIONS } from './refused.ts';

export const KEY_BYTES_MAX = 4_096;
/** Of a field or member. */
export const NAME_BYTES_MAX = 65_536;
export const TIMELINE_CAP_MAX = 65_536;
/** Expiries, relative or absolute; the sum of the greatest two still fits the 48 bits of a stamp's milliseconds. */
export const EXPIRY_MS_MAX = 2 ** 46;

const INT64_MAX = 2n ** 63n - 1n;
const INTEGER = /^(?:0|-?[1-9]\d{0,18})$/;
const DOUBLE = /^[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?$/;
const INFINITE = /^([+-]?)inf(?:inity)?$/i;

export type Args = readonly (string | number)[];

/** One command: its name in capitals, its arguments, its place among the commands of the write request. */
export class Command {
  readonly name: string;
  readonly index: number;
  readonly #args: Args;

  constructor(args: Args, index: number) {
    this.#args = args;
    this.index = index;
    const name = args[0];
    if (typeof name !== 'string' || name === '')
      throw new WmbError('WRITE_INVALID', `commands[${index}] has no name; write it like ["SET", "key", "value"]`);
    this.name = name.toUpperCase();
  }

  /** Number of arguments, the name included. */
  get length(): number {
    return this.#args.length;
  }

  text(at: number): string {
    const arg = this.#args[at];
    if (typeof arg === 'string') {
      if (!arg.isWellFormed()) throw this.invalid(at, 'is not well-formed Unicode (half a surrogate pair)');
      return arg;
    }
    if (typeof arg !== 'number' || !Number.isFinite(arg)) throw this.invalid(at, 'must be a string or a finite number');
    return String(arg);
  }

  key(at: number): string {
    const key = this.text(at);
    if (key === '') throw this.invalid(at, 'is an empty key');
    return this.#limited(at, key, KEY_BYTES_MAX);
  }

  /** A field or member; it may be empty, as in Redis. */
  element(at: number): string {
    return this.#limited(at, this.text(at), NAME_BYTES_MAX);
  }

  /** A 64-bit integer. */
  integer(at: number): bigint {
    const text = this.text(at);
    const value = INTEGER.test(text) ? BigInt(text) : undefined;
    if (value === undefined || value > INT64_MAX || value < -INT64_MAX - 1n) {
      throw this.invalid(at, `is ${quote(text)}, not a 64-bit integer`);
    }
    return value;
  }

  /** A score; infinite only where `infinite`. Minus zero becomes zero. */
  score(at: number, infinite: boolean): number {
    const text = this.text(at);
    const sign = infinite ? INFINITE.exec(text) : null;
    if (sign !== null) return sign[1] === '-' ? -Infinity : Infinity;
    const value = DOUBLE.test(text) ? Number(text) : Number.NaN;
    if (!Number.isFinite(value)) throw this.invalid(at, `is ${quote(text)}, not a finite number${infinite ? ', +inf or -inf' : ''}`);
    return value + 0;
  }

  /** An expiry in milliseconds, from an argument in units of `unitMs`; it may be negative. */
  expiryMs(at: number, unitMs: number): number {
    const ms = Number(this.integer(at)) * unitMs;
    if (Math.abs(ms) > EXPIRY_MS_MAX) throw this.invalid(at, 'is too far away for an expiry');
    return ms;
  }

  cap(at: number): number {
    const cap = this.integer(at);
    if (cap < 1n || cap > BigInt(TIMELINE_CAP_MAX)) throw this.invalid(at, `must be a cap from 1 to ${TIMELINE_CAP_MAX}`);
    return Number(cap);
  }

  /** Exactly `count` arguments, the name included; an option that follows them is refused by its own reason. */
  exactly(count: number, usage: string): void {
    if (this.length > count) this.refuseOption(count);
    if (this.length !== count) throw this.usage(usage);
  }

  /** At least `first + group` arguments, and whole groups of `group` after the first `first`. */
  groups(first: number, group: number, usage: string): void {
    if (this.length < first + group || (this.length - first) % group !== 0) throw this.usage(usage);
  }

  /** Throws COMMAND_UNSUPPORTED where argument `at` is an option that cannot converge. */
  refuseOption(at: number): void {
    const option = this.text(at).toUpperCase();
    if (!Object.hasOwn(REFUSED_OPTIONS, option)) return;
    throw new WmbError(
      'COMMAND_UNSUPPORTED',
      `commands[${this.index}]: ${this.name} with ${option} cannot converge: ${REFUSED_OPTIONS[option]}`,
    );
  }

  usage(usage: string): WmbError {
    return new WmbError('WRITE_INVALID', `commands[${this.index}]: wrong arguments for ${this.name}; write ${usage}`);
  }

  invalid(at: number, what: string): WmbError {
    return new WmbError('WRITE_INVALID', `commands[${this.index}]: argument ${at} of ${this.name} ${what}`);
  }

  #limited(at: number, text: string, bytesMax: number): string {
    // A UTF-16 unit is at most three bytes of UTF-8, so nearly every name passes without being measured.
    if (text.length * 3 > bytesMax && Buffer.byteLength(text) > bytesMax) {
      throw new WmbError('WRITE_TOO_LARGE', `commands[${this.index}]: argument ${at} of ${this.name} is over ${bytesMax} bytes`);
    }
    return text;
  }
}

function quote(text: string): string {
  return JSON.stringify(text.length > 40 ? `${text.slice(0, 40)}…` : text);
}
