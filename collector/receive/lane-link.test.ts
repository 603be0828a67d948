import assert from 'node:assert/strict';
import { test } from 'node:test';
import { WmbError } from '../../core/errors.ts';
import { VirtualTime } from '../../core/flow/virtual-time.testing.ts';
import { silentLogger } from '../../core/logger.ts';
import type { Seq } from '../../core/words.ts';
import { FRAME_BYTES_MIN } from '../../link/frame.ts';
import type { LinkFrame, LinkSession, Upward } from '../../link/link.ts';
import { LaneLink } from './lane-link.ts';
import type { LinkStateRow } from './state-store.ts';

const LANE = { log: 'writes', origin: 'beijing', partition: 0 } as const;
const EPOCH = '00112233445566ff';
const LIMITS = { laneBytesMax: 1_000, pulseMs: 1_000, silenceMsMax: 5_000, reconnectMsMin: 10, reconnectMsMax: 1_000 };

function frame(seq: Seq, bytes = 100): LinkFrame {
  return { log: 'writes', partition: 0, seq, history: false, bytes: Buffer.alloc(bytes) };
}

/** A lane on a session that only remembers what it is told. */
function rig(options: { remembered?: LinkStateRow; after?: Seq; laneBytesMax?: number } = {}) {
  const time = new VirtualTime();
  const sent: Upward[] = [];
  const saved: LinkStateRow[] = [];
  const taken: { seq: Seq; history: boolean }[] = [];
  const state = {
    mark: options.after ?? -1,
    hold: undefined as Promise<void> | undefined,
    error: undefined as WmbError | undefined,
    unread: undefined as WmbError | undefined,
    stale: false,
  };
  const consumer = {
    resume: async () => {
      if (state.unread !== undefined) throw state.unread;
      return { after: state.mark, historyWrites: 0 };
    },
    take: async (frames: readonly LinkFrame[]) => {
      await state.hold;
      if (state.error !== undefined) throw state.error;
      for (const { seq, history } of frames) {
        taken.push({ seq, history });
        if (!history) state.mark = seq;
      }
    },
    get isStale() {
      return state.stale;
    },
    pulse() {},
    progress: () => ({ epoch: EPOCH, mark: state.mark, parked: 0, lagWrites: 0, lagMs: 0 }),
  };
  const session: LinkSession = {
    welcome: { protocol: 1, room: 'beijing', topologyEpoch: 1, instance: 'b', logs: [] },
    frames: (async function* () {})(),
    control: (async function* () {})(),
    send: (message) => void sent.push(message),
    close() {},
    closed: new Promise(() => {}),
  };
  const lane = new LaneLink({
    lane: LANE,
    consumer,
    limits: { ...LIMITS, laneBytesMax: options.laneBytesMax ?? LIMITS.laneBytesMax },
    runtime: time,
    logger: silentLogger,
    remembered: options.remembered,
    save: (row) => void saved.push(row),
    severity: () => 'info',
  });
  const connect = async () => {
    lane.dial();
    lane.connected(session, EPOCH);
    await time.advance(0);
  };
  const resumed = (liveFrom: Seq, historyFrom = liveFrom) =>
    lane.resumed({ type: 'resumed', log: 'writes', partition: 0, historyFrom, liveFrom });
  const credit = () => sent.reduce((sum, message) => sum + (message.type === 'credit' ? message.bytes : 0), 0);
  const seqs = () => taken.map(({ seq }) => seq);
  return { time, sent, saved, taken, state, lane, session, connect, resumed, credit, seqs };
}

test('a lane asks for what follows its mark and returns its credit, a quarter of it at a time, when frames are taken', async () => {
  const { lane, connect, resumed, sent, seqs, credit, time } = rig({ after: 4 });
  await connect();
  assert.deepEqual(sent, [{ type: 'resume', log: 'writes', partition: 0, epoch: EPOCH, after: 4, historyWrites: 0, creditBytes: 1_000 }]);
  resumed(5);
  lane.frames([frame(5), frame(6, 50)]);
  await time.advance(0);
  assert.deepEqual(seqs(), [5, 6]);
  assert.equal(credit(), 0);
  lane.frames([frame(7)]);
  assert.equal(credit(), 0, 'not before it is taken');
  await time.advance(0);
  assert.deepEqual(seqs(), [5, 6, 7]);
  assert.equal(credit(), 250);
  assert.equal(lane.state, 'streaming');
});

test('frames that overtake the answer to resume wait for it', async () => {
  const { lane, connect, resumed, taken, time } = rig();
  await connect();
  lane.frames([frame(2), frame(3)]);
  await time.advance(0);
  assert.deepEqual(taken, []);
  resumed(3, 2);
  await time.advance(0);
  assert.deepEqual(taken, [
    { seq: 2, history: true },
    { seq: 3, history: false },
  ]);
});

test('a repeated frame is dropped and its credit given back', async () => {
  const { lane, connect, resumed, seqs, credit, time } = rig();
  await connect();
  resumed(0);
  lane.frames([frame(0), frame(0), frame(1), frame(0)]);
  await time.advance(0);
  assert.deepEqual(seqs(), [0, 1]);
  assert.equal(credit(), 400);
});

test('a skipped frame is fetched again over the same session, and streaming goes on where it comes', async () => {
  const { lane, connect, resumed, seqs, sent, time } = rig();
  await connect();
  resumed(0);
  lane.frames([frame(0)]);
  await time.advance(0);
  lane.frames([frame(4)]);
  assert.equal(lane.state, 'backing-off');
  assert.match(lane.status().reason, /FRAME_CORRUPT: frames 1 to 3 of writes\/beijing\/0 are missing/);
  assert.equal(sent.at(-1)?.type, 'halt');
  await time.advance(1_000);
  assert.equal(sent.at(-1)?.type, 'resume');
  resumed(1);
  lane.frames([frame(1), frame(2)]);
  await time.advance(0);
  assert.deepEqual(seqs(), [0, 1, 2]);
  lane.frames([frame(5)]);
  assert.equal(lane.state, 'backing-off', 'another hole is fetched again as well');
});

test('a hole that is there again over the same session is known from leftovers by its never being filled', async () => {
  const { lane, connect, resumed, time } = rig();
  await connect();
  resumed(0);
  lane.frames([frame(3)]);
  await time.advance(1_000);
  resumed(0);
  lane.frames([frame(3)]);
  lane.checkStall();
  assert.equal(lane.state, 'streaming');
  await time.advance(LIMITS.silenceMsMax + 1);
  lane.checkStall();
  assert.equal(lane.state, 'stopped-on-gap');
  assert.match(lane.status().reason, /LOG_GAP: frames 0 to 2/);
});

test('the same hole twice in a row is a gap that a person must decide about', async () => {
  const first = rig();
  await first.connect();
  first.resumed(0);
  first.lane.frames([frame(3)]);
  assert.equal(first.lane.state, 'backing-off');
  // The session breaks as well, so that nothing of the first attempt can still be on its way.
  first.lane.lost(new WmbError('PEER_UNREACHABLE', 'gone'));
  await first.connect();
  first.resumed(0);
  first.lane.frames([frame(3)]);
  assert.equal(first.lane.state, 'stopped-on-gap');
  assert.match(first.lane.status().reason, /LOG_GAP: frames 0 to 2 of writes\/beijing\/0/);
});

test('what was on its way for an earlier attempt neither harms the next one nor grants credit', async () => {
  const { lane, connect, resumed, state, seqs, credit, time, sent } = rig();
  await connect();
  resumed(0);
  state.error = new WmbError('STORE_UNAVAILABLE', 'away');
  lane.frames([frame(0)]);
  await time.advance(0);
  state.error = undefined;
  assert.equal(lane.state, 'backing-off');
  await time.advance(1_000);
  assert.equal(sent.at(-1)?.type, 'resume');
  // Leftovers of the first attempt, then the second one's frames.
  lane.frames([frame(2), frame(3)]);
  resumed(0);
  lane.frames([frame(4), frame(0), frame(1), frame(2)]);
  await time.advance(0);
  assert.deepEqual(seqs(), [0, 1, 2]);
  assert.equal(credit(), 300);
  lane.frames([frame(1), frame(1), frame(1)]);
  assert.equal(credit(), 300, 'what came for the first attempt is on nobody’s account');
  assert.equal(lane.state, 'streaming');
});

test('a store that refuses this room is tried again until somebody has put it right; one that is damaged waits for a person', async () => {
  const { lane, connect, resumed, state, seqs, time } = rig();
  await connect();
  resumed(0);
  state.error = new WmbError('STORE_DENIED', 'wrong password');
  lane.frames([frame(0)]);
  await time.advance(0);
  assert.deepEqual([lane.state, lane.trouble], ['backing-off', 'STORE_DENIED: wrong password']);
  await time.advance(1_000);
  assert.equal(lane.trouble, 'STORE_DENIED: wrong password', 'also while it tries again');
  state.error = undefined;
  resumed(0);
  lane.frames([frame(0)]);
  await time.advance(0);
  assert.deepEqual([lane.state, lane.trouble, seqs()], ['streaming', undefined, [0]]);
  state.error = new WmbError('STORE_CORRUPT', 'damaged');
  lane.frames([frame(1)]);
  await time.advance(0);
  assert.deepEqual([lane.state, lane.trouble], ['stopped-on-gap', 'STORE_CORRUPT: damaged']);
});

test('a store that could not be read when a lane was resumed is no trouble any more when it can, also where nothing comes to be taken', async () => {
  const { lane, connect, resumed, state, time } = rig();
  state.unread = new WmbError('STORE_UNAVAILABLE', 'away');
  await connect();
  assert.deepEqual([lane.state, lane.trouble], ['backing-off', 'STORE_UNAVAILABLE: away']);
  state.unread = undefined;
  await time.advance(1_000);
  resumed(0);
  assert.deepEqual([lane.state, lane.trouble], ['streaming', undefined]);
});

test('an origin that sends more than it may is refused rather than queued', async () => {
  const { lane, connect, resumed, state, time } = rig();
  await connect();
  resumed(0);
  state.hold = new Promise(() => {});
  lane.frames([frame(0, 600)]);
  await time.advance(0);
  lane.frames([frame(1, 1_200), frame(2, 1_200)]);
  assert.equal(lane.state, 'streaming');
  assert.equal(lane.queuedBytes, 2_400);
  lane.frames([frame(3, 600)]);
  assert.equal(lane.state, 'backing-off');
  assert.match(lane.status().reason, /PEER_GARBAGE: beijing sends more than the 2000 bytes/);
  assert.equal(lane.queuedBytes, 0);
});

test('a backlog of the smallest frames is queued as far as the credit reaches, and empty frames are not queued without end', async () => {
  const laneBytesMax = 16 * 1024 * 1024;
  const { lane, connect, resumed, state, time } = rig({ laneBytesMax });
  await connect();
  resumed(0);
  state.hold = new Promise(() => {});
  lane.frames([frame(0)]);
  await time.advance(0);
  const small = frame(0, FRAME_BYTES_MIN);
  const count = Math.floor((2 * laneBytesMax) / FRAME_BYTES_MIN);
  lane.frames(Array.from({ length: count }, (_, i) => ({ ...small, seq: 1 + i })));
  assert.equal(lane.state, 'streaming', lane.status().reason);
  lane.frames([frame(count + 1, 0), frame(count + 2, 0)]);
  assert.match(lane.status().reason, /PEER_GARBAGE/);
});

test('empty frames before the answer are not kept without end', async () => {
  const { lane, connect } = rig();
  await connect();
  const count = 2 * Math.ceil((2 * LIMITS.laneBytesMax) / FRAME_BYTES_MIN);
  for (let seq = 0; seq < count; seq += 1) lane.frames([frame(seq, 0)]);
  assert.equal(lane.state, 'resuming');
  lane.frames([frame(count, 0)]);
  assert.match(lane.status().reason, /PEER_GARBAGE/);
});

test('an origin that sends without end before it answers is refused as well', async () => {
  const { lane, connect } = rig();
  await connect();
  for (let seq = 0; seq < 4; seq += 1) lane.frames([frame(seq, 1_200)]);
  assert.equal(lane.state, 'resuming');
  lane.frames([frame(4, 1_200)]);
  assert.match(lane.status().reason, /PEER_GARBAGE/);
});

test('a take that fails after its session is gone does not fail the next attempt', async () => {
  const { lane, connect, resumed, state, sent, time } = rig();
  await connect();
  resumed(0);
  let done = () => {};
  state.hold = new Promise((resolve) => {
    done = resolve;
  });
  lane.frames([frame(0)]);
  await time.advance(0);
  lane.lost(new WmbError('PEER_UNREACHABLE', 'gone'));
  await connect();
  state.error = new WmbError('STORE_UNAVAILABLE', 'away');
  done();
  await time.advance(0);
  assert.equal(lane.state, 'resuming');
  assert.equal(sent.at(-1)?.type, 'resume');
});

test('an origin that never answers resume is asked again after the silence limit', async () => {
  const { lane, connect, time } = rig();
  await connect();
  await time.advance(LIMITS.silenceMsMax);
  lane.checkStall();
  assert.equal(lane.state, 'resuming');
  await time.advance(1);
  lane.checkStall();
  assert.equal(lane.state, 'backing-off');
});

test('a lane whose stores came back older is resumed where they stand, though nothing failed', async () => {
  const { lane, connect, resumed, state, sent, time } = rig({ after: 4 });
  await connect();
  state.stale = true;
  lane.checkStale();
  assert.equal(lane.state, 'resuming', 'it is being resumed anyway');
  state.stale = false;
  resumed(5);
  lane.checkStale();
  assert.equal(lane.state, 'streaming');
  Object.assign(state, { stale: true, mark: 2 });
  lane.checkStale();
  assert.equal(lane.state, 'backing-off');
  assert.match(lane.status().reason, /MARK_MOVED: writes\/beijing\/0/);
  await time.advance(1_000);
  const last = sent.at(-1);
  assert.equal(last?.type === 'resume' && last.after, 2);
});

test('a lane that stopped under a log that was made anew since asks the new one: what is given up then is what is lost now', async () => {
  const { lane, session, connect, resumed, sent, time } = rig({ after: 4 });
  await connect();
  lane.gap({ type: 'gap', log: 'writes', partition: 0, code: 'LOG_GAP', message: 'trimmed', missingFrom: 5, missingTo: 7 });
  assert.deepEqual(lane.stoppedOn, { epoch: EPOCH, missing: { from: 5, to: 7 } });
  lane.lost(new WmbError('PEER_UNREACHABLE', 'gone'));
  await connect();
  assert.equal(lane.state, 'stopped-on-gap', 'the same log still lacks them');
  sent.length = 0;
  lane.connected(session, 'ffffffffffffffff');
  await time.advance(0);
  const [asked] = sent;
  assert.equal(asked?.type === 'resume' && asked.epoch, 'ffffffffffffffff');
  lane.gap({ type: 'gap', log: 'writes', partition: 0, code: 'LOG_GAP', message: 'anew', missingFrom: 0, missingTo: 1 });
  assert.deepEqual(lane.stoppedOn, { epoch: 'ffffffffffffffff', missing: { from: 0, to: 1 } });
  lane.unpause('given up');
  lane.connected(session, 'ffffffffffffffff');
  resumed(0);
  assert.equal(lane.state, 'streaming');
});

test('a lane is resumed only when the take before is done', async () => {
  const { lane, connect, resumed, state, sent, time } = rig();
  await connect();
  resumed(0);
  let done = () => {};
  state.hold = new Promise((resolve) => {
    done = resolve;
  });
  lane.frames([frame(0)]);
  await time.advance(0);
  lane.lost(new WmbError('PEER_UNREACHABLE', 'gone'));
  sent.length = 0;
  await connect();
  assert.equal(sent.length, 0);
  done();
  await time.advance(0);
  assert.deepEqual(
    sent.map((message) => message.type === 'resume' && message.after),
    [0],
  );
});

test('every transition is remembered with its reason, and a remembered pause comes back', async () => {
  const { lane, connect, resumed, saved, time } = rig();
  await connect();
  resumed(0);
  lane.pause('paused by an operator');
  assert.deepEqual(
    saved.map(({ state }) => state),
    ['connecting', 'resuming', 'streaming', 'paused'],
  );
  const last = saved.at(-1);
  assert.deepEqual(last, { lane: LANE, state: 'paused', reason: 'paused by an operator', sinceMs: time.nowMs() });
  const again = rig({ remembered: { ...(last as LinkStateRow), sinceMs: 5 } });
  await again.connect();
  assert.equal(again.lane.state, 'paused');
  assert.deepEqual([again.lane.status().reason, again.lane.status().sinceMs], ['paused by an operator', 5]);
  const gap = rig({ remembered: { lane: LANE, state: 'stopped-on-gap', reason: 'x', sinceMs: 5 } });
  await gap.connect();
  assert.equal(gap.lane.state, 'resuming');
});
