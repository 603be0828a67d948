/** Guards of the checker, and of who may connect, switched off one at a time from outside: see mutations.ts. */

import type { OwnCollector } from '../consistency-checker/local-room.ts';
import type { LaneWatch } from '../consistency-checker/messages/lanes.ts';
import { type PeerGate, peerHello } from '../consistency-checker/peer-hello.ts';
import type { CopySide, RoomView } from '../consistency-checker/room.ts';
import type { Config } from '../core/config/types.ts';
import { exportState, stateDigest } from '../core/converge/state.ts';
import type { Runtime } from '../core/runtime.ts';
import type { Version } from '../core/stamp.ts';
import { signHello } from '../link/identity.ts';
import type { Hello, LinkHost } from '../link/link.ts';
import type { CacheStore } from '../store/cache.ts';
import type { BucketDigest, CacheInspector, CacheRepair } from '../store/inspection.ts';
import type { MemoryCache } from '../store/memory/cache.ts';
import { instead } from './instead.ts';
import type { Mutation } from './mutations.ts';
import type { Plan } from './plan.ts';

const CHECKED: Partial<Plan> = { checked: true };
const STUCK: Partial<Plan> = { checked: true, stuck: true };
/** Few keys, much written, over a slow line: repairs meet writes. */
const REPAIRED: Partial<Plan> = {
  checked: true,
  harms: 3,
  busyRepairs: true,
  keys: 3,
  calls: 60,
  delayMsMax: 200,
  poisonChance: 0,
  stuck: false,
  pauses: 0,
};
/** What is harmed stays so until it is repaired: nobody writes over it. */
const UNDISTURBED: Partial<Plan> = { checked: true, harms: 3, busyRepairs: false, poisonChance: 0, stuck: false };

export const CHECKER_MUTATIONS: readonly Mutation[] = [
  { name: 'an inspector reads nothing anew', breaks: ['I8'], plan: CHECKED, make: () => ({ inspector: rememberingInspector }) },
  { name: 'a comparison skips a level of the tree', breaks: ['I8'], plan: CHECKED, make: () => ({ view: withoutLevel }) },
  {
    name: 'a collector says that it has passed everything, and nobody waits',
    breaks: ['I8'],
    plan: CHECKED,
    make: () => ({ ownCollector: passedEverything, config: impatient }),
  },
  { name: 'a repair stamps anew', breaks: ['I9'], plan: UNDISTURBED, make: () => ({ ownCollector: stampingRepairs }) },
  {
    name: 'a repair does not look whether its key is still as it was seen',
    breaks: ['I9'],
    plan: REPAIRED,
    make: () => ({ store: carelessStore }),
  },
  {
    name: 'a repair says that it was done, and was not',
    breaks: ['I8', 'I9'],
    plan: REPAIRED,
    make: () => ({ ownCollector: lazyRepairs }),
  },
  {
    name: 'whoever dials is let in',
    breaks: ['I10'],
    plan: CHECKED,
    make: () => ({ host: (host, config, runtime) => helped(host, passFor(config, runtime)) }),
  },
  {
    name: 'links of an older topology are taken',
    breaks: ['I10'],
    plan: CHECKED,
    make: () => ({ host: (host, config, runtime) => helped(host, (hello) => newEpoch(hello, config, runtime)) }),
  },
  { name: 'a checker answers whoever asks', breaks: ['I10'], plan: CHECKED, make: () => ({ gate: openGate }) },
  { name: 'a checker answers rooms of an older topology', breaks: ['I10'], plan: CHECKED, make: () => ({ gate: timelessGate }) },
  { name: 'a checker answers the same hello again', breaks: ['I10'], plan: CHECKED, make: () => ({ gate: forgetfulGate }) },
  { name: 'no canaries are sent', breaks: ['I12'], plan: STUCK, make: () => ({ config: withoutCanaries }) },
  {
    name: 'nobody speaks of silent lanes',
    breaks: ['I12'],
    plan: STUCK,
    make: () => ({ lanes: (lanes) => instead<LaneWatch>(lanes, { look: () => [] }) }),
  },
];

// ── I8 ──

function rememberingInspector(inspector: CacheInspector): CacheInspector {
  const known = new Map<number, BucketDigest>();
  return instead(inspector, {
    digests: async (buckets, nowMs) => {
      const unknown = buckets.filter((bucket) => !known.has(bucket));
      for (const digest of await inspector.digests(unknown, nowMs)) known.set(digest.bucket, digest);
      return buckets.map((bucket) => known.get(bucket) as BucketDigest);
    },
  });
}

function withoutLevel(view: RoomView & CopySide): RoomView & CopySide {
  return instead(view, {
    nodes: async (query) => {
      const answer = await view.nodes(query);
      return query.level === 2 ? { ...answer, digests: answer.digests.fill(0) } : answer;
    },
  });
}

function passedEverything(collector: OwnCollector): OwnCollector {
  return instead(collector, {
    horizon: async () => {
      const { nowMs, lanes } = await collector.horizon();
      return { nowMs, lanes: lanes.map((lane) => ({ ...lane, seen: 'f'.repeat(24) })) };
    },
  });
}

function impatient(config: Config): Config {
  return { ...config, room: { ...config.room, checker: { ...config.room.checker, graceMs: 0 } } };
}

// ── I9 ──

/** As if somebody submitted what the right side has once more. */
function stampingRepairs(collector: OwnCollector): OwnCollector {
  return instead(collector, {
    repair: async (repairs) => {
      const { nowMs } = await collector.horizon();
      return collector.repair(repairs.map((repair) => stampedAt(nowMs, repair)));
    },
  });
}

function stampedAt(nowMs: number, repair: CacheRepair): CacheRepair {
  const anew = <T extends { readonly version: Version }>(it: T): T => ({
    ...it,
    version: nowMs.toString(16).padStart(12, '0') + it.version.slice(12),
  });
  if (repair.action === 'resend') return { ...repair, effects: repair.effects.map(anew) };
  return { ...repair, state: { ...repair.state, registers: repair.state.registers.map(anew) } };
}

function carelessStore(store: MemoryCache): CacheStore {
  const asItIs = (repair: CacheRepair): CacheRepair => {
    const cell = store.cell(repair.key);
    return { ...repair, expected: stateDigest(cell && exportState(repair.key, cell)) };
  };
  return instead(store, { repair: (repairs, nowMs) => store.repair(repairs.map(asItIs), nowMs) });
}

function lazyRepairs(collector: OwnCollector): OwnCollector {
  return instead(collector, { repair: async (repairs) => repairs.map(() => 'repaired' as const) });
}

// ── I10 ──

/** Serves a hello as `help` would have it. */
function helped(host: LinkHost, help: (hello: Hello) => Hello): LinkHost {
  return instead(host, { welcome: (hello) => host.welcome(help(hello)) });
}

function passFor(config: Config, runtime: Runtime): (hello: Hello) => Hello {
  const { topology, room } = config;
  return (hello) => {
    const from = topology.rooms.some(({ id }) => id === hello.from) ? hello.from : room.id;
    return signHello({ from, to: room.id, topologyEpoch: topology.epoch, instance: hello.instance }, room.secret, runtime);
  };
}

/** Only for those that hold the secret. */
function newEpoch(hello: Hello, config: Config, runtime: Runtime): Hello {
  return hello.topologyEpoch < config.topology.epoch ? passFor(config, runtime)(hello) : hello;
}

function openGate(gate: PeerGate): PeerGate {
  return instead(gate, { admit: ({ hello }) => hello?.from ?? '' });
}

function timelessGate(gate: PeerGate, config: Config, runtime: Runtime): PeerGate {
  return instead(gate, {
    admit: (caller) => {
      const { hello, method } = caller;
      const isOlder = hello !== undefined && hello.topologyEpoch < config.topology.epoch;
      if (!isOlder) return gate.admit(caller);
      const from = { ...config, room: { ...config.room, id: hello.from } };
      return gate.admit({ ...caller, hello: peerHello({ config: from, instance: hello.instance, runtime }, hello.to, method) });
    },
  });
}

function forgetfulGate(gate: PeerGate): PeerGate {
  const taken = new Set<string>();
  return instead(gate, {
    admit: (caller) => {
      const nonce = caller.hello?.nonce ?? '';
      if (taken.has(nonce)) return caller.hello?.from ?? '';
      const from = gate.admit(caller);
      taken.add(nonce);
      return from;
    },
  });
}

// ── I12 ──

function withoutCanaries(config: Config): Config {
  return { ...config, room: { ...config.room, checker: { ...config.room.checker, canaryMs: 0 } } };
}
