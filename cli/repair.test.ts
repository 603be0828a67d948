import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Drift } from '../consistency-checker/drift.ts';
import { ALARM, DRIFT } from '../consistency-checker/report/drift.fixture.ts';
import { WmbError } from '../core/errors.ts';
import type { RepairProgress, RepairRequest } from '../proto/gen/wmb/v1/checker.ts';
import { type FakeChecker, fakeChecker } from './drift/fakes.ts';
import { type FakeRoom, fakeRooms, wmb } from './testing.ts';

/** Wrong in guangzhou; wrong in beijing; it cannot be told where. */
const MISSING = DRIFT;
const STALE: Drift = { ...DRIFT, id: '2b000000', kind: 'stale', wrong: 'beijing', subject: { type: 'key', name: 'b' } };
const OPAQUE: Drift = { ...DRIFT, id: '3c000000', kind: 'value', wrong: '', subject: { type: 'key', name: 'c' } };

function progress(id: string, more: Partial<RepairProgress> = {}): RepairProgress {
  return { id, subject: id, action: 'push', result: 'repaired', detail: '', diff: [], done: 1, total: 1, ...more };
}

interface Asked {
  readonly room: string;
  readonly request: RepairRequest;
}

async function repaired(
  args: readonly string[],
  answers: { readonly [room: string]: ((request: RepairRequest) => readonly (RepairProgress | WmbError)[]) | 'away' },
  drifts: readonly Drift[] = [MISSING, STALE],
): Promise<{ code: number | null; stdout: string; stderr: string; asked: readonly Asked[] }> {
  const asked: Asked[] = [];
  const room = (name: string): FakeRoom => {
    const answer = answers[name] ?? ((request: RepairRequest) => request.ids.map((id) => progress(id)));
    if (answer === 'away') return { checker: 'away' };
    const repair: FakeChecker['repair'] = (request) => {
      asked.push({ room: name, request });
      return answer(request);
    };
    return fakeChecker({ room: name, drifts, repair });
  };
  const fake = await fakeRooms([room('beijing'), room('guangzhou')]);
  try {
    return { ...(await wmb(['repair', ...args, '--config', fake.configFile])), asked };
  } finally {
    fake.stop();
  }
}

test('each drift is repaired by the checker of its wrong room, in the name of who asks', async () => {
  const { code, stdout, stderr, asked } = await repaired(['--all', '--apply'], {});
  assert.deepEqual([code, stderr], [0, '']);
  assert.deepEqual(asked.map(({ room, request: { ids, apply, all } }) => [room, ids, apply, all]).sort(), [
    ['beijing', ['2b000000'], true, false],
    ['guangzhou', ['1f3a5b7c'], true, false],
  ]);
  assert.match(asked[0]?.request.by ?? '', /^\S+@\S+$/);
  assert.match(stdout, /\n?1f3a5b7c {2}repaired {2}push in guangzhou {2}1f3a5b7c\n/);
  assert.match(stdout, /2 drifts: 2 repaired\n$/);
});

test('without --apply the diffs are shown, and it is said that nothing was changed', async () => {
  const diff = ['- nothing', '+ "42"'];
  const { code, stdout, stderr, asked } = await repaired(['1f3'], { guangzhou: () => [progress(MISSING.id, { result: 'planned', diff })] });
  assert.equal(code, 0);
  assert.equal(asked[0]?.request.apply, false);
  assert.equal(stdout, '1f3a5b7c  planned  push in guangzhou  1f3a5b7c\n    - nothing\n    + "42"\n1 drift: 1 planned\n');
  assert.equal(stderr, 'nothing was changed; add --apply\n');
});

test('a key that was written meanwhile stays as its user wrote it: it is said, with exit code 7', async () => {
  const detail = 'the key was written meanwhile';
  const { code, stdout, stderr } = await repaired(['1f3', '--apply'], {
    guangzhou: () => [progress(MISSING.id, { result: 'overtaken', detail })],
  });
  assert.equal(code, 7);
  assert.match(stdout, /overtaken {2}push in guangzhou {2}1f3a5b7c: the key was written meanwhile/);
  assert.match(
    stderr,
    /^wmb: DIFFERENCE: 1 of 1 drift could not be repaired, the first: 1f3a5b7c overtaken: the key was written meanwhile/,
  );
});

test('a drift of which the wrong side cannot be told waits for --from, which sends it to the other room', async () => {
  const without = await repaired(['3c', '--apply'], {}, [OPAQUE]);
  assert.deepEqual([without.code, without.asked], [7, []]);
  assert.match(
    without.stdout,
    /3c000000 {2}refused .*: which side is wrong cannot be told: name the right one with --from beijing or --from guangzhou/,
  );
  const given = await repaired(['3c', '--apply', '--from', 'beijing'], {}, [OPAQUE]);
  assert.deepEqual([given.code, given.asked.map(({ room, request }) => [room, request.from])], [0, [['guangzhou', 'beijing']]]);
});

test('a selection over the limit of a room stops everything: what comes after is not asked for', async () => {
  const limit = new WmbError('REPAIR_LIMIT', '2 keys are more than 1');
  const { code, stdout, stderr, asked } = await repaired(['--all', '--apply'], { beijing: () => [limit], guangzhou: () => [limit] });
  assert.equal(asked.length, 1);
  assert.equal(code, 5);
  assert.match(stdout, /2 drifts: 2 skipped/);
  assert.match(stderr, /REPAIR_LIMIT: 2 keys are more than 1/);
});

test('a room whose checker is away does not hold up the others, and its drifts are told as not repaired', async () => {
  const { code, stdout, stderr, asked } = await repaired(['--all', '--apply'], { guangzhou: 'away' });
  assert.deepEqual([code, asked.map(({ room }) => room)], [7, ['beijing']]);
  assert.match(stdout, /1f3a5b7c {2}skipped {2}resend in guangzhou {2}unread:7: UNREACHABLE: checker of guangzhou/);
  assert.match(stdout, /2b000000 {2}repaired/);
  assert.match(stderr, /1 of 2 drifts could not be repaired/);
});

test('--limit counts over all rooms', async () => {
  const { code, stdout, asked } = await repaired(['--all', '--apply', '--limit', '1'], {});
  assert.deepEqual(
    asked.map(({ request }) => request.limit),
    [1],
  );
  assert.equal(code, 5);
  assert.match(stdout, /skipped .*the limit of 1 was reached/);
});

test('--all leaves alarms out and --room those that are wrong elsewhere; what is closed already is done', async () => {
  const none = await repaired(['--all', '--apply'], {}, [ALARM]);
  assert.deepEqual([none.code, none.stdout, none.asked], [0, 'there is nothing to repair\n', []]);
  const one = await repaired(['--all', '--room', 'beijing', '--apply', '--json'], {});
  assert.deepEqual(
    one.asked.map(({ room }) => room),
    ['beijing'],
  );
  const { apply, counts, steps } = JSON.parse(one.stdout);
  assert.deepEqual([apply, counts, steps.length], [true, { repaired: 1 }, 1]);
  const closed = await repaired([MISSING.id, '--apply'], {}, [{ ...MISSING, status: 'healed' }]);
  assert.deepEqual([closed.code, closed.asked], [0, []]);
  assert.match(closed.stdout, /1f3a5b7c {2}closed {2}resend {2}unread:7: healed already/);
});

test('a repair without drifts, or with an id that is none, is refused', async () => {
  assert.equal((await repaired([], {})).code, 2);
  assert.equal((await repaired(['1f3', '--all'], {})).code, 2);
  assert.equal((await repaired(['ffff'], {})).code, 5);
});
