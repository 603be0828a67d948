/**
 * Turns, so that nobody is first for ever.
 *
 * Whom to ask what any broker may be asked, as who leads what: a broker that is cut off from the others and not from here goes on answering what it knew before, so it is another's turn from time to time.
 * Who has just failed comes last, because to find out that a machine is gone takes seconds.
 */
import type { Runtime } from '../core/runtime.ts';

export interface Node {
  readonly host: string;
  readonly port: number;
}

export const TURN_MS = 15_000;
export const FAILED_MS = 30_000;

/** Another one first with each turn. */
export function inTurn<T>(all: readonly T[], turn: number): readonly T[] {
  const at = turn % Math.max(1, all.length);
  return [...all.slice(at), ...all.slice(0, at)];
}

export class Turns {
  readonly #runtime: Runtime;
  readonly #failedMs = new Map<string, number>();

  constructor(runtime: Runtime) {
    this.#runtime = runtime;
  }

  /** Each of them once. */
  inOrder(places: readonly Node[]): readonly Node[] {
    const all = [...new Map(places.map((place) => [keyOf(place), place])).values()];
    const turned = inTurn(all, Math.floor(this.#runtime.monotonicMs() / TURN_MS));
    return [...turned.filter((place) => !this.#hasFailed(place)), ...turned.filter((place) => this.#hasFailed(place))];
  }

  failed(place: Node): void {
    this.#failedMs.set(keyOf(place), this.#runtime.monotonicMs());
  }

  #hasFailed(place: Node): boolean {
    return this.#runtime.monotonicMs() - (this.#failedMs.get(keyOf(place)) ?? -FAILED_MS) < FAILED_MS;
  }
}

function keyOf({ host, port }: Node): string {
  return `${host}:${port}`;
}
