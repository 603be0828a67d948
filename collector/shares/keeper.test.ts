import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { WmbError } from '../../core/errors.ts';
import { VirtualTime } from '../../core/flow/virtual-time.testing.ts';
import { silentLogger } from '../../core/logger.ts';
import { ensureDivision } from '../receipts/division.ts';
import { LEASE_MS, ShareLease } from '../receipts/lease.ts';
import { ShareRegistry } from '../receipts/share-registry.ts';
import { ShareKeeper, type ShareWork } from './keeper.ts';

const SHARES = 4;
/** Leases run out, silence is noticed, and shares move one at a time. */
const MOVED_MS = LEASE_MS + 6_000;

/** What the collectors of a room have for the moment, by their names. */
class TestRoom {
  readonly time = new VirtualTime();
  readonly directory: string;
  readonly keepers = new Map<string, ShareKeeper<ShareWork>>();
  readonly working = new Map<string, Set<number>>();
  /** Shares that two worked on at once. */
  readonly clashes: string[] = [];
  seen = '018bcfe56800000101000001';

  constructor(context: TestContext) {
    this.directory = mkdtempSync(join(tmpdir(), 'wmb-shares-'));
    ensureDivision({ directory: this.directory, room: 'beijing', count: SHARES, runtime: this.time, logger: silentLogger });
    context.after(() => rmSync(this.directory, { recursive: true, force: true }));
  }

  async join(name: string, work: Partial<ShareWork> = {}): Promise<ShareKeeper<ShareWork>> {
    const shares = new Set<number>();
    this.working.set(name, shares);
    const { time: runtime, directory } = this;
    const keeper = new ShareKeeper<ShareWork>({
      self: { name, address: `${name}:1` },
      count: SHARES,
      registry: new ShareRegistry({ file: join(directory, 'shares.db'), room: 'beijing', shares: SHARES, runtime }),
      lease: (share) => new ShareLease({ file: join(directory, `book-${share}.db`), room: 'beijing', owner: name, runtime }),
      work: (share) => ({ ...this.#work(shares, share), ...work }),
      runtime,
      logger: silentLogger,
    });
    this.keepers.set(name, keeper);
    await keeper.start();
    return keeper;
  }

  /** How many shares each has, in the order of joining. */
  get counts(): number[] {
    return [...this.working.values()].map(({ size }) => size);
  }

  get all(): number[] {
    return [...this.working.values()].flatMap((shares) => [...shares]).sort();
  }

  #work(own: Set<number>, share: number): ShareWork {
    return {
      start: async () => {
        for (const [name, shares] of this.working) if (shares.has(share)) this.clashes.push(`${share} of ${name}`);
        own.add(share);
      },
      drain: async () => {},
      stop: async () => void own.delete(share),
      unready: () => undefined,
      news: () => ({ seen: this.seen, restsOn: `left of ${share}` }),
    };
  }
}

test('a collector alone takes all shares; one that joins gets its part, and so does the next', async (context) => {
  const room = new TestRoom(context);
  const first = await room.join('a');
  await room.time.advance(MOVED_MS);
  assert.deepEqual(room.counts, [4]);
  const second = await room.join('b');
  await room.time.advance(MOVED_MS);
  assert.deepEqual(room.counts, [2, 2]);
  const third = await room.join('c');
  await room.time.advance(MOVED_MS);
  assert.deepEqual([...room.counts].sort(), [1, 1, 2]);
  assert.deepEqual(room.all, [0, 1, 2, 3]);
  assert.deepEqual(room.clashes, []);
  assert.deepEqual(
    third.registered.collectors.map(({ name }) => name),
    ['a', 'b', 'c'],
  );
  for (const keeper of [first, second, third]) await keeper.stop();
});

test('one that ends in order gives its shares away at once', async (context) => {
  const room = new TestRoom(context);
  const first = await room.join('a');
  const second = await room.join('b');
  await room.time.advance(MOVED_MS);
  await first.stop();
  await room.time.advance(2_500);
  assert.deepEqual(room.counts, [0, 4]);
  await second.stop();
});

test('the shares of one that stands still go to the others, and it lets go of them when it wakes up', async (context) => {
  const room = new TestRoom(context);
  const first = await room.join('a');
  await room.time.advance(MOVED_MS);
  // Another clock than that of the rest, which goes on: nothing of it runs meanwhile.
  const awake = new VirtualTime();
  await awake.advance(room.time.nowMs() + LEASE_MS + 1);
  Object.assign(room, { time: awake });
  const second = await room.join('b');
  await awake.advance(MOVED_MS);
  assert.equal(room.working.get('b')?.size, 4);
  await first.drain();
  assert.equal(room.working.get('a')?.size, 0);
  assert.equal(room.working.get('b')?.size, 4);
  for (const keeper of [first, second]) await keeper.stop();
});

test('what the others have seen is the least of it, and nothing where one of them does not know', async (context) => {
  const room = new TestRoom(context);
  const keeper = await room.join('a');
  assert.equal(keeper.others(0), undefined);
  await room.time.advance(MOVED_MS);
  assert.deepEqual(keeper.others(0), { seen: room.seen, restsOn: ['left of 1', 'left of 2', 'left of 3'] });
  room.seen = '';
  await room.time.advance(1_000);
  assert.equal(keeper.others(0), undefined);
  await keeper.stop();
});

test('work that cannot begin is tried again, by others too', async (context) => {
  const room = new TestRoom(context);
  const broken = await room.join('a', { start: () => Promise.reject(new WmbError('STORE_UNAVAILABLE', 'away')) });
  await room.time.advance(MOVED_MS);
  assert.match(broken.unready() ?? '', /^STORE_UNAVAILABLE: nobody works on share \d of the room: away$/);
  assert.equal(broken.whyFree(0)?.code, 'STORE_UNAVAILABLE');
  const sound = await room.join('b');
  await room.time.advance(2 * MOVED_MS);
  assert.ok((room.working.get('b')?.size ?? 0) >= 2, String(room.counts));
  const [taken = -1] = room.working.get('b') ?? [];
  assert.equal(broken.whyFree(taken), undefined);
  await broken.stop();
  await room.time.advance(MOVED_MS);
  assert.deepEqual(room.all, [0, 1, 2, 3]);
  assert.equal(sound.unready(), undefined);
  await sound.stop();
});

const full = () => {
  throw new WmbError('STORE_FULL', 'no space is left');
};

test('where one share cannot be renewed, the others are not lost with it', async (context) => {
  const room = new TestRoom(context);
  const only = await room.join('a');
  await room.time.advance(MOVED_MS);
  const { renew } = ShareLease.prototype;
  // Of the first share, each time.
  const renewed = context.mock.method(ShareLease.prototype, 'renew', function (this: ShareLease) {
    return renewed.mock.callCount() % SHARES === 0 ? full() : renew.call(this);
  });
  await room.time.advance(2 * LEASE_MS);
  assert.match(only.unready() ?? '', /STORE_FULL/);
  const other = await room.join('b');
  await room.time.advance(1_000);
  assert.deepEqual(room.counts, [4, 0]);
  renewed.mock.restore();
  await room.time.advance(1_000);
  assert.equal(only.unready(), undefined);
  for (const keeper of [only, other]) await keeper.stop();
});

test('a share that cannot be given back runs out, and the collector lives on', async (context) => {
  const room = new TestRoom(context);
  const first = await room.join('a');
  await room.time.advance(MOVED_MS);
  const second = await room.join('b');
  const released = context.mock.method(ShareLease.prototype, 'release', full);
  await room.time.advance(2 * MOVED_MS);
  assert.deepEqual(room.counts, [2, 2]);
  assert.equal(released.mock.callCount(), 2);
  released.mock.restore();
  for (const keeper of [first, second]) await keeper.stop();
});

test('a registry of another room, or divided otherwise, is refused', (context) => {
  const room = new TestRoom(context);
  const at = (id: string, shares: number) =>
    new ShareRegistry({ file: join(room.directory, 'shares.db'), room: id, shares, runtime: room.time });
  at('beijing', 4).close();
  assert.throws(() => at('guangzhou', 4), { code: 'STORE_FOREIGN' });
  assert.throws(() => at('beijing', 2), { code: 'STORE_FOREIGN' });
});
