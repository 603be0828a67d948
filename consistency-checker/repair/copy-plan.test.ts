import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { CachePlace, CachePlaces } from '../../core/inspection.ts';
import { laneOfTest, testStamp } from '../messages/receipts-kit.ts';
import { coveredBy, endOfCopy, lackingLanes, lanesBehind, movingLane, whyNot, whyOver } from './copy-plan.ts';

const SEEN = testStamp(1_000);

function place(origin: string, more: Partial<CachePlace> = {}): CachePlace {
  const whole = { cache: 90, others: 90, applied: 90, seen: SEEN, state: 'streaming', reason: '', logFrom: -1 };
  return { ...laneOfTest(origin), ...whole, ...more };
}

/** Its cache is gone, and the log begins at 50. */
const lost = (origin: string, more: Partial<CachePlace> = {}): CachePlace =>
  place(origin, { cache: -1, applied: -1, seen: '', state: 'stopped-on-gap', logFrom: 50, ...more });

const places = (lanes: readonly CachePlace[], more: Partial<CachePlaces> = {}): CachePlaces => ({
  room: 'guangzhou',
  nowMs: 1,
  life: 'a',
  settled: '',
  lanes,
  ...more,
});
const source = (lanes: readonly CachePlace[], more: Partial<CachePlaces> = {}) => ({ room: 'beijing', places: places(lanes, more) });

describe('what a copy has to bring', () => {
  test('is what stands on a gap that only the cache has', () => {
    const names = (...lanes: CachePlace[]) => lackingLanes(places(lanes)).map(({ origin }) => origin);
    assert.deepEqual(names(lost('beijing'), place('lhasa')), ['beijing']);
    assert.deepEqual(names(lost('beijing', { cache: 48 })), ['beijing'], 'an older cache');
    assert.deepEqual(names(lost('beijing', { others: 48 })), [], 'the receipts, or the database, lack it too');
    assert.deepEqual(names(lost('beijing', { others: 49 })), ['beijing']);
    assert.deepEqual(names(lost('beijing', { cache: 60 })), [], 'the log lacks something else');
    assert.deepEqual(names(lost('beijing', { state: 'paused' })), [], 'a person has paused it');
    assert.deepEqual(names(lost('beijing', { logFrom: -1 })), [], 'another log epoch');
  });

  test('is everything in which the peer was ahead, whatever the lane’s state', () => {
    const own = places([lost('beijing'), place('lhasa', { cache: 80, applied: 80 }), place('xian', { cache: 95 })]);
    const behind = lanesBehind(own, source([place('beijing'), place('lhasa'), place('xian')]));
    assert.deepEqual(
      behind.map(({ origin }) => origin),
      ['beijing', 'lhasa'],
    );
    assert.equal(movingLane(behind)?.origin, 'lhasa', 'what takes older frames is waited for');
  });
});

describe('in a room that follows another one’s effects', () => {
  const effects = (more: Partial<CachePlace> = {}): CachePlace => place('beijing', { log: 'effects', ...more });
  const gone = { cache: -1, applied: -1, seen: '', state: 'stopped-on-gap' };
  const own = places([place('lhasa', gone), effects({ ...gone, logFrom: 50 })]);
  const from = source([place('lhasa', { cache: 40, applied: 30 }), effects()]);

  test('what stands on the gap are the effects', () => {
    assert.deepEqual(
      lackingLanes(own).map(({ log }) => log),
      ['effects'],
    );
    assert.equal(whyNot(from, own), undefined);
    assert.match(
      whyNot(source([place('lhasa'), effects({ applied: 48 })]), own) ?? '',
      /effects\/beijing\/0 up to 48, and its log begins at 50/,
    );
    assert.match(whyNot(source([place('lhasa'), effects({ seen: '' })]), own) ?? '', /does not know of effects/);
  });

  test('their mark moves to where the copied room was, and the marks derived from them over what is parked there', () => {
    assert.deepEqual(
      endOfCopy(own, from, '').moves.map(({ log, next }) => [log, next]),
      [
        ['writes', 40],
        ['effects', 90],
      ],
    );
  });

  test('derived marks that move are waited for', () => {
    const moving = places([place('lhasa', { cache: 39 }), effects()]);
    assert.equal(movingLane(lanesBehind(moving, from))?.origin, 'lhasa');
    assert.deepEqual(lanesBehind(places([place('lhasa', { cache: 40 }), effects()]), from), []);
  });

  test('the stamps of effects say nothing of what has been seen: they are those of their sources', () => {
    assert.equal(coveredBy(source([place('lhasa'), effects({ seen: testStamp(900) })]), own), `${SEEN}ffff`);
  });
});

test('the room that makes the effects copies no mark of them, and does not ask what a peer’s cache has of them', () => {
  const made = (more: Partial<CachePlace>) => place('guangzhou', { log: 'effects', ...more });
  const master = places([lost('beijing'), made({ cache: 60, state: '' })]);
  const slave = source([place('beijing', { applied: 80 }), made({ seen: '' })]);
  assert.equal(whyNot(slave, master), undefined);
  assert.deepEqual(
    endOfCopy(master, slave, '').moves.map(({ log, next }) => [log, next]),
    [['writes', 80]],
  );
});

describe('a room that is copied', () => {
  const own = places([lost('beijing'), place('lhasa')]);
  const whole = [place('beijing'), place('lhasa')];

  test('is whole, and reaches to where the log goes on', () => {
    assert.equal(whyNot(source(whole), own), undefined);
    assert.match(whyNot(source([place('beijing', { applied: 48 }), place('lhasa')]), own) ?? '', /its log begins at 50/);
    assert.equal(whyNot(source([place('beijing', { applied: 49 }), place('lhasa')]), own), undefined);
  });

  test('does not stand on a gap itself, and its cache has not just come back', () => {
    assert.match(whyNot(source([place('beijing'), lost('lhasa')]), own) ?? '', /stands on a gap itself/);
    assert.match(whyNot(source([place('beijing'), place('lhasa', { seen: '' })]), own) ?? '', /does not know/);
  });

  test('has forgotten nothing beyond what all its lanes have seen', () => {
    const older = [place('beijing'), place('lhasa', { seen: testStamp(900) })];
    const settled = `${testStamp(950)}ffff`;
    const alone = places([lost('beijing'), place('lhasa', { seen: '' })]);
    assert.match(whyNot(source(older, { settled }), alone) ?? '', /may have forgotten/);
    assert.equal(whyNot(source(whole, { settled }), alone), undefined);
    assert.match(whyNot(source(older), { ...alone, settled }) ?? '', /this room may have forgotten/);
  });

  test('is of the same log epochs', () => {
    const other = { epoch: 'f'.repeat(16) };
    assert.match(whyNot(source([place('beijing', other), place('lhasa')]), own) ?? '', /beijing/);
    assert.match(whyNot(source([place('beijing'), place('lhasa', other)]), own) ?? '', /another log epoch/);
  });

  test('stands for everything up to the least of what its lanes have seen', () => {
    const alone = places([lost('beijing'), place('lhasa', { seen: '' })]);
    assert.equal(coveredBy(source([place('beijing'), place('lhasa', { seen: testStamp(900) })]), alone), `${testStamp(900)}ffff`);
  });
});

describe('a copy', () => {
  const own = places([lost('beijing'), place('lhasa')]);
  const from = source([place('beijing'), place('lhasa')]);
  const behind = lanesBehind(own, from);

  test('is over where the cache or its collector is another, a lane has moved, or a person pauses it', () => {
    assert.equal(whyOver(own, behind, own), undefined);
    assert.match(whyOver(own, behind, { ...own, life: 'b' }) ?? '', /not what it was/);
    assert.match(whyOver(own, behind, places([lost('beijing', { cache: 3 }), place('lhasa')])) ?? '', /has moved from -1 to 3/);
    assert.match(whyOver(own, behind, places([lost('beijing', { state: 'paused' }), place('lhasa')])) ?? '', /was paused/);
    assert.equal(
      whyOver(own, behind, places([lost('beijing'), place('lhasa', { cache: 99, applied: 99 })])),
      undefined,
      'the others go on',
    );
  });

  test('ends with the marks that were read first, and with what had been forgotten last', () => {
    const end = endOfCopy(own, from, SEEN);
    assert.deepEqual(end, { life: 'a', settled: SEEN, moves: [{ ...laneOfTest('beijing'), expected: -1, next: 90 }] });
  });
});
