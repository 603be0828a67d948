/**
 * Waiting for more than durability. Rooms say how far they are by acks (a mark per partition of this room's log, with the write requests
 * whose receipt is not `applied`); a call is answered when the marks it waits for have passed all of its write requests, or when
 * its deadline has.
 *
 * Acks come in the order of the seqs, and so do the write requests that wait for them: one queue per partition and goal, popped at its
 * head. A call whose deadline has passed leaves its entries dead in the queues, which are swept when half of them are dead, so
 * that a peer that is gone for days costs no memory.
 */
import { WmbError } from '../../core/errors.ts';
import type { Runtime } from '../../core/runtime.ts';
import type { LogEpoch, LogName, Outcome, RoomId, Seq } from '../../core/words.ts';
import type { ReceiptException } from '../../link/link.ts';
import { Arrivals, type Following } from './arrivals.ts';
import { type Call, type OpenResult, type Segment, WAIT_MS_MAX } from './call.ts';
import { type Waiter, WaiterQueue, type WaitingCall } from './waiter-queue.ts';

/** A room's mark in one partition of this room's log. `exceptions`: of the seqs since the room's ack before. */
export interface RoomAck {
  readonly room: RoomId;
  readonly log: LogName;
  readonly partition: number;
  readonly epoch: LogEpoch;
  readonly seq: Seq;
  /** The exceptions are all there are from this seq on; how older write requests fared is not known. */
  readonly exceptionsFrom: Seq;
  readonly exceptions: readonly ReceiptException[];
  /** See link/link.ts. */
  readonly databaseSeq?: Seq | undefined;
}

/** Acks are kept for as long as an append is in flight; beyond so many they go, and with them outcomes, never an answer. */
const EARLY_ACKS_MAX = 1_024;

export interface WaitsOptions {
  readonly room: RoomId;
  readonly rooms: readonly RoomId[];
  readonly following?: Following | undefined;
  readonly runtime: Runtime;
  readonly waitMsDefault: number;
  /** The call has got what it waited for, or its deadline has passed. */
  readonly answered: (call: Call) => void;
}

export class Waits {
  readonly #options: WaitsOptions;
  /** By partition: waiters for this room's own mark, and for every room's. */
  readonly #own = new Map<number, WaiterQueue>();
  readonly #every = new Map<number, WaiterQueue>();
  readonly #arrivals: Arrivals;
  readonly #open = new Map<Call, WaitingCall>();
  /** This room's acks that came while an append was in flight: perhaps for what that append made durable. */
  #early: RoomAck[] = [];
  #earlyLost = false;

  constructor(options: WaitsOptions) {
    this.#options = options;
    this.#arrivals = new Arrivals(options.rooms, options.following);
  }

  /** Entries held, dead ones too; for tests of the bound. */
  get entries(): number {
    let entries = 0;
    for (const queues of [this.#own, this.#every]) for (const queue of queues.values()) entries += queue.size;
    return entries;
  }

  /** Segments come in the order of their seqs, those of one append together; then `release`. */
  add(partition: number, seq: Seq, segment: Segment): void {
    const { call } = segment;
    let waiting = this.#open.get(call);
    if (waiting === undefined) {
      waiting = { call, waiters: [], left: 0, timer: undefined };
      this.#open.set(call, waiting);
      this.#startDeadline(waiting);
    }
    const own = entry(this.#own, partition, newQueue);
    const every = call.options.wait === 'everywhere' ? entry(this.#every, partition, newQueue) : undefined;
    const waiter: Waiter = { seq, segment, waiting, own, every, ownPassed: false, dead: false };
    waiting.waiters.push(waiter);
    waiting.left += 1;
    own.push(waiter);
    every?.push(waiter);
  }

  /** All segments of an append have been added: passes those whose acks were faster than the log's answer. */
  release(partitions: Iterable<number>): void {
    const early = this.#earlyLost ? [] : this.#early;
    this.#early = [];
    this.#earlyLost = false;
    for (const ack of early) this.#passOwn(ack.partition, ack.seq, ack);
    for (const partition of partitions) {
      this.#passOwn(partition, this.#arrivals.appliedIn(this.#options.room, partition), undefined);
      this.#passEverywhere(partition);
    }
  }

  /** An ack of a lane of this room's own write log, in its present epoch. */
  acknowledge(ack: RoomAck, appending: boolean): void {
    const { partition, room, seq } = ack;
    const before = this.#arrivals.appliedIn(room, partition);
    if (!this.#arrivals.take(ack)) return;
    if (room === this.#options.room && seq > before) {
      this.#passOwn(partition, seq, ack);
      if (appending) this.#keepEarly(ack);
    }
    this.#passEverywhere(partition);
  }

  /** Answers every waiting call at once: its write requests are durable, but nobody will tell how they fared. */
  endAll(reason: string): void {
    for (const waiting of [...this.#open.values()]) this.#expire(waiting, reason);
  }

  #keepEarly(ack: RoomAck): void {
    if (this.#early.length < EARLY_ACKS_MAX) this.#early.push(ack);
    else this.#earlyLost = true;
  }

  #passOwn(partition: number, seq: Seq, ack: RoomAck | undefined): void {
    const queue = this.#own.get(partition);
    for (let waiter = queue?.pop(seq); waiter !== undefined; waiter = queue?.pop(seq)) {
      waiter.ownPassed = true;
      if (ack !== undefined) fillOutcomes(waiter, ack);
      if (waiter.every === undefined) this.#pass(waiter);
    }
  }

  #passEverywhere(partition: number): void {
    const queue = this.#every.get(partition);
    if (queue === undefined || queue.size === 0) return;
    const seq = this.#arrivals.everywhere(partition);
    for (let waiter = queue.pop(seq); waiter !== undefined; waiter = queue.pop(seq)) this.#pass(waiter);
  }

  #pass(waiter: Waiter): void {
    const { waiting } = waiter;
    waiter.dead = true;
    waiting.left -= 1;
    if (waiting.left === 0) this.#end(waiting);
  }

  #startDeadline(waiting: WaitingCall): void {
    const { deadlineMs, wait } = waiting.call.options;
    const delayMs = Math.min(deadlineMs === 0 ? this.#options.waitMsDefault : deadlineMs, WAIT_MS_MAX);
    const what = wait === 'applied' ? 'this room’s mark has not passed it' : 'not every room’s mark has passed it';
    waiting.timer = this.#options.runtime.after(delayMs, () => this.#expire(waiting, `${what} after ${delayMs} ms`));
  }

  #expire(waiting: WaitingCall, reason: string): void {
    const error = new WmbError('WAIT_TIMEOUT', `the write request is durable, but ${reason}`);
    for (const waiter of waiting.waiters) {
      if (waiter.dead) continue;
      waiter.dead = true;
      if (!waiter.ownPassed) waiter.own.died();
      waiter.every?.died();
      for (const slot of waiter.segment.slots) {
        const result = waiting.call.results[slot];
        if (result !== undefined) result.error = error;
      }
    }
    this.#end(waiting);
  }

  #end(waiting: WaitingCall): void {
    waiting.timer?.cancel();
    this.#open.delete(waiting.call);
    this.#options.answered(waiting.call);
  }
}

const newQueue = (): WaiterQueue => new WaiterQueue();

/** The value of `key`, made where there is none yet. */
function entry<Value>(map: Map<number, Value>, key: number, make: () => Value): Value {
  const found = map.get(key);
  if (found !== undefined) return found;
  const made = make();
  map.set(key, made);
  return made;
}

/** Exceptions name what was not applied; all else up to the mark was, as far back as they are complete. */
function fillOutcomes(waiter: Waiter, { exceptions, exceptionsFrom }: RoomAck): void {
  const { segment, seq } = waiter;
  const { results } = segment.call;
  if (seq >= exceptionsFrom) for (const slot of segment.slots) setOutcome(results[slot], 'applied');
  for (const exception of exceptions) {
    const slot = exception.seq === seq ? segment.slots[exception.index - segment.firstIndex] : undefined;
    if (slot !== undefined) setOutcome(results[slot], exception.outcome);
  }
}

function setOutcome(result: OpenResult | undefined, outcome: Outcome): void {
  if (result !== undefined) result.outcome = outcome;
}
