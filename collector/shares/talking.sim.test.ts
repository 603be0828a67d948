/**
 * Collectors that divide a room's shares by talking, on machines that die, stand still and join at any moment. What they say comes late, twice, or not at all, and
 * they are not told which. When all of that is over, each share has one collector that works on it.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { WmbError } from '../../core/errors.ts';
import { VirtualTime } from '../../core/flow/virtual-time.testing.ts';
import { silentLogger } from '../../core/logger.ts';
import { MemoryTalk, MemoryTalkTopic } from '../../log/memory/talk.ts';
import type { Talk } from '../../log/talk.ts';
import { Random } from '../../simulator/random.ts';
import { ShareKeeper, type ShareWork } from './keeper.ts';
import { TalkedShares } from './talked-shares.ts';

const SEEDS = 16;
const SHARES = 4;
const COLLECTORS_MAX = 4;
const STEP_MS = 100;
const STORM_STEPS = 1_500;
const CALM_STEPS = 700;

/** In a step of the storm. */
const DIES = 0.003;
const JOINS = 0.004;
const STANDS_STILL = 0.006;
const IS_OVER = 0.01;
/** Of a word, or of a beginning. */
const FAILS = 0.05;
const COMES_AGAIN = 0.1;

interface Collector {
  readonly time: VirtualTime;
  readonly keeper: ShareKeeper<ShareWork>;
  readonly working: Set<number>;
  /** Shares on which its work cannot go on. */
  readonly over: Set<number>;
  stillUntilMs: number;
}

class Storm {
  readonly collectors = new Map<string, Collector>();
  readonly #random: Random;
  readonly #topic = new MemoryTalkTopic();
  #again: { readonly atMs: number; readonly word: Uint8Array }[] = [];
  #nowMs = 0;
  #joined = 0;
  #isOver = false;

  constructor(seed: number) {
    this.#random = new Random(seed);
  }

  async run(): Promise<void> {
    for (let count = 0; count < COLLECTORS_MAX - 1; count += 1) this.#join();
    for (let step = 0; step < STORM_STEPS; step += 1) {
      this.#strike();
      await this.#step();
    }
    this.#isOver = true;
    for (const { over } of this.collectors.values()) over.clear();
    for (let step = 0; step < CALM_STEPS; step += 1) await this.#step();
  }

  #happens(chance: number): boolean {
    return !this.#isOver && this.#random.chance(chance);
  }

  #strike(): void {
    const random = this.#random;
    if (this.#happens(DIES) && this.collectors.size > 1) this.collectors.delete(random.pick([...this.collectors.keys()]));
    if (this.#happens(JOINS) && this.collectors.size < COLLECTORS_MAX) this.#join();
    const all = [...this.collectors.values()];
    if (this.#happens(STANDS_STILL)) random.pick(all).stillUntilMs = this.#nowMs + random.int(0, 12_000);
    if (this.#happens(IS_OVER)) random.pick(all).over.add(random.int(0, SHARES - 1));
  }

  async #step(): Promise<void> {
    this.#nowMs += STEP_MS;
    const due = this.#again.filter(({ atMs }) => atMs <= this.#nowMs);
    this.#again = this.#again.filter(({ atMs }) => atMs > this.#nowMs);
    for (const { word } of due) {
      this.#topic.records.push(word);
      for (const listener of this.#topic.listeners) listener();
    }
    for (const { time, stillUntilMs } of this.collectors.values())
      if (this.#isOver || stillUntilMs <= this.#nowMs) await time.advance(STEP_MS);
  }

  #join(): void {
    this.#joined += 1;
    const name = `c${this.#joined}`;
    const self = { name, address: `${name}:1` };
    const runtime = new VirtualTime();
    const shares = new TalkedShares({ self, talk: this.#talk(runtime), runtime, logger: silentLogger });
    const [working, over] = [new Set<number>(), new Set<number>()];
    const keeper = new ShareKeeper<ShareWork>({
      ...{ self, count: SHARES, registry: shares, runtime, logger: silentLogger },
      lease: (share) => shares.lease(share),
      work: (share) => this.#work(share, working, over),
    });
    this.collectors.set(name, { time: runtime, keeper, working, over, stillUntilMs: 0 });
    // Who cannot join ends, as a daemon does whose start fails.
    void shares.open().then(
      () => keeper.start(),
      () => this.collectors.delete(name),
    );
  }

  #work(share: number, working: Set<number>, over: Set<number>): ShareWork {
    return {
      start: async () => {
        if (this.#happens(FAILS)) throw new WmbError('STORE_UNAVAILABLE', 'away for a moment');
        working.add(share);
        over.delete(share);
      },
      drain: async () => {},
      stop: async () => void working.delete(share),
      unready: () => undefined,
      news: () => ({ seen: '018bcfe56800000101000001', restsOn: `left of ${share}` }),
      over: () => (over.has(share) ? new WmbError('STORE_LOCKED', 'somebody else writes its journal') : undefined),
    };
  }

  #talk(runtime: VirtualTime): Talk {
    const delayMs = () => (this.#isOver ? 5 : this.#random.int(5, 400));
    const talk = new MemoryTalk({ topic: this.#topic, runtime, delayMs });
    return {
      say: async (word) => {
        if (this.#happens(FAILS)) throw new WmbError('LOG_UNAVAILABLE', 'it was not taken');
        await talk.say(word);
        if (this.#happens(COMES_AGAIN)) this.#again.push({ atMs: this.#nowMs + this.#random.int(0, 8_000), word });
        if (this.#happens(FAILS)) throw new WmbError('LOG_UNAVAILABLE', 'it was taken, and not answered');
      },
      hear: (after, over) => talk.hear(after, over),
      forget: (at) => talk.forget(at),
      close: () => {},
    };
  }
}

for (let seed = 1; seed <= SEEDS; seed += 1) {
  test(`after a storm each share has one collector that works on it, and none complains (seed ${seed})`, async () => {
    const storm = new Storm(seed);
    await storm.run();
    const all = [...storm.collectors.values()];
    assert.deepEqual(all.flatMap(({ working }) => [...working]).sort(), [0, 1, 2, 3]);
    assert.deepEqual(
      all.map(({ keeper }) => keeper.unready()),
      all.map(() => undefined),
    );
  });
}
