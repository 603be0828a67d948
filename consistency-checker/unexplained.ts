/**
 * Keys that are confirmed to differ and are no drifts yet. A key is confirmed once: one that cannot be explained now, because its origin is silent or the time of the round is over, is
 * kept until it can.
 *
 * Keys are explained some at a time: their write requests are looked up together, and both rooms are asked once how far they are. After a large loss there are
 * thousands of them, and each by itself would go to the logs again.
 */
import type { Runtime } from '../core/runtime.ts';
import type { RoomId } from '../core/words.ts';
import type { ConfirmedKey } from './cache/comparison.ts';
import type { Drift, ElementDifference } from './drift.ts';
import type { Findings } from './report/sources.ts';

export interface UnexplainedOptions {
  readonly peer: RoomId;
  readonly keys: {
    /** Of each key, what differs now; undefined: nothing. */
    differAll(keys: readonly string[]): Promise<readonly (ConfirmedKey | undefined)[]>;
  };
  readonly explainer: {
    lookUp(all: readonly ConfirmedKey[]): Promise<Findings>;
    key(confirmed: ConfirmedKey, peer: RoomId, findings: Findings): Promise<Drift | undefined>;
  };
  /** False: it could not be explained, which stands in `reasons` then. */
  readonly record: (subject: Drift['subject'], reasons: string[], explain: () => Promise<Drift | 'later' | undefined>) => Promise<boolean>;
  readonly runtime: Runtime;
}

/** Of a round: why it verifies nothing, and until when it explains. */
export interface Explaining {
  readonly reasons: string[];
  readonly untilMs: number;
}

const KEPT_MAX = 10_000;
const KEYS_AT_ONCE = 32;
/** Each has a write request behind it, with its payload. */
const ELEMENTS_AT_ONCE = 128;

export class Unexplained {
  readonly #options: UnexplainedOptions;
  readonly #kept: ConfirmedKey[] = [];

  constructor(options: UnexplainedOptions) {
    this.#options = options;
  }

  get count(): number {
    return this.#kept.length;
  }

  /** At least one of them; what it does not come to is kept. */
  async explain(all: readonly ConfirmedKey[], explaining: Explaining): Promise<void> {
    for (let at = 0; at < all.length; ) {
      const some = at > 0 && this.#isOver(explaining) ? [] : firstOf(all, at);
      if (some.length === 0) return this.#keep(...all.slice(at));
      await this.#explainSome(some, explaining);
      at += some.length;
    }
  }

  /** Those of rounds before, as they are now. */
  async explainKept(explaining: Explaining): Promise<void> {
    for (let left = this.#kept.length; left > 0 && !this.#isOver(explaining); ) {
      const some = this.#kept.slice(0, Math.min(left, KEYS_AT_ONCE));
      const now = await this.#options.keys.differAll(some.map(({ key }) => key));
      this.#kept.splice(0, some.length);
      left -= some.length;
      await this.explain(
        now.filter((it) => it !== undefined),
        explaining,
      );
    }
  }

  #isOver({ untilMs }: Explaining): boolean {
    return this.#options.runtime.monotonicMs() > untilMs;
  }

  async #explainSome(some: readonly ConfirmedKey[], explaining: Explaining): Promise<void> {
    const { explainer, peer, record } = this.#options;
    const findings = await outcomeOf(() => explainer.lookUp(some));
    const drifts = new Map<ConfirmedKey, () => Drift | undefined>();
    for (const confirmed of some) {
      if (drifts.size > 0 && this.#isOver(explaining)) this.#keep(confirmed);
      else drifts.set(confirmed, await outcomeOf(() => explainer.key(confirmed, peer, findings())));
    }
    const still = await outcomeOf(() => this.#differing([...drifts.keys()]));
    for (const [confirmed, drift] of drifts) {
      const { key } = confirmed;
      const isDone = await record({ type: 'key', name: key }, explaining.reasons, async () => asItIs(drift(), () => still().get(key)));
      if (!isDone) this.#keep(confirmed);
    }
  }

  async #differing(some: readonly ConfirmedKey[]): Promise<ReadonlyMap<string, ConfirmedKey>> {
    const now = await this.#options.keys.differAll(some.map(({ key }) => key));
    return new Map(now.flatMap((it) => (it === undefined ? [] : [[it.key, it]])));
  }

  #keep(...some: readonly ConfirmedKey[]): void {
    this.#kept.push(...some.slice(0, KEPT_MAX - this.#kept.length));
  }
}

function firstOf(all: readonly ConfirmedKey[], from: number): readonly ConfirmedKey[] {
  let elements = 0;
  const end = all.findIndex((confirmed, at) => {
    if (at < from) return false;
    elements += confirmed.elements.length;
    return at > from && (at - from >= KEYS_AT_ONCE || elements > ELEMENTS_AT_ONCE);
  });
  return all.slice(from, end === -1 ? all.length : end);
}

/** What was parked when the states were read may have been applied before its receipt was: then the two do not belong together. */
function asItIs(drift: Drift | undefined, read: () => ConfirmedKey | undefined): Drift | 'later' | undefined {
  const now = drift && read();
  if (drift === undefined || now === undefined) return undefined;
  return drift.elements.some((each) => now.elements.some((it) => isSamePart(it, each))) ? drift : 'later';
}

/** Versions and values of what never rests go on while it is explained. */
function isSamePart(a: ElementDifference, b: ElementDifference): boolean {
  const isExpiry = ({ values }: ElementDifference) => values.every((value) => value?.startsWith('expire') === true);
  return a.name === b.name && isExpiry(a) === isExpiry(b);
}

/** Gives the value, or throws what it failed with, when it is called. */
async function outcomeOf<T>(work: () => Promise<T>): Promise<() => T> {
  try {
    const value = await work();
    return () => value;
  } catch (cause) {
    return () => {
      throw cause;
    };
  }
}
