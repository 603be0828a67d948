/** What happened in a run, as one line an event. All lines go into one hash, so that two runs of a seed can be compared. */
import { createHash } from 'node:crypto';

export class Trace {
  readonly #hash = createHash('sha256');
  readonly #show: ((line: string) => void) | undefined;
  events = 0;

  /** `show`: is given every line as it happens. */
  constructor(show?: (line: string) => void) {
    this.#show = show;
  }

  add(runMs: number, line: string): void {
    const text = `${runMs.toFixed(3)} ${line}`;
    this.#hash.update(`${text}\n`);
    this.events += 1;
    this.#show?.(text);
  }

  /** What is shown but not hashed: log lines of the daemons. */
  note(runMs: number, line: () => string): void {
    this.#show?.(`${runMs.toFixed(3)}   ${line()}`);
  }

  /** 16 hex digits; call it once, at the end. */
  digest(): string {
    return this.#hash.digest('hex').slice(0, 16);
  }
}
