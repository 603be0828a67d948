/**
 * The reships of a room, where several append to its write log (docs/adr/0014). They need not agree on anything to append. What one of them cannot know alone is up to which stamp nothing will come any more,
 * and what the peers have acked to the others. So each says what it knows, in one order that all hear, a few times a second and at once where it is waited for.
 *
 * - It **joins** before it gives a stamp, and waits until all others have heard it: what they have claimed until then it exceeds with every stamp.
 * - It appends, and claims anything, only while it has heard itself in the last seconds. Whoever is silent for much longer is told to be gone by the others, and if it wakes up, that
 *   is what it hears first.
 */
import { asWmbError, WmbError } from '../../core/errors.ts';
import { backoffMs } from '../../core/flow/backoff.ts';
import { Wakeup } from '../../core/flow/wakeup.ts';
import type { Logger } from '../../core/logger.ts';
import { type Runtime, sleep } from '../../core/runtime.ts';
import { leastStamp, NO_STAMP, type Stamp } from '../../core/stamp.ts';
import type { LogEpoch } from '../../core/words.ts';
import type { Service } from '../../daemon/service.ts';
import type { Extent } from '../../log/log.ts';
import type { Talk } from '../../log/talk.ts';
import type { ReshipMember } from '../../proto/gen/wmb/v1/admin.ts';
import type { PeerAck, PeerSessionName } from '../ship/peer-ack.ts';
import { type FellowView, Roll } from './roll.ts';
import { decodeSaid, encodeSaid, type GivenUp, type Said, type TopicTaken } from './said.ts';

const BEAT_MS = 500;
/** What comes within so short a time is said together. */
const GATHER_MS = 10;
/** Whoever has not heard itself for so long neither appends nor claims. */
const HELD_MS = 4_000;
/** So long after the last word of another one it has stopped for certain. */
const SILENT_MS = HELD_MS + 2_000;
/** Longer than anything that it sent before may take to Kafka. */
const GONE_MS = 20_000;
const JOIN_MS_MAX = 30_000;
/** What was said so long ago was said in another life of the room. */
const OLD_MS = 600_000;
/** All acks are said in one of so many beats. */
const WHOLE_TURNS = 4;
const KEPT_RECORDS = 4_096;
const FORGET_TURNS = 64;
const BACKOFF = { msMin: 50, msMax: 1_000 } as const;
const CAUGHT_UP_POLL_MS = 250;

/** What is shared of a reship. */
export interface FellowHost {
  /** See Said. */
  settled(): Stamp;
  sessions(): readonly PeerSessionName[];
  acks(): readonly PeerAck[];
  /** Whether somebody waits here for what peers ack. */
  waits(): boolean;
  topics(): readonly TopicTaken[];
  /** Whether nothing is on its way to the log. */
  isIdle(): boolean;
  /** A newer session of the peer is with another reship. */
  endSession(id: string): void;
  /** What a peer has acked to another reship, of frames that are known here. */
  takeAck(ack: PeerAck): void;
}

export interface FellowsOptions {
  readonly name: string;
  readonly seat: string;
  /** Where it takes write requests over gRPC, as others reach it. */
  readonly address: string;
  readonly talk: Talk;
  readonly log: {
    readonly epoch: LogEpoch;
    readonly partitions: number;
    extent(partition: number): Pick<Extent, 'next' | 'stampLast'>;
    catchUp(): Promise<void>;
    onAppend(listener: (partition: number) => void): () => void;
  };
  readonly clock: { readonly last: Stamp; observe(stamp: Stamp): void };
  /** What was to be appended until now must not be any more: another one may have stamped below what its frames say, because it could not hear of this one. */
  readonly onOvertaken: () => void;
  readonly runtime: Runtime;
  readonly logger: Logger;
}

export class Fellows implements Service {
  readonly name = 'fellows';
  readonly #options: FellowsOptions;
  readonly #roll: Roll;
  readonly #over = new AbortController();
  readonly #due = new Wakeup();
  readonly failed: Promise<WmbError>;
  #fail: (reason: WmbError) => void = () => {};
  #host: FellowHost | undefined;
  #loops: Promise<unknown> = Promise.resolve();
  #how: Said['how'] = 'joins';
  #turn = 0;
  #heardTo = -1;
  /** By turn, when it was said. Those that have been heard are gone. */
  readonly #saidMs = new Map<number, number>();
  #heldFromMs = Number.NEGATIVE_INFINITY;
  #news = new Map<string, PeerAck>();
  /** Why this one is over for the others. */
  #gone: WmbError | undefined;
  #trouble: WmbError | undefined;
  #releasing: Promise<void> | undefined;
  #unlisten: () => void = () => {};
  #heard = new Wakeup();

  constructor(options: FellowsOptions) {
    this.#options = options;
    this.#roll = new Roll({ name: options.name, seat: options.seat });
    this.failed = new Promise((resolve) => {
      this.#fail = resolve;
    });
  }

  /** Resolves when this process may give stamps. LOG_UNAVAILABLE, LOG_FOREIGN. */
  async join(): Promise<void> {
    const { log, clock, runtime, logger, name } = this.#options;
    this.#unlisten = log.onAppend((partition) => {
      clock.observe(log.extent(partition).stampLast);
      this.#advance();
    });
    this.#loops = Promise.all([this.#hearAll(), this.#sayAll()]);
    const startedMs = runtime.monotonicMs();
    while (this.#waitsFor().length > 0 || !this.#roll.hasJoined) {
      if (this.#gone !== undefined) throw this.#gone;
      if (this.#trouble !== undefined && runtime.monotonicMs() - startedMs > JOIN_MS_MAX) throw this.#trouble;
      const timer = runtime.after(CAUGHT_UP_POLL_MS, () => this.#heard.wake());
      await this.#heard.wait();
      timer.cancel();
    }
    // What those have appended who cannot be asked is in the log.
    await log.catchUp();
    for (let partition = 0; partition < log.partitions; partition += 1) clock.observe(log.extent(partition).stampLast);
    this.#how = 'works';
    this.#due.wake();
    const others = this.#roll.views().map((fellow) => fellow.name);
    logger.info({ name, others }, 'this reship has joined the others of its room');
  }

  /** From now on what is shared is this host's. */
  attach(host: FellowHost): void {
    this.#host = host;
    this.#due.wake();
  }

  async start(): Promise<void> {}

  /** Nothing is appended any more. */
  async stop(): Promise<void> {
    const { talk, runtime } = this.#options;
    this.#unlisten();
    // Who leaves with something on its way to the log is waited for as one that was killed.
    if (this.#roll.hasJoined && this.#gone === undefined && this.#host?.isIdle() !== false) {
      this.#how = 'leaves';
      const isSaid = new AbortController();
      const said = talk.say(encodeSaid(this.#word())).catch(() => {});
      await Promise.race([said.finally(() => isSaid.abort()), sleep(runtime, HELD_MS, isSaid.signal)]);
    }
    this.#over.abort();
    this.#due.wake();
    talk.close();
    await this.#loops;
  }

  unready(): string | undefined {
    return (this.#gone ?? (this.isHeld ? undefined : this.#trouble))?.told;
  }

  /** Whether this process may append, and claim what it knows. */
  get isHeld(): boolean {
    return this.#gone === undefined && this.#options.runtime.monotonicMs() - this.#heldFromMs < HELD_MS;
  }

  /** See FrameHeader.through, of a frame with this last stamp that is appended now. */
  through(stampLast: Stamp): Stamp {
    if (!this.isHeld) return NO_STAMP;
    if (this.#roll.isAlone) return stampLast;
    return leastStamp([this.#roll.settled, stampLast]);
  }

  /** What the room claims, where this process claims `own`: every write request that is not in the log, as it is known here, has a greater stamp. */
  settled(own: Stamp): Stamp {
    if (!this.isHeld) return NO_STAMP;
    if (this.#roll.isWholeHere) return own;
    return leastStamp([this.#roll.settledHere, own]);
  }

  /** Whether this one does what only one of them needs to do. */
  get isFirst(): boolean {
    return this.#awake()[0] === this.#options.name;
  }

  /** Whether the `index`th of several things that only one of them needs to do is this one's. */
  isMine(index: number): boolean {
    const awake = this.#awake();
    return awake[index % awake.length] === this.#options.name;
  }

  /** For status: of all, where this one is not alone. */
  members(): ReshipMember[] {
    const { name, address, runtime } = this.#options;
    if (this.others.length === 0) return [];
    const nowMs = runtime.monotonicMs();
    const own = { sessions: this.#host?.sessions() ?? [], topics: this.#host?.topics() ?? [] };
    const all = [...this.others, { name, address, heardMs: nowMs, ...own }];
    const order = this.#roll.awake(Number.NEGATIVE_INFINITY);
    return all
      .sort((a, b) => order.indexOf(a.name) - order.indexOf(b.name))
      .map(({ name: instance, address, heardMs, sessions, topics }) => ({
        ...{ instance, address },
        silentMs: Math.round(nowMs - heardMs),
        peers: sessions.map(({ peer }) => peer).sort(),
        topics: topics.map(({ topic, partitions }) => ({ topic, partitions: [...partitions] })),
      }));
  }

  /** The others, and when each was heard of last, on this process' monotonic clock. */
  get others(): readonly FellowView[] {
    return this.#roll.views();
  }

  /** A peer has acked to this one. */
  acked(ack: PeerAck): void {
    if (this.#roll.isAlone) return;
    const lane = laneOf(ack);
    const before = this.#news.get(lane);
    this.#news.set(lane, before === undefined || before.epoch !== ack.epoch ? ack : joined(before, ack));
    // Else it has time until the next beat.
    if (this.#roll.isWaitedFor) this.#due.wake();
  }

  /** Sessions have begun, or somebody waits. */
  changed(): void {
    this.#due.wake();
  }

  #awake(): readonly string[] {
    return this.isHeld ? this.#roll.awake(this.#options.runtime.monotonicMs() - SILENT_MS) : [];
  }

  /** Those who may still claim something that this one does not know of. */
  #waitsFor(): readonly FellowView[] {
    const unaware = this.#roll.unaware();
    // Where nobody can be heard, nobody is silent.
    if (!this.isHeld) return unaware;
    const sinceMs = this.#options.runtime.monotonicMs() - SILENT_MS;
    return unaware.filter(({ heardMs }) => heardMs >= sinceMs);
  }

  async #hearAll(): Promise<void> {
    const { talk, runtime } = this.#options;
    for (let failures = 0; !this.#over.signal.aborted; failures += 1) {
      try {
        for await (const heard of talk.hear(this.#heardTo, this.#over.signal)) {
          for (const { at, value } of heard) this.#take(at, value);
          failures = 0;
          this.#roll.expire(runtime.monotonicMs());
          this.#advance();
          this.#releasing ??= this.#release().finally(() => {
            this.#releasing = undefined;
          });
          this.#heard.wake();
        }
      } catch (cause) {
        this.#failed(cause);
      }
      await sleep(runtime, backoffMs(failures, BACKOFF, runtime.random()), this.#over.signal);
    }
  }

  #take(at: number, value: Uint8Array): void {
    const { name, log, clock, runtime, logger } = this.#options;
    const said = decodeSaid(value);
    // What was forgotten before it was heard may have been that the others gave this one up: they say it once.
    if (this.#heardTo >= 0 && at > this.#heardTo + 1) this.#isGone();
    this.#heardTo = at;
    // An older epoch's cannot reach this one's frames.
    if (said === undefined || said.epoch !== log.epoch) return;
    if (!this.#roll.hasJoined && runtime.nowMs() - said.saidMs > OLD_MS) return;
    const others = this.#roll.views().length;
    const { ended, isGone } = this.#roll.take(at, said, runtime.monotonicMs());
    if (said.name === name) this.#heardItself(said);
    // Also of what it had claimed before it heard of this one.
    else clock.observe(said.last);
    if (said.name !== name && said.how === 'joins') this.#joins();
    for (const id of ended) this.#host?.endSession(id);
    if (this.#roll.views().length !== others)
      logger.info({ others: this.#roll.views().map((fellow) => fellow.name) }, 'the reships of the room are others now');
    if (isGone) this.#isGone();
  }

  /** It waits for an answer, or did for as long as this process could still append without having heard of it. */
  #joins(): void {
    if (!this.isHeld) this.#options.onOvertaken();
    this.#due.wake();
  }

  #heardItself({ turn }: Said): void {
    if (!this.isHeld) this.#roll.excuse(this.#options.runtime.monotonicMs());
    this.#heldFromMs = this.#saidMs.get(turn) ?? this.#heldFromMs;
    for (const said of this.#saidMs.keys()) if (said <= turn) this.#saidMs.delete(said);
    this.#trouble = undefined;
  }

  #isGone(): void {
    this.#gone ??= new WmbError(
      'LOG_GIVEN_UP',
      'the other reships of this room have given this one up: it was not heard of for too long, or another process has its directory or a copy of it',
    );
    this.#options.logger.error({ code: this.#gone.code, reason: this.#gone.message }, 'this reship appends nothing any more');
    this.#fail(this.#gone);
  }

  /** What those have appended who are over is known when the log has been caught up with since. Until then they count for what is claimed here. */
  async #release(): Promise<void> {
    const { leaving } = this.#roll;
    try {
      if (leaving.length > 0) await this.#options.log.catchUp();
      this.#roll.release(leaving);
    } catch {
      // The log says what is wrong with it; this is tried again when something is heard.
    }
  }

  #advance(): void {
    const { log } = this.#options;
    for (const ack of this.#roll.advance((partition) => log.extent(partition).next)) this.#host?.takeAck(ack);
  }

  async #sayAll(): Promise<void> {
    const { talk, runtime } = this.#options;
    for (let failures = 0; !this.#over.signal.aborted; failures += 1) {
      const word = this.#word();
      this.#saidMs.set(word.turn, runtime.monotonicMs());
      try {
        await talk.say(encodeSaid(word));
        failures = 0;
        if (word.turn % FORGET_TURNS === 0 && this.isFirst) await talk.forget(Math.max(0, this.#heardTo - KEPT_RECORDS));
      } catch (cause) {
        this.#failed(cause);
        await sleep(runtime, backoffMs(failures, BACKOFF, runtime.random()), this.#over.signal);
      }
      await this.#pause();
    }
  }

  /** Until something is to be said. */
  async #pause(): Promise<void> {
    const { runtime } = this.#options;
    await sleep(runtime, GATHER_MS, this.#over.signal);
    if (this.#over.signal.aborted) return;
    const timer = runtime.after(BEAT_MS, () => this.#due.wake());
    await this.#due.wait();
    timer.cancel();
  }

  /** What is durable of this process is known here before it is taken for settled: `settled` is asked first. */
  #word(): Said {
    const { name, seat, address, log, clock, runtime } = this.#options;
    const settled = this.#host?.settled() ?? clock.last;
    this.#turn += 1;
    const news = this.#news;
    this.#news = new Map();
    // What is new says more than where a lane is.
    const known = this.#turn % WHOLE_TURNS === 0 ? (this.#host?.acks() ?? []).filter((ack) => !news.has(laneOf(ack))) : [];
    return {
      ...{ name, seat, address },
      epoch: log.epoch,
      turn: this.#turn,
      saidMs: Math.floor(runtime.nowMs()),
      ...{ how: this.#how, heardTo: this.#heardTo },
      ...{ settled, last: clock.last },
      ends: Array.from({ length: log.partitions }, (_, partition) => log.extent(partition).next),
      sessions: this.#host?.sessions() ?? [],
      acks: this.#roll.isAlone ? [] : [...known, ...news.values()],
      gone: this.#givenUp(),
      ...{ waits: this.#host?.waits() ?? false, topics: this.#host?.topics() ?? [] },
    };
  }

  #givenUp(): readonly GivenUp[] {
    return this.isHeld ? this.#roll.silent(this.#options.runtime.monotonicMs() - GONE_MS) : [];
  }

  #failed(cause: unknown): void {
    const { logger } = this.#options;
    const trouble = asWmbError(cause, 'LOG_UNAVAILABLE');
    if (this.#trouble === undefined && !this.#over.signal.aborted)
      logger.warn({ code: trouble.code, reason: trouble.message }, 'the other reships of the room cannot be heard; it is tried again');
    this.#trouble = trouble;
  }
}

function laneOf({ room, log, partition }: PeerAck): string {
  return `${room}/${log}/${partition}`;
}

/** Of two acks of a lane, one after the other, what both say. */
function joined(before: PeerAck, ack: PeerAck): PeerAck {
  const { exceptionsFrom } = before;
  return { ...ack, exceptionsFrom: Math.min(exceptionsFrom, ack.exceptionsFrom), exceptions: [...before.exceptions, ...ack.exceptions] };
}
