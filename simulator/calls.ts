/** Calls between daemons, as they would go over gRPC: each way has its fate, and who does not answer is silent until the deadline. */
import { asWmbError, WmbError } from '../core/errors.ts';
import type { Fate } from '../link/memory/network.ts';
import type { Life } from './life.ts';

const CALL_MS_MAX = 5_000;

export interface CallOptions<T> {
  readonly caller: Life;
  /** The life that is there when the call arrives. */
  readonly callee: () => Life | undefined;
  /** For people: `collector of beijing`. */
  readonly who: string;
  readonly silence: 'UNREACHABLE' | 'PEER_UNREACHABLE';
  readonly fate: (way: 'there' | 'back') => Fate;
  readonly work: () => T | Promise<T>;
}

/** Never settles where the caller's life has ended. */
export function call<T>({ caller, callee, who, silence, fate, work }: CallOptions<T>): Promise<T> {
  return new Promise<T>((resolve, reject) => {
    let stopWatching = () => {};
    const end = (settle: () => void) => {
      deadline.cancel();
      stopWatching();
      if (caller.alive) settle();
    };
    const fail = (why: string) => end(() => reject(new WmbError(silence, `${who} ${why}`)));
    const deadline = caller.after(CALL_MS_MAX, () => fail(`did not answer within ${CALL_MS_MAX} ms`));
    const travel = (way: 'there' | 'back', then: () => void) => {
      const found = fate(way);
      if (found === 'cut') caller.after(0, () => fail('cannot be reached: the line is cut'));
      else if (found !== 'stall') caller.after(found, then);
    };
    const answer = async (there: Life) => {
      stopWatching = there.onEnd(() => fail('went away'));
      try {
        const result = await work();
        travel('back', () => end(() => resolve(result)));
      } catch (cause) {
        const { code, message } = asWmbError(cause);
        travel('back', () => end(() => reject(new WmbError(code, `${who}: ${message}`))));
      }
    };
    travel('there', () => {
      const there = callee();
      if (there?.alive === true) void answer(there);
      else fail('is not there');
    });
  });
}
