/** The configuration of simulated rooms: what the files of a real one would say, on a scale of milliseconds and a few hundred bytes. */
import type { Config, RoomEntry, Topology } from '../core/config/types.ts';
import type { RoomId } from '../core/words.ts';
import type { Plan } from './plan.ts';

export const ROOM_IDS: readonly RoomId[] = ['beijing', 'guangzhou', 'shanghai'];
/** A kind whose processor fails for as long as its write request is poisoned; otherwise it is `cache`. */
export const FRAGILE = 'fragile';

const INTAKE = { pendingWritesMax: 40, pendingBytesMax: 8_000, waitingMax: 8, waitMsDefault: 500, frameBytesMax: 600, frameWritesMax: 6 };

export function configOf(plan: Plan, id: RoomId): Config {
  const addresses = { grpc: id, http: id };
  const { roundMs, graceMs, sweepMs, canaryMs, silenceMsMax } = plan;
  const repair = { keysMax: 1_000, keysPerSecondMax: 1_000 };
  return {
    topology: topologyOf(plan),
    room: {
      id,
      directory: `/${id}`,
      listen: { reship: addresses, collector: addresses },
      secret: 'secret',
      tls: undefined,
      log: { adapter: 'embedded', retention: { ageMsMin: 0, bytesMax: 0, overflow: 'keep' } },
      inbox: undefined,
      peers: {},
      cache: { adapter: 'embedded' },
      database: undefined,
      processors: {},
      topics: [],
      intake: INTAKE,
      link: { laneBytesMax: plan.laneBytesMax, pulseMs: 200, silenceMsMax: 1_500, reconnectMsMin: 20, reconnectMsMax: 1_000 },
      checker: { roundMs, graceMs, sweepMs, workPercentMax: 5, canaryMs, silenceMsMax, database: { roundMs: 0, workMsMax: 1 }, repair },
      drainMsMax: 1_000,
      logLevel: 'info',
    },
  };
}

function topologyOf(plan: Plan): Topology {
  const rooms = ROOM_IDS.slice(0, plan.rooms).map((id, at): RoomEntry => {
    const database = plan.mode === 'master-slave' && at === 0 ? 'master' : 'none';
    const addresses = { grpc: id, http: id };
    const checker = plan.checked ? addresses : undefined;
    return { id, number: at + 1, database, reship: addresses, collector: addresses, checker };
  });
  const everywhere = rooms.map(({ id }) => id);
  return {
    epoch: 1,
    mode: plan.mode,
    partitions: plan.partitions,
    rooms,
    links: [],
    kinds: { cache: { rooms: everywhere, onFailure: 'park' }, [FRAGILE]: { rooms: everywhere, onFailure: 'park' } },
    limits: { payloadBytesMax: 4_000, clockAheadMsMax: 5_000, duplicateWindowWrites: plan.windowWrites },
  };
}
