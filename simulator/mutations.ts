/**
 * Guards switched off, one at a time, at the ports and from outside. Each stands for a mistake that somebody could make; the simulator has
 * to find it, or it would not find the mistake either.
 */
import type { ReceiptBook } from '../collector/receipts/receipts.ts';
import type { Config } from '../core/config/types.ts';
import type { LinkDialer } from '../link/link.ts';
import type { Log } from '../log/log.ts';
import type { CacheStore, Generation } from '../store/cache.ts';
import type { Invariant } from './checks/failure.ts';
import { instead } from './instead.ts';
import type { Plan } from './plan.ts';
import type { Injection } from './wiring.ts';

export interface Mutation {
  /** The mistake, as a sentence. */
  readonly name: string;
  /** What it must be found as, whichever comes first. */
  readonly breaks: readonly Invariant[];
  /** Made anew for every run: what it counts begins at nothing. */
  readonly make: () => Injection;
  /** Of the runs in which it can be seen. */
  readonly plan?: Partial<Plan>;
}

export const MUTATIONS: readonly Mutation[] = [
  { name: 'intake acks what the log has not got', breaks: ['I1'], make: () => ({ log: forgetfulLog(20) }) },
  { name: 'a parked write request is recorded as applied', breaks: ['I2', 'I5', 'I7'], make: () => ({ book: bookWithoutParking }) },
  { name: 'a request id is a duplicate of the one before it only', breaks: ['I2', 'I5'], make: () => ({ config: shortWindow }) },
  { name: 'an ack runs ahead of the mark', breaks: ['I3'], make: () => ({ dialer: hastyAcks }) },
  { name: 'a reader skips a frame', breaks: ['I4'], make: () => ({ log: skippingLog(5) }) },
  // A checker would be the first to name what is missing.
  { name: 'a cache loses a write request', breaks: ['I5'], plan: { checked: false }, make: () => ({ cache: lossyCache(25) }) },
  { name: 'a cache forgets what some room has not passed', breaks: ['I2', 'I5', 'I6', 'I7', 'L'], make: () => ({ cache: eagerFloor }) },
  {
    name: 'a cache that comes back older does not say so, and nobody looks at its marks again',
    // I8: a checker may be the first to name what is missing then, and nobody has made it.
    breaks: ['I2', 'I3', 'I5', 'I6', 'I7', 'I8', 'L'],
    make: () => ({ store: (store) => obligingStore(store, 0) }),
  },
  {
    name: 'a store takes a floor that was made from what it has lost since',
    breaks: ['I2', 'I5', 'I6', 'I7', 'I8', 'L'],
    make: () => ({ store: (store) => obligingStore(store, undefined) }),
  },
  { name: 'a store keeps what was deleted', breaks: ['I6'], make: () => ({ store: undeletingStore }) },
  { name: 'a collector forgets which keys are held up', breaks: ['I7'], make: () => ({ book: forgetfulKeys }) },
  { name: 'credit has no limit', breaks: ['I11'], make: () => ({ config: unboundedCredit }) },
];

/** Says yes to every `every`th append and keeps nothing of it. */
function forgetfulLog(every: number): (log: Log) => Log {
  let appends = 0;
  return (log) =>
    instead(log, {
      append: (drafts) => {
        appends += 1;
        if (appends % every !== 0) return log.append(drafts);
        return Promise.resolve(drafts.map(({ partition }) => log.extent(partition).next));
      },
    });
}

function skippingLog(every: number): (log: Log) => Log {
  return (log) =>
    instead(log, {
      read: async (partition, from, bytesMax) => {
        const isSkipped = (seq: number) => seq % every === every - 1;
        const after = isSkipped(from) && from + 1 < log.extent(partition).next ? from + 1 : from;
        const frames = await log.read(partition, after, bytesMax);
        return frames.filter(({ seq }) => !isSkipped(seq));
      },
    });
}

function bookWithoutParking(book: ReceiptBook): ReceiptBook {
  return instead(book, {
    record: (entries) =>
      book.record(
        entries.map((entry) => ({ ...entry, parked: [], exceptions: entry.exceptions.filter(({ outcome }) => outcome !== 'parked') })),
      ),
  });
}

function forgetfulKeys(book: ReceiptBook): ReceiptBook {
  return instead(book, { parkedKeys: () => Promise.resolve([]) });
}

function shortWindow(config: Config): Config {
  const { topology } = config;
  return { ...config, topology: { ...topology, limits: { ...topology.limits, duplicateWindowWrites: 1 } } };
}

function unboundedCredit(config: Config): Config {
  return { ...config, room: { ...config.room, link: { ...config.room.link, laneBytesMax: 1_000_000 } } };
}

function hastyAcks(dialer: LinkDialer): LinkDialer {
  return {
    dial: async (address, hello, signal) => {
      const session = await dialer.dial(address, hello, signal);
      return instead(session, {
        send: (message) => session.send(message.type === 'ack' ? { ...message, seq: message.seq + 1 } : message),
      });
    },
  };
}

function lossyCache(every: number): (cache: CacheStore) => CacheStore {
  let writes = 0;
  return (cache) =>
    instead(cache, {
      apply: (batch) => {
        const kept = batch.writes.map((effects) => {
          writes += 1;
          return writes % every === 0 ? [] : effects;
        });
        return cache.apply({ ...batch, writes: kept });
      },
    });
}

/** Takes the room's own newest stamp for everybody's. */
function eagerFloor(cache: CacheStore): CacheStore {
  let newest = '';
  return instead(cache, {
    apply: (batch) => {
      for (const effects of batch.writes) for (const { version } of effects) if (version > newest) newest = version;
      return cache.apply({ ...batch, floor: newest.slice(0, 24) });
    },
  });
}

/** Takes what was made for any generation; `told` is the one that it says it is in, its own where undefined. */
function obligingStore(store: CacheStore, told: Generation | undefined): CacheStore {
  const own = async () => (await store.marks()).generation;
  return instead(store, {
    marks: async () => {
      const found = await store.marks();
      return { ...found, generation: told ?? found.generation };
    },
    apply: async (batch) => {
      const result = await store.apply({ ...batch, generation: await own() });
      return result.moved ? result : { ...result, generation: batch.generation };
    },
    sweep: async (sweep) => store.sweep({ ...sweep, generation: await own() }),
  });
}

function undeletingStore(store: CacheStore): CacheStore {
  return instead(store, {
    apply: (batch) => store.apply({ ...batch, writes: batch.writes.map((effects) => effects.filter(({ op }) => op !== 'del')) }),
  });
}
