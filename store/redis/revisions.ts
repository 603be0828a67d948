/**
 * The revision that every change leaves in a node (docs/adr/0005): a nonce of this writer and a number that grows. Several calls are on their way at
 * once, so what a call may find is any that this writer has sent since the last answer, or until the first answer what was found at the beginning.
 */
import type { Runtime } from '../../core/runtime.ts';

/** As `commit` takes it. */
export interface KnownRevision {
  readonly nonce: string;
  readonly answered: number;
  readonly found: string;
  readonly next: number;
}

/** Of a node: what a writer has left there at least, as others name it. */
export interface LeftRevision {
  readonly field: string;
  readonly nonce: string;
  readonly count: number;
}

export class Revisions {
  readonly #runtime: Runtime;
  #nonce = '';
  #sent = 0;
  #answered = 0;
  #found = '';
  #fresh = '';
  /** Grows with every other revision that was found: answers of calls that were sent before say nothing new. */
  life = 0;

  constructor(runtime: Runtime) {
    this.#runtime = runtime;
  }

  /** Goes on from what stands there; from one of {@link fresh} with its nonce. */
  begin(found: string): void {
    this.#nonce = found === this.#fresh ? nonceOf(found) : Buffer.from(this.#runtime.bytes(8)).toString('hex');
    this.#found = found;
    this.#sent = 0;
    this.#answered = 0;
    this.life += 1;
  }

  /** One that nobody has left anywhere before. */
  fresh(): string {
    this.#fresh = `${Buffer.from(this.#runtime.bytes(8)).toString('hex')}-0`;
    return this.#fresh;
  }

  next(): KnownRevision {
    this.#sent += 1;
    return { nonce: this.#nonce, answered: this.#answered, found: this.#found, next: this.#sent };
  }

  answered({ nonce, next }: KnownRevision): void {
    if (nonce === this.#nonce) this.#answered = Math.max(this.#answered, next);
  }

  /** What a call that is sent now can count on. Answers of later calls may be looked at before its own. */
  known(): Pick<KnownRevision, 'nonce' | 'answered' | 'found'> {
    return { nonce: this.#nonce, answered: this.#answered, found: this.#found };
  }
}

/** `known`: when the call was sent that found `stored`. */
export function isOther(stored: string, { nonce, answered, found }: Pick<KnownRevision, 'nonce' | 'answered' | 'found'>): boolean {
  if (stored === found && answered === 0) return false;
  return nonceOf(stored) !== nonce || Number(stored.slice(stored.lastIndexOf('-') + 1)) < answered;
}

function nonceOf(revision: string): string {
  return revision.slice(0, revision.lastIndexOf('-'));
}
