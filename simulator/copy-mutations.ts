/**
 * Guards of the copy of a peer's cache (docs/adr/0009), switched off one at a time from outside: see mutations.ts. That it ends with the marks that were read first has none here: a lane goes on from
 * the lesser of its marks in cache and book, so what later marks would skip comes again.
 */
import type { CacheCopyOptions } from '../consistency-checker/repair/copy.ts';
import { endOfCopy } from '../consistency-checker/repair/copy-plan.ts';
import type { CopySide } from '../consistency-checker/room.ts';
import { instead } from './instead.ts';
import type { Mutation } from './mutations.ts';
import { EMPTIED, type Plan } from './plan.ts';

/** So long that copies meet traffic, kills, and caches that are lost once more. */
const COPIED: Partial<Plan> = { ...EMPTIED, rounds: 1, roughMs: 30_000, empties: 3, crashes: 5, keys: 24, calls: 40 };
/** Caches are lost in the middle of a copy that nothing else cuts off. */
const LOST_AGAIN: Partial<Plan> = {
  ...{ ...COPIED, crashes: 0, crashChance: 0, cuts: 0, cutChance: 0, stallChance: 0, clockJumps: 0, pauses: 0, poisonChance: 0 },
  ...{ clockMsMax: 0, empties: 6, roughMs: 40_000, keys: 24, ioMsMax: 3 },
};
const LOST = ['I2', 'I5', 'I6', 'I7', 'I8'] as const;

export const COPY_MUTATIONS: readonly Mutation[] = [
  { name: 'a copy moves the marks first', breaks: LOST, plan: COPIED, make: () => ({ copy: marksFirst }) },
  {
    name: 'a copy does not ask whether its cache is still the one that it began with',
    breaks: LOST,
    plan: LOST_AGAIN,
    make: () => ({ copy: anyLife }),
  },
];

function marksFirst(options: CacheCopyOptions): CacheCopyOptions {
  const { own, mender, peers } = options;
  const hasty = (peer: CopySide): CopySide =>
    instead(peer, {
      cachePlaces: async () => {
        const places = await peer.cachePlaces();
        await mender.takeOver(endOfCopy(await own.cachePlaces(), { places }, '')).catch(() => {});
        return places;
      },
    });
  return { ...options, peers: peers.map(hasty) };
}

function anyLife(options: CacheCopyOptions): CacheCopyOptions {
  const { own, mender } = options;
  const always = async () => ({ ...(await own.cachePlaces()), life: 'always' });
  const takeOver: CacheCopyOptions['mender']['takeOver'] = async (end) => mender.takeOver({ ...end, life: (await own.cachePlaces()).life });
  return { ...options, own: instead(own, { cachePlaces: always }), mender: instead(mender, { takeOver }) };
}
