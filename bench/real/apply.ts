/** Batches of effects into one Redis by the store itself, with all its guards, beside the best bare script of the same bytes: one call for 512 writes, four on their way. */
import { Redis } from 'ioredis';
import { systemRuntime } from '../../core/runtime.ts';
import { NOTHING_SEEN } from '../../core/words.ts';
import { RedisCache } from '../../store/redis/cache.ts';
import { serverAt } from '../../store/redis/redis-kit.ts';
import { type RedisServer, startRedis } from '../../test/containers/redis.ts';
import type { Row } from '../report.ts';
import { BARE_SCRIPTS, type BareScript, type Send } from './redis-references.ts';
import { removeAll } from './servers.ts';
import { type Measured, median, perSecond, timed, usageRows } from './timed.ts';
import { type PlainWrite, plainBatches } from './writes.ts';

const BATCH_WRITES = 512;
const ON_THE_WAY = 4;
const EPOCH = '00000000000000aa';
const TARGET = { must: 0.7, aim: 0.9 };

export async function measureApply(count: number, rounds: number): Promise<Row[]> {
  const server = await startRedis({ hostNetwork: true });
  try {
    const batches = plainBatches(count, BATCH_WRITES);
    const ours: Measured[] = [];
    const bare = BARE_SCRIPTS.map((): Measured[] => []);
    // The first round warms everything up.
    for (let round = 0; round <= rounds; round += 1) {
      for (const [at, script] of BARE_SCRIPTS.entries()) bare[at]?.push(await bareRound(server, script, batches));
      ours.push(await ownRound(server, batches));
    }
    return rowsOf(
      median(ours.slice(1), perSecond),
      bare.map((each) => median(each.slice(1), perSecond)),
    );
  } finally {
    await removeAll([server]);
  }
}

async function bareRound(server: RedisServer, script: BareScript, batches: readonly PlainWrite[][]): Promise<Measured> {
  await server.cli('FLUSHALL');
  const client = new Redis({ port: server.port });
  try {
    const send: Send = await script.send(client);
    return await sent(server, batches, () => send);
  } finally {
    client.disconnect();
  }
}

/** Every call on its way has a lane of its own, as in a collector: the batches of one lane go one after the other, and each moves the lane's mark. */
async function ownRound(server: RedisServer, batches: readonly PlainWrite[][]): Promise<Measured> {
  await server.cli('FLUSHALL');
  const store = new RedisCache({ nodes: [serverAt(server.address)], room: 'beijing', runtime: systemRuntime });
  await store.open();
  try {
    const { generation } = await store.marks();
    return await sent(server, batches, (partition) => {
      let mark = NOTHING_SEEN;
      return async (batch) => {
        const move = { log: 'writes', origin: 'beijing', partition, epoch: EPOCH, expected: mark, next: mark + 1 } as const;
        const writes = batch.map(({ key, value, version }) => [{ op: 'set', key, value, version, expireAtMs: 0 }] as const);
        const result = await store.apply({ generation, moves: [move], writes, floor: '', nowMs: systemRuntime.nowMs() });
        if (!result.moved || result.outcomes.length !== batch.length) throw new Error('a batch was not applied');
        mark += 1;
      };
    });
  } finally {
    await store.close();
  }
}

function sent(server: RedisServer, batches: readonly PlainWrite[][], lane: (at: number) => Send): Promise<Measured> {
  const count = batches.reduce((sum, batch) => sum + batch.length, 0);
  const send = async (_: unknown, at: number) => {
    const own = lane(at);
    for (let next = at; next < batches.length; next += ON_THE_WAY) await own(batches[next] ?? []);
  };
  return timed(server, count, () => Promise.all(Array.from({ length: ON_THE_WAY }, send)));
}

function rowsOf(ours: Measured, bare: readonly Measured[]): Row[] {
  const best = Math.max(...bare.map(({ perSecond }) => perSecond));
  const ratio = ours.perSecond / best;
  const target = { text: `≥ ${TARGET.must}, aim ${TARGET.aim}`, met: ratio >= TARGET.must };
  return [
    ...BARE_SCRIPTS.flatMap(({ name }, at) => usageRows(`reference: bare script, ${name}`, bare[at] as Measured, 'write')),
    ...usageRows('apply into Redis, one node, all guards on', ours, 'write'),
    { what: '  of the better reference', value: ratio, unit: 'ratio', target },
  ];
}
