/** This room's own collector and reship, over gRPC. */
import { WmbError } from '../core/errors.ts';
import type { CachePlaces, DerivedWrite, FrameReceipts, Horizon, SeqRange, TakeOver } from '../core/inspection.ts';
import type { StampedWrite } from '../core/words.ts';
import { placesFromWire, takeOverToWire } from '../daemon/copy-wire.ts';
import { derivedFromWire, horizonFromWire, rangeToWire, receiptsFromWire, repairToWire, writeToWire } from '../daemon/inspection-wire.ts';
import { CollectorClient, type ParkedResult } from '../proto/gen/wmb/v1/admin.ts';
import {
  type CachePlacesResponse,
  type DeriveResponse,
  type DigestReceiptsResponse,
  type HorizonResponse,
  InspectionClient,
  type ReceiptsResponse,
  type RepairKeysResponse,
  type TakeDirtyResponse,
  type TakeOverResponse,
} from '../proto/gen/wmb/v1/inspection.ts';
import { Outcome, type SubmitRequest, type SubmitResponse, Wait, WritesClient } from '../proto/gen/wmb/v1/writes.ts';
import type { CacheRepair, RepairOutcome } from '../store/inspection.ts';
import { Calls, type CallTarget } from './calls-grpc.ts';
import type { OwnCollector } from './local-room.ts';

const REPAIR_OUTCOMES: readonly string[] = ['repaired', 'unchanged', 'overtaken', 'outdated'] satisfies readonly RepairOutcome[];

export class CollectorGrpc implements OwnCollector {
  readonly #inspection: Calls<InspectionClient>;
  readonly #people: Calls<CollectorClient>;

  constructor(target: CallTarget) {
    this.#inspection = new Calls(InspectionClient, target);
    this.#people = new Calls(CollectorClient, target);
  }

  async horizon(): Promise<Horizon> {
    const answer = await this.#inspection.unary<HorizonResponse>((client, ...call) => client.getHorizon({}, ...call));
    return horizonFromWire(answer);
  }

  async takeDirty(max: number): Promise<readonly number[]> {
    const answer = await this.#inspection.unary<TakeDirtyResponse>((client, ...call) => client.takeDirty({ max }, ...call));
    return answer.buckets;
  }

  async receiptDigests(ranges: readonly SeqRange[]): Promise<readonly string[]> {
    const request = { ranges: ranges.map(rangeToWire) };
    const answer = await this.#inspection.unary<DigestReceiptsResponse>((client, ...call) => client.digestReceipts(request, ...call));
    this.#requireCount(answer.digests, ranges);
    return answer.digests;
  }

  async receipts(range: SeqRange): Promise<readonly FrameReceipts[]> {
    const answer = await this.#inspection.unary<ReceiptsResponse>((client, ...call) => client.getReceipts(rangeToWire(range), ...call));
    return receiptsFromWire(answer.frames);
  }

  async derive(writes: readonly StampedWrite[]): Promise<readonly DerivedWrite[]> {
    const request = { writes: writes.map(writeToWire) };
    const answer = await this.#inspection.unary<DeriveResponse>((client, ...call) => client.derive(request, ...call));
    this.#requireCount(answer.writes, writes);
    return answer.writes.map(derivedFromWire);
  }

  async repair(repairs: readonly CacheRepair[]): Promise<readonly RepairOutcome[]> {
    const request = { repairs: repairs.map(repairToWire) };
    const answer = await this.#inspection.unary<RepairKeysResponse>((client, ...call) => client.repairKeys(request, ...call));
    this.#requireCount(answer.outcomes, repairs);
    for (const outcome of answer.outcomes)
      if (!REPAIR_OUTCOMES.includes(outcome)) throw this.#inspection.garbage(`the outcome "${outcome}" of a repair`);
    return answer.outcomes as readonly RepairOutcome[];
  }

  async cachePlaces(): Promise<CachePlaces> {
    return placesFromWire(await this.#inspection.unary<CachePlacesResponse>((client, ...call) => client.getCachePlaces({}, ...call)));
  }

  async takeOver(end: TakeOver): Promise<void> {
    await this.#inspection.unary<TakeOverResponse>((client, ...call) => client.takeOver(takeOverToWire(end), ...call));
  }

  async retryParked(position: string): Promise<{ readonly outcome: string; readonly message: string }> {
    const selection = { writes: [position], all: false, after: '' };
    const answer = await this.#people.unary<ParkedResult>((client, ...call) => client.retryParked(selection, ...call));
    const result = answer.outcomes[0];
    if (result === undefined) return { outcome: '', message: 'it is not parked any more' };
    return { outcome: OUTCOMES[result.outcome] ?? '', message: result.message };
  }

  close(): void {
    this.#inspection.close();
    this.#people.close();
  }

  #requireCount(answers: readonly unknown[], questions: readonly unknown[]): void {
    if (answers.length !== questions.length) throw this.#inspection.garbage(`${answers.length} answers to ${questions.length} questions`);
  }
}

const OUTCOMES: Readonly<Partial<Record<Outcome, string>>> = {
  [Outcome.OUTCOME_APPLIED]: 'applied',
  [Outcome.OUTCOME_SUPERSEDED]: 'superseded',
  [Outcome.OUTCOME_DUPLICATE]: 'duplicate',
  [Outcome.OUTCOME_PARKED]: 'parked',
  [Outcome.OUTCOME_REJECTED]: 'rejected',
};

/** Kind of canaries; only intake and the processors know it besides. */
const CANARY_KIND = 'wmb.canary';

/** Submits canaries at this room's intake, as any application would. */
export class IntakeGrpc {
  readonly #calls: readonly Calls<WritesClient>[];

  /** Where a reship does not answer, the next one of the room may. */
  constructor(targets: readonly CallTarget[]) {
    this.#calls = targets.map((target) => new Calls(WritesClient, target));
  }

  /** Rejects with the first error, where any canary was not taken. */
  async submitCanaries(canaries: readonly { readonly key: string }[]): Promise<void> {
    const writes = canaries.map(({ key }) => ({ requestId: '', kind: CANARY_KIND, key, payload: Buffer.alloc(0), traceparent: '' }));
    const answer = await this.#submit({ writes, wait: Wait.WAIT_LOGGED, deadlineMs: 0, batchId: 0 });
    const error = answer.results.find((result) => result.error !== undefined)?.error;
    if (error !== undefined) throw new WmbError('UNREACHABLE', `a canary was not taken: ${error.code}: ${error.message}`);
  }

  close(): void {
    for (const calls of this.#calls) calls.close();
  }

  async #submit(request: SubmitRequest): Promise<SubmitResponse> {
    let silence: unknown;
    for (const calls of this.#calls) {
      try {
        return await calls.unary<SubmitResponse>((client, ...call) => client.submit(request, ...call));
      } catch (cause) {
        if (!(cause instanceof WmbError && cause.code === 'UNREACHABLE')) throw cause;
        silence ??= cause;
      }
    }
    throw silence;
  }
}
