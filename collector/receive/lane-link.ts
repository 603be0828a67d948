/**
 * One lane of one link: its state, its bounded queue, and the loop that hands its frames to the consumer. Lanes know nothing of each
 * other, so a slow one holds up only itself; what it may have queued or on the way is its credit.
 *
 * Each time the lane resumes it makes a new attempt. What belongs to an older attempt (frames on their way, a take that fails late) can
 * neither move the lane nor grant credit.
 */

import type { LinkLimits } from '../../core/config/types.ts';
import { asWmbError, type ErrorCode, WmbError } from '../../core/errors.ts';
import { backoffMs } from '../../core/flow/backoff.ts';
import { BoundedQueue } from '../../core/flow/bounded-queue.ts';
import type { Logger } from '../../core/logger.ts';
import type { Runtime, Timer } from '../../core/runtime.ts';
import { type Lane, type LogEpoch, laneKey, type Seq } from '../../core/words.ts';
import { FRAME_BYTES_MIN } from '../../link/frame.ts';
import type { Downward, LinkFrame, LinkSession } from '../../link/link.ts';
import { type LinkEvent, type LinkState, nextLinkState } from '../../link/machine.ts';
import type { LaneStatus } from '../../proto/gen/wmb/v1/admin.ts';
import type { LaneConsumer, LaneGap } from '../lane.ts';
import type { Attempt } from './attempt.ts';
import { LaneCredit } from './lane-credit.ts';
import type { LinkStateRow } from './state-store.ts';

export interface LaneLinkOptions {
  readonly lane: Lane;
  readonly consumer: LaneConsumer;
  readonly limits: LinkLimits;
  readonly runtime: Runtime;
  readonly logger: Logger;
  readonly save: (row: LinkStateRow) => void;
  /** What was remembered from before the restart. */
  readonly remembered: LinkStateRow | undefined;
  /** How loud a failure of the link or the lane is by now. */
  readonly severity: (failingSinceMs: number) => 'info' | 'warn' | 'error';
}

/** What somebody puts right on the store's server, of which nobody tells the lane: it tries again. */
const MENDED_OUTSIDE: ReadonlySet<ErrorCode> = new Set([
  'STORE_DENIED',
  'STORE_UNFIT',
  'STORE_UNPREPARED',
  'STORE_FOREIGN',
  'STORE_READONLY',
]);

export class LaneLink {
  readonly lane: Lane;
  readonly #options: LaneLinkOptions;
  readonly #log: Logger;
  #state: LinkState = 'idle';
  #reason = 'not started';
  #sinceMs: number;
  #epoch: LogEpoch = '';
  #attempt: Attempt | undefined;
  #lastSession: LinkSession | undefined;
  #taking: Promise<void> | undefined;
  #retry: Timer | undefined;
  #failures = 0;
  #failingSinceMs: number | undefined;
  /** First missing seq of the last hole, until a take succeeds. */
  #hole: Seq | undefined;
  #trouble: string | undefined;
  /** It came before any frame: nothing need be taken for it to be over. */
  #isResumeTrouble = false;
  /** What it stopped on, where a person may give that up. */
  #gap: LaneGap | undefined;

  constructor(options: LaneLinkOptions) {
    this.#options = options;
    this.lane = options.lane;
    this.#log = options.logger.child({ lane: laneKey(options.lane) });
    this.#sinceMs = options.runtime.nowMs();
    if (options.remembered?.state === 'paused') {
      this.#state = 'paused';
      this.#reason = options.remembered.reason;
      this.#sinceMs = options.remembered.sinceMs;
    }
  }

  get state(): LinkState {
    return this.#state;
  }

  /** Of a lane in stopped-on-gap: undefined where it has not stopped on missing frames. */
  get stoppedOn(): LaneGap | undefined {
    return this.#gap;
  }

  get queuedBytes(): number {
    return this.#attempt?.queue.bytes ?? 0;
  }

  /** The link starts an attempt. A lane that backs off for a reason of its own waits for its own time. */
  dial(): void {
    if (this.#retry === undefined) this.#move('dial', 'the link is being made');
  }

  /**
   * A session is up that offers this lane's log in `epoch`. A lane that stopped under another epoch looks anew: what it stopped on is gone with that log, and who
   * accepts the loss is to hear of what is lost now.
   */
  connected(session: LinkSession, epoch: LogEpoch): void {
    if (this.#state === 'stopped-on-gap' && epoch !== this.#epoch) this.unpause(`the log of ${this.lane.origin} was made anew since`);
    if (!this.#move('connected', `welcomed by ${session.welcome.instance}`)) return;
    this.#epoch = epoch;
    const { limits, runtime } = this.#options;
    const credit = new LaneCredit(limits.laneBytesMax, runtime);
    const attempt: Attempt = {
      session,
      queue: new BoundedQueue({ bytesMax: credit.bytesMax, countMax: framesMax(credit) }),
      credit,
      repeated: this.#lastSession === session,
      sinceMs: runtime.monotonicMs(),
      early: [],
      earlyBytes: 0,
      expected: undefined,
      liveFrom: 0,
      begun: false,
      ahead: undefined,
    };
    this.#attempt = attempt;
    this.#lastSession = session;
    void this.#resume(attempt).catch((cause) => this.#fail(attempt, asWmbError(cause)));
  }

  /** A session is up that does not offer this lane's log: it is not there yet, or is in files of another machine than this reship's. */
  notOffered({ welcome }: LinkSession): void {
    if (this.#state === 'connecting')
      this.#reason = `${welcome.instance} has no log ${this.lane.log}: it is not there yet, or its files are on another machine`;
  }

  resumed(message: Extract<Downward, { type: 'resumed' }>): void {
    const attempt = this.#attempt;
    if (attempt === undefined || attempt.expected !== undefined) return;
    attempt.credit.answered();
    attempt.expected = message.historyFrom;
    attempt.liveFrom = message.liveFrom;
    this.#move('resumed', `streams from seq ${message.liveFrom}, with history from ${message.historyFrom}`);
    const early = attempt.early;
    attempt.early = [];
    this.frames(early);
  }

  gap(message: Extract<Downward, { type: 'gap' }>): void {
    const { code, missingFrom: from, missingTo: to } = message;
    const attempt = this.#attempt;
    if (attempt !== undefined) this.#fail(attempt, new WmbError(code, message.message), { from, to });
  }

  /** Frames of this lane, as they came. */
  frames(frames: readonly LinkFrame[]): void {
    for (const frame of frames) {
      const attempt = this.#attempt;
      if (attempt === undefined) return;
      if (attempt.expected === undefined) this.#keepEarly(attempt, frame);
      else this.#admit(attempt, attempt.expected, frame);
    }
    if (this.#taking === undefined && this.queuedBytes > 0) this.#startTaking();
  }

  /** A lane whose stores came back older is resumed, though nothing failed. Looked at with every pulse. */
  checkStale(): void {
    const attempt = this.#attempt;
    if (attempt?.expected === undefined || this.#taking !== undefined || this.#options.consumer.isStale !== true) return;
    this.#fail(
      attempt,
      new WmbError('MARK_MOVED', `${laneKey(this.lane)}: a store of this room came back from an older copy; the lane resumes at its mark`),
    );
  }

  /** An origin that owes this lane an answer, or the frame that it waits for, as long as silence may last is asked again. Looked at with every pulse. */
  checkStall(): void {
    const attempt = this.#attempt;
    if (attempt === undefined || this.#taking !== undefined) return;
    const { silenceMsMax } = this.#options.limits;
    if (this.#options.runtime.monotonicMs() - attempt.sinceMs <= silenceMsMax) return;
    if (attempt.expected === undefined) {
      this.#fail(
        attempt,
        new WmbError('PEER_UNREACHABLE', `${this.lane.origin} did not answer within ${silenceMsMax} ms where the lane goes on`),
      );
    } else if (!attempt.begun && attempt.ahead !== undefined) this.#skipped(attempt, attempt.expected, attempt.ahead);
  }

  /** The session is over, or could not be made. The link says when it dials again. */
  lost(reason: WmbError): void {
    this.#attempt = undefined;
    this.#lastSession = undefined;
    this.#trouble = undefined;
    this.#retry?.cancel();
    this.#retry = undefined;
    this.#move('failed', reason.told);
  }

  pause(reason: string): void {
    this.#abandon();
    this.#trouble = undefined;
    this.#move('pause', reason);
  }

  /** Also takes a lane out of stopped-on-gap. The link connects it where it has a session. */
  unpause(reason: string): void {
    this.#failures = 0;
    this.#hole = undefined;
    this.#move('unpause', reason);
  }

  /** Takes no more; resolves when what the consumer has is done. */
  async drain(): Promise<void> {
    this.#abandon();
    this.#move('drain', 'the collector shuts down');
    await this.#taking;
    this.#move('drained', 'the collector shut down');
  }

  /** Why this room's stores did not take what came last; undefined where they did. */
  get trouble(): string | undefined {
    return this.#trouble;
  }

  status(): LaneStatus {
    const { epoch, mark, parked, lagWrites, lagMs } = this.#options.consumer.progress();
    const { log, partition } = this.lane;
    const sinceMs = Math.floor(this.#sinceMs);
    return {
      log,
      partition,
      epoch: epoch || this.#epoch,
      state: this.#state,
      reason: this.#reason,
      sinceMs,
      mark,
      lagWrites,
      lagMs: Math.round(lagMs),
      parked,
    };
  }

  async #resume(attempt: Attempt): Promise<void> {
    // A take of the attempt before may still be at work; the mark is known only when it is done.
    await this.#taking;
    if (this.#attempt !== attempt) return;
    const { after, historyWrites } = await this.#options.consumer.resume({ epoch: this.#epoch });
    if (this.#attempt !== attempt) return;
    if (this.#isResumeTrouble) this.#trouble = undefined;
    const { log, partition } = this.lane;
    const creditBytes = attempt.credit.asked();
    attempt.session.send({ type: 'resume', log, partition, epoch: this.#epoch, after, historyWrites, creditBytes });
  }

  #keepEarly(attempt: Attempt, frame: LinkFrame): void {
    attempt.early.push(frame);
    attempt.earlyBytes += frame.bytes.length;
    const { credit } = attempt;
    // Twice the credit: what was on its way for the attempt before may come on top.
    if (attempt.earlyBytes - frame.bytes.length > 2 * credit.bytesMax || attempt.early.length > 2 * framesMax(credit))
      this.#overrun(attempt);
  }

  #admit(attempt: Attempt, expected: Seq, frame: LinkFrame): void {
    if (frame.seq < expected) {
      // Within a repeated attempt it may have come for the one before, whose credit is void.
      if (!attempt.repeated) this.#grant(attempt, frame.bytes.length);
    } else if (frame.seq > expected) {
      if (attempt.repeated && !attempt.begun) attempt.ahead ??= frame.seq;
      else this.#skipped(attempt, expected, frame.seq);
    } else {
      const history = frame.seq < attempt.liveFrom;
      if (!attempt.queue.push(frame.history === history ? frame : { ...frame, history }, frame.bytes.length)) {
        this.#overrun(attempt);
        return;
      }
      attempt.begun = true;
      attempt.expected = expected + 1;
    }
  }

  /** A hole in the stream is fetched again once; if it is there again, the origin lacks it. */
  #skipped(attempt: Attempt, expected: Seq, seen: Seq): void {
    const what = `frames ${expected} to ${seen - 1} of ${laneKey(this.lane)} are missing: ${seen} came after ${expected - 1}`;
    const again = this.#hole === expected;
    this.#hole = expected;
    this.#fail(attempt, new WmbError(again ? 'LOG_GAP' : 'FRAME_CORRUPT', what), { from: expected, to: seen - 1 });
  }

  #overrun(attempt: Attempt): void {
    this.#fail(
      attempt,
      new WmbError('PEER_GARBAGE', `${this.lane.origin} sends more than the ${attempt.credit.bytesMax} bytes that it may`),
    );
  }

  #startTaking(): void {
    this.#taking = this.#take().finally(() => {
      this.#taking = undefined;
      // A new attempt may have queued frames while the old take was at work.
      if (this.queuedBytes > 0) this.#startTaking();
    });
  }

  async #take(): Promise<void> {
    const attempt = this.#attempt;
    while (attempt !== undefined && attempt === this.#attempt) {
      // Other lanes, links and heartbeats come first; and what arrives meanwhile makes this take a larger one.
      await this.#options.runtime.turn();
      const frames: LinkFrame[] = [];
      const bytes = attempt.queue.bytes;
      for (let frame = attempt.queue.shift(); frame !== undefined; frame = attempt.queue.shift()) frames.push(frame);
      if (frames.length === 0) return;
      try {
        await this.#options.consumer.take(frames);
      } catch (cause) {
        return this.#fail(attempt, asWmbError(cause));
      }
      this.#failures = 0;
      this.#hole = undefined;
      this.#trouble = undefined;
      this.#grant(attempt, bytes);
    }
  }

  #grant(attempt: Attempt, taken: number): void {
    if (this.#attempt !== attempt) return;
    const { log, partition } = this.lane;
    const bytes = attempt.credit.taken(taken, attempt.queue.bytes);
    if (bytes > 0) attempt.session.send({ type: 'credit', log, partition, bytes });
  }

  #fail(attempt: Attempt, error: WmbError, missing?: LaneGap['missing']): void {
    if (this.#attempt !== attempt) return;
    this.#abandon();
    const reason = error.told;
    this.#trouble = error.code.startsWith('STORE_') ? reason : undefined;
    this.#isResumeTrouble = attempt.expected === undefined;
    if (error.retry === 'never' && !MENDED_OUTSIDE.has(error.code)) {
      this.#gap = error.code === 'LOG_GAP' ? { epoch: this.#epoch, missing } : undefined;
      this.#move('gap', reason);
      return;
    }
    if (!this.#move('failed', reason)) return;
    const { limits, runtime } = this.#options;
    const delayMs = backoffMs(this.#failures, { msMin: limits.reconnectMsMin, msMax: limits.reconnectMsMax }, runtime.random());
    this.#failures += 1;
    this.#retry = runtime.after(delayMs, () => {
      this.#retry = undefined;
      if (this.#move('dial', 'the lane tries again') && this.#lastSession !== undefined) this.connected(this.#lastSession, this.#epoch);
    });
  }

  /** Lets go of the attempt; the origin is told to send no more of it. */
  #abandon(): void {
    this.#retry?.cancel();
    this.#retry = undefined;
    const { log, partition } = this.lane;
    this.#attempt?.session.send({ type: 'halt', log, partition });
    this.#attempt = undefined;
  }

  #move(event: LinkEvent, reason: string): boolean {
    const { runtime, save } = this.#options;
    const next = nextLinkState(this.#state, event);
    if (next === undefined) return false;
    const from = this.#state;
    this.#state = next;
    this.#reason = reason;
    this.#sinceMs = runtime.nowMs();
    this.#logMove(from, next, reason);
    save({ lane: this.lane, state: next, reason, sinceMs: Math.floor(this.#sinceMs) });
    return true;
  }

  #logMove(from: LinkState, to: LinkState, reason: string): void {
    const nowMs = this.#options.runtime.monotonicMs();
    if (to === 'backing-off') this.#failingSinceMs ??= nowMs;
    else if (to === 'streaming') this.#failingSinceMs = undefined;
    const level =
      to === 'stopped-on-gap'
        ? 'error'
        : to === 'backing-off'
          ? this.#options.severity(this.#failingSinceMs ?? nowMs)
          : to === 'connecting' || to === 'resuming'
            ? 'debug'
            : 'info';
    this.#log[level]({ from, to, reason }, 'link state');
  }
}

/** Credit is in bytes: the number of frames that it allows follows from the smallest there can be. */
function framesMax({ bytesMax }: LaneCredit): number {
  return Math.ceil(bytesMax / FRAME_BYTES_MIN);
}
