/** What a collector answers its room's checker, asked of real daemons: beijing is the master, guangzhou a slave room. */
import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { credentials } from '@grpc/grpc-js';
import { CANARY_KIND } from '../../core/canary.ts';
import type { Horizon, LanePlace } from '../../core/inspection.ts';
import { parsePosition } from '../../core/words.ts';
import { derivedFromWire, horizonFromWire, rangeToWire } from '../../daemon/inspection-wire.ts';
import {
  type DeriveResponse,
  type DigestReceiptsResponse,
  type HorizonResponse,
  InspectionClient,
  type TakeDirtyResponse,
} from '../../proto/gen/wmb/v1/inspection.ts';
import { Outcome, Wait } from '../../proto/gen/wmb/v1/writes.ts';
import { unary } from '../harness/clients.ts';
import { cacheWrite, Scene, until, write } from './scene.ts';

const scene = await Scene.open({ count: 2, mode: 'master-slave', partitions: 2 });
const clients = [0, 1].map((index) => new InspectionClient(scene.room(index).collector.grpc, credentials.createInsecure()));
after(() => {
  for (const client of clients) client.close();
});

function at(index: number): InspectionClient {
  return clients[index] as InspectionClient;
}

async function horizon(index: number): Promise<Horizon> {
  return horizonFromWire(await unary<HorizonResponse>((answer) => at(index).getHorizon({}, answer)));
}

async function place(index: number, origin: string, partition: number): Promise<LanePlace | undefined> {
  return (await horizon(index)).lanes.find((lane) => lane.origin === origin && lane.partition === partition);
}

test('a canary of either room arrives in both, and changes no cache', async () => {
  for (const index of [0, 1]) {
    const canary = write({ kind: CANARY_KIND, key: 'wmb.canary/1', payload: '' });
    const [result] = await scene.submit(index, [canary], Wait.WAIT_EVERYWHERE);
    assert.equal(result?.outcome, Outcome.OUTCOME_APPLIED);
    const { stamp = '', position: text = '' } = result ?? {};
    const position = parsePosition(text);
    for (const room of [0, 1]) {
      // A slave room has no links of its own for write requests.
      const state = room === 0 ? 'streaming' : '';
      const lane = await until<LanePlace>(`room ${room} has seen the canary, in a lane that is “${state}”`, async () => {
        const found = await place(room, position?.origin ?? '', position?.partition ?? 0);
        return found !== undefined && found.seen >= stamp && found.state === state ? found : undefined;
      });
      assert.deepEqual([lane.epoch, lane.mark], [position?.epoch, position?.seq]);
    }
  }
  assert.deepEqual(
    (await scene.dumps()).map((dump) => dump.size),
    [0, 0],
  );
});

test('a canary with a payload is refused', async () => {
  const { results } = await scene.trySubmit(0, [write({ kind: CANARY_KIND, key: 'wmb.canary/1', payload: 'x' })]);
  assert.equal(results[0]?.error?.code, 'WRITE_INVALID');
});

test('every room names all lanes of all origins', async () => {
  for (const index of [0, 1]) {
    const { lanes } = await horizon(index);
    assert.deepEqual(
      lanes.map(({ origin, partition }) => `${origin}/${partition}`),
      ['beijing/0', 'beijing/1', 'guangzhou/0', 'guangzhou/1'],
    );
  }
});

test('both rooms’ receipts of a lane have the same digest', async () => {
  const [result] = await scene.submit(1, [cacheWrite('k', [['SET', 'k', '1']])], Wait.WAIT_EVERYWHERE);
  const position = parsePosition(result?.position ?? '');
  assert.ok(position !== undefined);
  const ranges = [rangeToWire({ lane: position, from: 0, to: position.seq })];
  const [mine, theirs] = await Promise.all(
    [0, 1].map((index) => unary<DigestReceiptsResponse>((answer) => at(index).digestReceipts({ ranges }, answer))),
  );
  assert.match(mine?.digests[0] ?? '', /^[0-9a-f]{16}$/);
  assert.deepEqual(theirs, mine);
});

test('the master derives what the slave room must not', async () => {
  const [result] = await scene.submit(0, [cacheWrite('d', [['SET', 'd', '1']], 'd-1')], Wait.WAIT_EVERYWHERE);
  const stamped = { write: cacheWrite('d', [['SET', 'd', '1']], 'd-1'), stamp: result?.stamp ?? '' };
  const { writes } = await unary<DeriveResponse>((answer) => at(0).derive({ writes: [stamped] }, answer));
  const [effect] = derivedFromWire(writes[0] ?? { stamp: '', error: '', effects: [] }).effects ?? [];
  assert.equal(effect?.version, (await scene.get(1, 'd'))?.version);
  await assert.rejects(
    unary<DeriveResponse>((answer) => at(1).derive({ writes: [stamped] }, answer)),
    /ask the master room/,
  );
});

test('written buckets are named in both rooms', async () => {
  await scene.submit(0, [cacheWrite('e', [['SET', 'e', '1']])], Wait.WAIT_EVERYWHERE);
  const taken = await Promise.all([0, 1].map((index) => unary<TakeDirtyResponse>((answer) => at(index).takeDirty({ max: 1_000 }, answer))));
  assert.ok((taken[0]?.buckets.length ?? 0) > 0);
  assert.deepEqual(new Set(taken[1]?.buckets), new Set(taken[0]?.buckets));
});
