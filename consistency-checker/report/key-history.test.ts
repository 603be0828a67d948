/** What was done to a key is read from the receipts and logs of all lanes: once for all keys that are looked into, however many these are. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { WmbError } from '../../core/errors.ts';
import { formatPosition } from '../../core/words.ts';
import type { RoomView } from '../room.ts';
import { type TestWrite, World } from '../rooms-kit.ts';
import { set } from './explain-kit.ts';
import { KeyHistories } from './key-history.ts';
import { Sources } from './sources.ts';

const remove = (key: string): TestWrite => ({ id: `remove ${key}`, commands: [['DEL', key]] });

class Rig {
  readonly world = new World();
  /** Positions asked for, of all rooms. */
  readonly asked: string[] = [];
  reads = 0;
  readonly histories: KeyHistories;

  constructor() {
    const { runtime, topology } = this.world;
    this.histories = new KeyHistories(new Sources({ own: 'beijing', topology, rooms: (id) => this.view(id), runtime }));
  }

  view(id: string): RoomView {
    const { view } = this.world.room(id);
    return {
      ...view,
      horizon: () => {
        this.reads += 1;
        return view.horizon();
      },
      findWrites: (query) => {
        if (query.by === 'position') this.asked.push(...query.positions.map(formatPosition));
        return view.findWrites(query);
      },
    };
  }

  async of(key: string, room = 'guangzhou') {
    const horizons = await Promise.all(['beijing', 'guangzhou'].map((id) => this.world.room(id).view.horizon()));
    return await this.histories.of({ key, horizons }, this.view(room));
  }
}

test('write requests that were read for one key are not read again for the next, although all lanes have gone on', async () => {
  const rig = new Rig();
  for (let n = 0; n < 20; n += 1) await rig.world.write('beijing', [set(`k${n}`, 'v'), set('other', `${n}`)], {}, n % 2);
  for (let n = 0; n < 20; n += 1) {
    await rig.world.write('guangzhou', [set('canary', `${n}`)], {}, n % 2);
    const history = await rig.of(`k${n}`);
    assert.deepEqual([history?.deeds.length, history?.looked, history?.above], [1, 41 + n, '']);
  }
  assert.equal(rig.asked.length, 60);
  assert.equal(new Set(rig.asked).size, 60);
});

test('what took a key away since is known, in its place', async () => {
  const rig = new Rig();
  await rig.world.write('beijing', [set('k', 'v')]);
  assert.equal((await rig.of('k'))?.deeds.length, 1);
  await rig.world.write('guangzhou', [remove('k')]);
  await rig.world.write('beijing', [set('k', 'again')]);
  assert.deepEqual(
    (await rig.of('k'))?.deeds.map(({ write }) => write.write.requestId),
    ['set k', 'remove k', 'set k'],
  );
});

test('a receipt that is missing of what has come since is no less missing than one from before', async () => {
  const rig = new Rig();
  await rig.world.write('beijing', [set('k', 'v')]);
  assert.equal((await rig.of('k'))?.above, '');
  const [lost] = await rig.world.write('beijing', [set('k', 'lost')]);
  const [later] = await rig.world.write('beijing', [set('k', 'later')]);
  const { receipts } = rig.world.room('guangzhou');
  receipts.lane(lost?.position ?? assert.fail()).frames.delete(lost?.position.seq ?? -1);
  assert.equal((await rig.of('k'))?.above, later?.write.stamp);
});

test('while one of the rooms is behind nothing is read again for its sake', async () => {
  const rig = new Rig();
  const [first] = await rig.world.write('beijing', [set('k', 'v')]);
  const { receipts } = rig.world.room('beijing');
  receipts.change(first?.position ?? assert.fail(), { mark: 7 });
  for (let n = 0; n < 5; n += 1) assert.equal((await rig.of('k'))?.deeds.length, 1);
  assert.deepEqual([rig.reads, rig.asked.length], [1, 1]);
});

test('after a while everything is read anew: what was parked then may have been applied since', async () => {
  const rig = new Rig();
  const [found] = await rig.world.write('beijing', [set('k', 'v')], { guangzhou: 'parked' });
  assert.equal((await rig.of('k'))?.deeds.length, 0);
  const { receipts } = rig.world.room('guangzhou');
  const frame = receipts.lane(found?.position ?? assert.fail()).frames.get(0);
  receipts.receipt(found?.position ?? assert.fail(), 0, { ...frame, exceptions: [] });
  await rig.world.pass(10_000);
  assert.equal((await rig.of('k'))?.deeds.length, 1);
});

test('a log that was made anew since is read from its beginning', async () => {
  const rig = new Rig();
  const [first] = await rig.world.write('beijing', [set('k', 'v')]);
  assert.equal((await rig.of('k'))?.above, '');
  const lane = { ...(first?.position ?? assert.fail()), epoch: 'abababababababab' };
  for (const id of ['beijing', 'guangzhou']) {
    const { receipts } = rig.world.room(id);
    receipts.applied(lane, 2, 1);
  }
  // Nothing of it is in the log of this test.
  assert.notEqual((await rig.of('k'))?.above, '');
});

test('what an origin did not answer is asked for again, although the rest is known', async () => {
  const rig = new Rig();
  await rig.world.write('beijing', [set('k', 'v')]);
  rig.world.room('beijing').before = (what) => {
    if (what === 'findWrites') throw new WmbError('PEER_UNREACHABLE', 'silent');
  };
  assert.notEqual((await rig.of('k'))?.above, '');
  rig.world.room('beijing').before = () => {};
  await rig.world.write('guangzhou', [set('canary', '1')]);
  assert.deepEqual([(await rig.of('k'))?.above, (await rig.of('k'))?.deeds.length], ['', 1]);
});

test('two rooms that have done the same write requests are not a reason to read them twice; nor is it that time goes by', async () => {
  const rig = new Rig();
  for (let n = 0; n < 20; n += 1) await rig.world.write('beijing', [set(`k${n}`, 'v')], { guangzhou: { 0: n === 7 ? 'parked' : 'lose' } });
  assert.equal((await rig.of('k7'))?.deeds.length, 0);
  assert.equal((await rig.of('k7', 'beijing'))?.deeds.length, 1);
  await rig.world.pass(10_000);
  assert.equal((await rig.of('k3'))?.deeds.length, 1);
  assert.deepEqual([rig.reads, rig.asked.length], [3, 20]);
});

test('a log that has lost its tail gives its seqs to others, and these are read', async () => {
  const rig = new Rig();
  const [lost] = await rig.world.write('beijing', [set('k', 'lost')]);
  assert.equal((await rig.of('k'))?.deeds.length, 1);
  rig.world.room('beijing').log.length = 0;
  for (const id of ['beijing', 'guangzhou']) {
    const { receipts } = rig.world.room(id);
    receipts.lane(lost?.position ?? assert.fail()).frames.clear();
    receipts.change(lost?.position ?? assert.fail(), { mark: -1 });
  }
  await rig.world.write('beijing', [set('other', 'v')]);
  await rig.world.pass(10_000);
  assert.deepEqual([(await rig.of('k'))?.deeds.length, (await rig.of('other'))?.deeds.length], [0, 1]);
});
