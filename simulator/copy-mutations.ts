/** Guards of the copy of a peer's cache (docs/adr/0009), switched off one at a time from outside: see mutations.ts. */
import type { CacheCopyOptions } from '../consistency-checker/repair/copy.ts';
import { endOfCopy } from '../consistency-checker/repair/copy-plan.ts';
import type { CopySide } from '../consistency-checker/room.ts';
import { instead } from './instead.ts';
import type { Mutation } from './mutations.ts';
import { EMPTIED, type Plan } from './plan.ts';

/** Few keys, and much that is deleted. */
const COPIED: Partial<Plan> = { ...EMPTIED, keys: 3, calls: 40 };
const LOST = ['I2', 'I5', 'I6', 'I7', 'I8'] as const;

export const COPY_MUTATIONS: readonly Mutation[] = [
  { name: 'a copy moves the marks first', breaks: LOST, plan: COPIED, make: () => ({ copy: marksFirst }) },
  { name: 'a copy moves the marks to where the peer is when it ends', breaks: LOST, plan: COPIED, make: () => ({ copy: marksOfTheEnd }) },
  { name: 'a copy does not ask whether its own cache is still the one that it began with', breaks: LOST, plan: COPIED, make: () => ({ copy: anyLife }) },
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

function marksOfTheEnd(options: CacheCopyOptions): CacheCopyOptions {
  const { own, mender, peers } = options;
  const takeOver: CacheCopyOptions['mender']['takeOver'] = async (end) => {
    const [peer] = peers;
    if (peer === undefined) return;
    const places = await peer.cachePlaces();
    await mender.takeOver({ ...endOfCopy(await own.cachePlaces(), { places }, end.settled), life: end.life });
  };
  return { ...options, mender: instead(mender, { takeOver }) };
}

function anyLife(options: CacheCopyOptions): CacheCopyOptions {
  const { own, mender } = options;
  const always = async () => ({ ...(await own.cachePlaces()), life: 'always' });
  const takeOver: CacheCopyOptions['mender']['takeOver'] = async (end) => mender.takeOver({ ...end, life: (await own.cachePlaces()).life });
  return { ...options, own: instead(own, { cachePlaces: always }), mender: instead(mender, { takeOver }) };
}
