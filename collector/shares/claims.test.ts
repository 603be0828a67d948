/** Who has which share, by what collectors say to each other. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { WmbError } from '../../core/errors.ts';
import { VirtualTime } from '../../core/flow/virtual-time.testing.ts';
import { silentLogger } from '../../core/logger.ts';
import { sleep } from '../../core/runtime.ts';
import { MemoryTalk, MemoryTalkTopic } from '../../log/memory/talk.ts';
import type { Talk } from '../../log/talk.ts';
import { LEASE_MS } from '../receipts/lease.ts';
import { type Claim, Claims, decodeShares, encodeShares, type SharesSaid } from './claims.ts';
import { ShareKeeper, type ShareWork } from './keeper.ts';
import { TalkedShares } from './talked-shares.ts';

const SHARES = 4;
const MOVED_MS = LEASE_MS + 8_000;

function said(name: string, more: Partial<SharesSaid> = {}): SharesSaid {
  return { name, address: `${name}:1`, turn: 0, heardTo: -1, counts: true, holds: [], news: [], ...more };
}

const free = (share: number): Claim => ({ share, from: undefined });

test('of two that claim a free share the first one has it, and all agree', () => {
  const claims = new Claims();
  claims.take(0, said('a', { claims: free(0) }), 0);
  claims.take(1, said('b', { claims: free(0) }), 0);
  assert.equal(claims.ownerOf(0), 'a');
  // What it says before it knows that it has the share does not give it back.
  claims.take(2, said('a', { heardTo: -1 }), 0);
  assert.equal(claims.ownerOf(0), 'a');
  claims.take(3, said('a', { heardTo: 2, holds: [{ share: 0, claim: 0 }] }), 0);
  claims.take(4, said('a', { heardTo: 3 }), 0);
  assert.equal(claims.ownerOf(0), undefined);
});

test('a share is claimed from one that is silent, and stays with one that has said something since', () => {
  const claims = new Claims();
  claims.take(0, said('a', { claims: free(0) }), 0);
  assert.equal(claims.claim(0, LEASE_MS, LEASE_MS), undefined);
  const claim = claims.claim(0, LEASE_MS + 1, LEASE_MS);
  assert.deepEqual(claim, { share: 0, from: { name: 'a', at: 0 } });
  claims.take(1, said('a', { heardTo: 0, holds: [{ share: 0, claim: 0 }] }), LEASE_MS + 1);
  claims.take(2, said('b', { claims: claim }), LEASE_MS + 1);
  assert.equal(claims.ownerOf(0), 'a');
  claims.take(3, said('b', { claims: { share: 0, from: { name: 'a', at: 1 } } }), LEASE_MS + 1);
  assert.equal(claims.ownerOf(0), 'b');
});

test('who begins to hear late knows it from what is said again', () => {
  const claims = new Claims();
  claims.take(900, said('a', { heardTo: 800, holds: [{ share: 0, claim: 5 }] }), 0);
  claims.take(901, said('b', { heardTo: 899, holds: [{ share: 0, claim: 700 }] }), 0);
  assert.equal(claims.ownerOf(0), 'b');
  claims.take(902, said('a', { heardTo: 800, holds: [{ share: 0, claim: 5 }] }), 0);
  assert.equal(claims.ownerOf(0), 'b');
  claims.take(903, said('b', { leaves: true }), 0);
  assert.equal(claims.ownerOf(0), undefined);
});

test('what a stranger says is passed over, and a newer WMB is not', () => {
  assert.equal(decodeShares(Buffer.from('hello')), undefined);
  assert.equal(decodeShares(Buffer.from('{}')), undefined);
  assert.deepEqual(decodeShares(encodeShares(said('a')))?.name, 'a');
  assert.throws(() => decodeShares(Buffer.from('{"format":2}')), { code: 'LOG_FOREIGN' });
});

/** Collectors on machines with clocks of their own, which talk. */
class Talking {
  readonly topic = new MemoryTalkTopic();
  readonly working = new Map<string, Set<number>>();
  readonly keepers = new Map<string, ShareKeeper<ShareWork>>();
  delayMs = 5;
  /** Kafka takes no word until then. */
  ledMs = 0;
  /** Called with the collector that makes the work on a share; it may throw. */
  made: (name: string) => object = () => ({});

  async join(name: string, time: VirtualTime, over: () => boolean = () => false): Promise<void> {
    const own = new Set<number>();
    this.working.set(name, own);
    const self = { name, address: `${name}:1` };
    const talk = new MemoryTalk({ topic: this.topic, runtime: time, delayMs: () => this.delayMs });
    const words: Talk = {
      say: async (word) => {
        if (time.nowMs() >= this.ledMs) return talk.say(word);
        await sleep(time, 3_000);
        throw new WmbError('LOG_UNAVAILABLE', 'has no leader');
      },
      hear: (after, over) => talk.hear(after, over),
      forget: (at) => talk.forget(at),
      close: () => {},
    };
    const shares = new TalkedShares({ self, talk: words, runtime: time, logger: silentLogger });
    const keeper = new ShareKeeper<ShareWork>({
      ...{ self, count: SHARES, registry: shares, runtime: time, logger: silentLogger },
      lease: (share) => shares.lease(share),
      work: (share) => ({
        ...this.made(name),
        start: async () => void own.add(share),
        drain: async () => {},
        stop: async () => void own.delete(share),
        unready: () => undefined,
        news: () => ({ seen: '018bcfe56800000101000001', restsOn: `left of ${share}` }),
        over: () => (over() ? new WmbError('STORE_LOCKED', 'taken') : undefined),
      }),
    });
    this.keepers.set(name, keeper);
    const opened = shares.open().then(() => keeper.start());
    opened.catch(() => {});
    await time.advance(Math.max(0, this.ledMs - time.nowMs() + 5_000) + 1_000);
    await opened;
  }

  get counts(): number[] {
    return [...this.working.values()].map(({ size }) => size);
  }

  get all(): number[] {
    return [...this.working.values()].flatMap((shares) => [...shares]).sort();
  }
}

test('collectors that talk divide the shares, and one that leaves gives its own away', async () => {
  const time = new VirtualTime();
  const room = new Talking();
  await room.join('a', time);
  await time.advance(MOVED_MS);
  assert.deepEqual(room.counts, [4]);
  await room.join('b', time);
  await room.join('c', time);
  await time.advance(2 * MOVED_MS);
  assert.deepEqual([...room.counts].sort(), [1, 1, 2]);
  assert.deepEqual(room.all, [0, 1, 2, 3]);
  const leaving = room.keepers.get('a')?.stop();
  await time.advance(MOVED_MS);
  await leaving;
  assert.deepEqual(room.counts, [0, 2, 2]);
});

test('one that joins while Kafka takes no word waits until it does, and not for ever', async () => {
  const time = new VirtualTime();
  const room = new Talking();
  room.ledMs = time.nowMs() + 20_000;
  await room.join('a', time);
  await time.advance(MOVED_MS);
  assert.deepEqual(room.counts, [4]);
  room.ledMs = time.nowMs() + 60_000;
  await assert.rejects(room.join('b', time), { code: 'LOG_UNAVAILABLE', message: 'has no leader' });
});

test('the shares of one that stands still go to the others, and it knows when it hears of it', async () => {
  const [time, other] = [new VirtualTime(), new VirtualTime()];
  const room = new Talking();
  await room.join('a', other);
  await other.advance(MOVED_MS);
  assert.deepEqual(room.counts, [4]);
  // The clock of a stands still from here on.
  await room.join('b', time);
  await time.advance(MOVED_MS + 4_000);
  assert.deepEqual(room.counts, [4, 4]);
  await other.advance(3_000);
  assert.deepEqual(room.counts, [0, 4]);
});

test('work that cannot go on begins anew', async () => {
  const time = new VirtualTime();
  const room = new Talking();
  let isOver = false;
  await room.join('a', time, () => isOver);
  await time.advance(MOVED_MS);
  isOver = true;
  await time.advance(1_000);
  assert.deepEqual(room.counts, [0]);
  isOver = false;
  await time.advance(MOVED_MS);
  assert.deepEqual(room.counts, [4]);
});

test('a share on which a collector cannot even begin goes to another one', async () => {
  const time = new VirtualTime();
  const room = new Talking();
  room.made = (name): object => {
    if (name === 'a') throw new WmbError('CONFIG_UNREADABLE', 'a certificate is being replaced');
    return {};
  };
  await room.join('a', time);
  await time.advance(1_000);
  await room.join('b', time);
  await time.advance(2 * MOVED_MS);
  assert.deepEqual(room.counts, [0, 4]);
  room.made = () => ({});
  await time.advance(2 * MOVED_MS);
  assert.deepEqual(room.counts, [2, 2]);
});

test('a claim that comes a second time, when its share is free again, leaves the share with nobody who does not work on it', async () => {
  const time = new VirtualTime();
  const room = new Talking();
  const { topic } = room;
  await room.join('a', time);
  await room.join('b', time);
  await time.advance(2 * MOVED_MS);
  assert.deepEqual(room.counts, [2, 2]);
  const given = [...(room.working.get('a') ?? [])];
  const leaving = room.keepers.get('a')?.stop();
  while (decodeShares(topic.records.at(-1) ?? Buffer.alloc(0))?.leaves !== true) await time.advance(1);
  // A broker that did not answer had kept what b had said when both claimed them.
  for (const share of given) topic.records.push(encodeShares(said('b', { claims: free(share) })));
  await time.advance(2 * MOVED_MS);
  await leaving;
  assert.deepEqual(room.counts, [0, 4]);
});
