/**
 * Intake: where an application's write request enters the room. It is checked, gets its stamp, is packed into a frame of its key's
 * partition, and is acked when that frame is durable in the write log (invariant I1), or later where the caller waits for more.
 *
 * The unit is the call, not the write request: one promise for all write requests of a call, one append for all calls that came while
 * the append before was in flight. Each write request gets its own result; a bad one never affects the others. What cannot be held is
 * refused with a hint and never queued, so memory has a limit (I11). Once a write request of a call finds no room, the rest of that
 * call is refused too: otherwise a small one could overtake a large one of the same key.
 *
 * gRPC, HTTP and topics of Kafka (grpc.ts, http.ts, kafka/) are faces of this class. It has no sockets.
 */

import type { IntakeLimits, Topology } from '../../core/config/types.ts';
import { asWmbError, WmbError } from '../../core/errors.ts';
import { type Metrics, noMetrics } from '../../core/metrics.ts';
import { partitionOf } from '../../core/partition.ts';
import type { Runtime } from '../../core/runtime.ts';
import type { Stamp } from '../../core/stamp.ts';
import { formatPosition, type RoomId, type Seq } from '../../core/words.ts';
import type { Service } from '../../daemon/service.ts';
import type { Log } from '../../log/log.ts';
import { followingOf } from './arrivals.ts';
import { type Call, type IncomingWrite, type OpenResult, refused, type SubmitOptions, type WriteResult } from './call.ts';
import { type IntakeMetrics, intakeMetrics } from './metrics.ts';
import { type Batch, type OpenFrame, Packer, type StampSource } from './pack.ts';
import { checkWrite, makeRequestId, type WriteRules, writeRules } from './validate.ts';
import { type RoomAck, Waits } from './waits.ts';

export interface IntakeOptions {
  readonly room: RoomId;
  readonly topology: Topology;
  readonly limits: IntakeLimits;
  /** Open. Only this intake gives stamps for it in this process. */
  readonly log: Log;
  readonly clock: StampSource;
  readonly runtime: Runtime;
  readonly metrics?: Metrics;
  /** Where other processes append to the log too: see PackerOptions. */
  readonly through?: ((stampLast: Stamp) => Stamp) | undefined;
  /** A call waits for what peers ack, and none did. */
  readonly onWaiting?: () => void;
}

export interface IntakeState {
  readonly pendingWrites: number;
  readonly pendingBytes: number;
  readonly waiting: number;
  readonly taken: number;
  readonly refused: number;
  readonly draining: boolean;
}

export class Intake implements Service {
  readonly name = 'intake';
  readonly #options: IntakeOptions;
  readonly #rules: WriteRules;
  readonly #packer: Packer;
  readonly #waits: Waits;
  readonly #metrics: IntakeMetrics;
  /** Calls that asked for `applied` or `everywhere` and are not answered. */
  #waiting = 0;
  #draining = false;
  #drained: (() => void) | undefined;

  constructor(options: IntakeOptions) {
    const { room, topology, limits, log, clock, runtime, through } = options;
    this.#options = options;
    this.#rules = writeRules(topology);
    this.#metrics = intakeMetrics(options.metrics ?? noMetrics, {
      pendingWrites: () => this.#packer.pendingWrites,
      pendingBytes: () => this.#packer.pendingBytes,
      waiting: () => this.#waiting,
    });
    this.#packer = new Packer({
      log,
      origin: room,
      limits,
      clock,
      runtime,
      metrics: this.#metrics,
      through,
      durable: (batch, seqs) => this.#durable(batch, seqs),
      failed: (batch, error) => this.#failed(batch, error),
    });
    const rooms = topology.rooms.map((entry) => entry.id);
    const following = followingOf(topology);
    this.#waits = new Waits({
      room,
      rooms,
      following,
      runtime,
      waitMsDefault: limits.waitMsDefault,
      answered: (call) => this.#answerWaiting(call),
    });
  }

  /** There is nothing to open: the log is, and the faces are served by the daemon's servers. */
  start(): Promise<void> {
    return Promise.resolve();
  }

  /** One result per write request, in order; see WriteResult. Never rejects. The payloads must not change until it resolves. */
  submit(requests: readonly IncomingWrite[], options: SubmitOptions): Promise<readonly WriteResult[]> {
    const refusal = this.#refusal(options);
    if (refusal !== undefined) {
      this.#metrics.refused(refusal.code, requests.length);
      return Promise.resolve(requests.map((request) => refused(request.requestId, refusal)));
    }
    const { promise, resolve } = Promise.withResolvers<readonly WriteResult[]>();
    const call: Call = {
      results: new Array<OpenResult>(requests.length),
      options,
      startedMs: this.#options.runtime.monotonicMs(),
      resolve,
    };
    if (this.#takeAll(call, requests) === 0) {
      resolve(call.results);
      return promise;
    }
    if (options.wait !== 'logged') {
      this.#waiting += 1;
      if (this.#waiting === 1) this.#options.onWaiting?.();
    }
    this.#packer.flush();
    return promise;
  }

  /** Tells how far a room is in this room's logs; what belongs to another log or log epoch is ignored. */
  acknowledge(ack: RoomAck): void {
    if (ack.log !== 'writes' || ack.epoch !== this.#options.log.epoch) return;
    this.#waits.acknowledge(ack, this.#packer.appending);
  }

  /** A stamp that every write request not yet durable and every future one of this intake exceeds. */
  settledStamp(): Stamp {
    return this.#packer.settledStamp();
  }

  get state(): IntakeState {
    const { pendingWrites, pendingBytes } = this.#packer;
    return { pendingWrites, pendingBytes, waiting: this.#waiting, ...this.#metrics.totals, draining: this.#draining };
  }

  /** Refuses new calls with DRAINING; resolves when everything taken is durable and every waiting call is answered. */
  async drain(): Promise<void> {
    this.#draining = true;
    await this.#packer.idle();
    if (this.#waiting === 0) return;
    await new Promise<void>((resolve) => {
      this.#drained = resolve;
    });
  }

  /** Answers the calls that still wait; what is in flight to the log is answered by the log. */
  async stop(): Promise<void> {
    this.#draining = true;
    this.#waits.endAll('the daemon stopped before what you wait for happened');
  }

  #refusal(options: SubmitOptions): WmbError | undefined {
    if (this.#draining) return new WmbError('DRAINING', 'this reship is shutting down', { retryAfterMs: 1_000 });
    if (options.wait === 'logged' || this.#waiting < this.#options.limits.waitingMax) return undefined;
    const message = `${this.#waiting} calls wait for \`applied\` or \`everywhere\` already, which is the most; submit with wait logged, or later`;
    return new WmbError('OVERLOADED', message, { retryAfterMs: 100 });
  }

  /** Fills the results of what is refused and packs the rest. Returns how many write requests were packed. */
  #takeAll(call: Call, requests: readonly IncomingWrite[]): number {
    let taken = 0;
    let stop: WmbError | undefined;
    for (let slot = 0; slot < requests.length; slot += 1) {
      const request = requests[slot] as IncomingWrite;
      let error = stop ?? (call.options.checked ? undefined : checkWrite(request, this.#rules));
      if (error === undefined) {
        stop = this.#take(call, request, slot);
        error = stop;
      }
      if (error === undefined) taken += 1;
      else this.#refuse(call, slot, request.requestId, error);
    }
    return taken;
  }

  #take(call: Call, request: IncomingWrite, slot: number): WmbError | undefined {
    const { runtime, topology } = this.#options;
    const write = request.requestId === '' ? { ...request, requestId: makeRequestId(runtime) } : request;
    try {
      const stamp = this.#packer.add(partitionOf(write.key, topology.partitions), write, call, slot);
      call.results[slot] = { requestId: write.requestId, stamp, position: '', outcome: undefined, error: undefined };
      return undefined;
    } catch (cause) {
      return asWmbError(cause);
    }
  }

  #refuse(call: Call, slot: number, requestId: string, error: WmbError): void {
    call.results[slot] = refused(requestId, error);
    this.#metrics.refused(error.code, 1);
  }

  #durable(batch: Batch, seqs: readonly Seq[]): void {
    for (const [i, frame] of batch.frames.entries()) this.#place(frame, seqs[i] as Seq);
    this.#metrics.taken(batch.writes);
    const nowMs = this.#options.runtime.monotonicMs();
    for (const call of batch.calls) {
      this.#metrics.durableMs.observe(nowMs - call.startedMs);
      if (call.options.wait === 'logged') call.resolve(call.results);
    }
    this.#waits.release(new Set(batch.frames.map((frame) => frame.partition)));
  }

  /** Tells the write requests of a durable frame where they are. */
  #place(frame: OpenFrame, seq: Seq): void {
    const { room, log } = this.#options;
    const { partition } = frame;
    const first = formatPosition({ log: 'writes', origin: room, partition, epoch: log.epoch, seq, index: 0 });
    const stem = first.slice(0, -1);
    for (const segment of frame.segments) {
      const { call, slots, firstIndex } = segment;
      for (let i = 0; i < slots.length; i += 1) (call.results[slots[i] as number] as OpenResult).position = stem + (firstIndex + i);
      if (call.options.wait !== 'logged') this.#waits.add(partition, seq, segment);
    }
  }

  /** Nothing of the batch is acked, also where it may be durable after all: a retry with the same request id has one effect. */
  #failed(batch: Batch, error: WmbError): void {
    for (const { segments } of batch.frames) {
      for (const { call, slots } of segments) {
        for (const slot of slots) this.#refuse(call, slot, (call.results[slot] as OpenResult).requestId, error);
      }
    }
    for (const call of batch.calls) {
      if (call.options.wait === 'logged') call.resolve(call.results);
      else this.#answerWaiting(call);
    }
  }

  #answerWaiting(call: Call): void {
    this.#waiting -= 1;
    call.resolve(call.results);
    if (this.#waiting === 0) this.#drained?.();
  }
}
