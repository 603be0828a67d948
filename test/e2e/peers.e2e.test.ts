import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, describe, test } from 'node:test';
import { Wait } from '../../proto/gen/wmb/v1/writes.ts';
import type { StartOptions } from '../harness/rooms.ts';
import { type FakePeer, garbagePeer, peerOfProtocol, refusalOf } from './fake-peer.ts';
import { cacheWrite, QUICK_LINK, Scene, until } from './scene.ts';

const RIGHT = { WMB_E2E_SECRET: 'a secret of the right rooms' };
const WRONG = { WMB_E2E_SECRET: 'another secret than theirs' };
/** shanghai, the third, goes wrong in every way; beijing and guangzhou have to go on. */
const scene = await Scene.prepare({
  count: 3,
  mode: 'independent',
  partitions: 2,
  roomSettings: { link: QUICK_LINK, secret: { env: 'WMB_E2E_SECRET' } },
});
const wrongRoom = scene.room(2);
await Promise.all([0, 1].flatMap((index) => [startRight(index, 'reship'), startRight(index, 'collector')]));

function startRight(index: number, daemon: 'reship' | 'collector'): Promise<void> {
  return scene.rooms.start(scene.room(index), daemon, { env: RIGHT });
}

async function startThird(options: StartOptions): Promise<void> {
  await Promise.all([scene.rooms.start(wrongRoom, 'reship', options), scene.rooms.start(wrongRoom, 'collector', options)]);
}

async function endThird(): Promise<void> {
  await Promise.all([scene.rooms.end(wrongRoom, 'collector', 'SIGTERM'), scene.rooms.end(wrongRoom, 'reship', 'SIGTERM')]);
}

/** Waits until the link between two rooms is down for this reason. */
async function downFor(index: number, origin: number, reason: RegExp): Promise<void> {
  await until(`room ${index} shows why its link from room ${origin} is down (${reason})`, async () => {
    const lanes = await scene.lanes(index, origin);
    if (lanes.length === 2 && lanes.every((lane) => lane.state !== 'streaming' && reason.test(lane.reason))) return true;
    throw new Error(JSON.stringify(lanes.map(({ state, reason: said }) => [state, said])));
  });
}

/** The two rooms that are right still exchange writes, both ways. */
async function restGoesOn(): Promise<void> {
  for (const index of [0, 1]) {
    const key = `rest:${index}:${randomBytes(4).toString('hex')}`;
    await scene.submit(index, [cacheWrite(key, [['SET', key, 'v']])], Wait.WAIT_APPLIED);
    await until(`${key} is in the other room`, async () => (await scene.value(1 - index, key)) === 'v');
  }
}

afterEach(endThird);

test('a room with another link secret is refused on both sides; the others go on', async () => {
  await startThird({ env: WRONG });
  await downFor(0, 2, /^IDENTITY_REFUSED: .*secret/);
  await downFor(2, 0, /^IDENTITY_REFUSED: .*secret/);
  await restGoesOn();
  // It still serves its own applications.
  await scene.submit(2, [cacheWrite('own', [['SET', 'own', 'v']])], Wait.WAIT_APPLIED);
});

test('a room that was rolled to a newer topology alone is refused with both epochs named; the others go on', async () => {
  const topology = join(scene.directory, 'topology-2.yaml');
  writeFileSync(topology, readFileSync(join(scene.directory, 'topology.yaml'), 'utf8').replace('epoch: 1', 'epoch: 2'));
  const configFile = join(scene.directory, 'shanghai-2.yaml');
  writeFileSync(configFile, readFileSync(wrongRoom.configFile, 'utf8').replace('./topology.yaml', topology));
  await startThird({ env: RIGHT, configFile });
  await downFor(0, 2, /^TOPOLOGY_STALE: .*epoch 1.*(holds|epoch) 2/);
  await downFor(2, 0, /^TOPOLOGY_STALE: .*epoch 2.*(holds|epoch) 1/);
  await restGoesOn();
});

describe('something else listens at the address of a peer’s reship', () => {
  let fake: FakePeer | undefined;
  afterEach(() => fake?.close());

  test('it speaks another protocol version: both versions are named; the others go on', async () => {
    fake = await peerOfProtocol(wrongRoom.reship.grpc, 'shanghai', 999);
    await downFor(0, 2, /^PROTOCOL_VERSION: .*999.*speaks 1/);
    await restGoesOn();
  });

  test('it is another room', async () => {
    fake = await peerOfProtocol(wrongRoom.reship.grpc, 'guangzhou', 1);
    await downFor(0, 2, /^ROOM_UNKNOWN: .*shanghai.*guangzhou/);
  });

  test('it answers garbage: a clear code, no crash, and the others go on', async () => {
    fake = await garbagePeer(wrongRoom.reship.grpc);
    await downFor(0, 2, /^PEER_GARBAGE: /);
    await restGoesOn();
  });
});

describe('a collector that should not dials in', () => {
  const hello = {
    protocol: 1,
    from: 'guangzhou',
    to: 'beijing',
    topologyEpoch: 1,
    instance: 'fake',
    sentMs: Date.now(),
    nonce: randomBytes(16).toString('hex'),
    proof: 'ab'.repeat(32),
  };
  const cases = [
    ['of a room that is not in the topology', { from: 'atlantis' }, 'ROOM_UNKNOWN', /atlantis/],
    ['that meant another room', { to: 'shanghai' }, 'ROOM_UNKNOWN', /beijing, not shanghai/],
    ['of another protocol version', { protocol: 999 }, 'PROTOCOL_VERSION', /999.*1/],
    ['of an older topology', { topologyEpoch: 0 }, 'TOPOLOGY_STALE', /epoch 0.*1/],
    ['without the secret', {}, 'IDENTITY_REFUSED', /secret/],
  ] as const;
  for (const [who, wrong, code, message] of cases) {
    test(`${who}: it is refused with ${code}`, async () => {
      const refusal = await refusalOf(scene.room(0).reship.grpc, { ...hello, ...wrong });
      assert.equal(refusal?.code, code);
      assert.match(refusal?.message ?? '', message);
    });
  }
});

test('when the third room is right at last, all rooms hold the same', async () => {
  await startThird({ env: RIGHT });
  await restGoesOn();
  await scene.settled();
  const held = await scene.equalRooms();
  assert.ok(held.has('own'));
});

test('the logs are one JSON object a line, with the reasons of refusals, without secrets', async () => {
  const files = scene.rooms.rooms.flatMap((room) => ['reship.log', 'collector.log'].map((name) => join(room.directory, name)));
  for (const file of files) {
    const text = readFileSync(file, 'utf8');
    for (const secret of [RIGHT.WMB_E2E_SECRET, WRONG.WMB_E2E_SECRET]) assert.ok(!text.includes(secret), file);
    for (const line of text.trimEnd().split('\n')) {
      const { level, time, name, room, msg } = JSON.parse(line) as Record<string, string>;
      assert.ok(
        [level, time, name, room, msg].every((field) => typeof field === 'string'),
        line,
      );
    }
  }
  const refusals = readFileSync(join(scene.room(0).directory, 'reship.log'), 'utf8');
  for (const code of ['IDENTITY_REFUSED', 'TOPOLOGY_STALE', 'PROTOCOL_VERSION', 'ROOM_UNKNOWN'])
    assert.ok(refusals.includes(`"code":"${code}"`), code);
});
