/**
 * The appending side of a log in Kafka. What is appended while a round of requests is on its way goes into the next one together; a round has one batch for each
 * partition, and is over when all replicas in sync have all of it.
 *
 * A batch whose answer does not come may be stored all the same. It is sent again, and nothing else of its partition before it, until an answer says what became of it: Kafka tells
 * by the producer id and sequence numbers that it has it already. So frames are stored once, and in order. Whoever waits gets LOG_UNAVAILABLE when it takes too long; what
 * was sent by then is sent on, and comes before everything that is appended later.
 */
import { asWmbError, WmbError } from '../../core/errors.ts';
import type { Runtime } from '../../core/runtime.ts';
import type { Seq } from '../../core/words.ts';
import { leaderOf, REPLICAS_MS_MAX } from '../../kafka/calls.ts';
import type { KafkaCluster } from '../../kafka/cluster.ts';
import { protocolError } from '../../kafka/library.ts';
import { laterSequence } from '../../kafka/records.ts';
import { type ProduceAnswer, type ProduceBatch, produceExchange } from '../../kafka/requests.ts';
import { type Trouble, troubleOf } from '../../kafka/trouble.ts';
import { answerGroup, takeGroup, type WaitingAppend } from '../groups.ts';
import type { FrameDraft } from '../log.ts';
import { pause } from './calls.ts';
import { isPassing, toldError } from './errors.ts';

/** Frames of one batch; one that is larger has a batch of its own. */
const BATCH_BYTES_MAX = 1024 * 1024;
/** Appends that wait for their round; beyond it they are refused. Intake's own limits are far below. */
const PENDING_BYTES_MAX = 128 * 1024 * 1024;
const PENDING_APPENDS_MAX = 65_536;
/** A new leader takes ten seconds where the old one died without a word. */
const APPEND_MS_MAX = 30_000;
/** A round that takes longer is told as trouble, although nothing has failed yet: a broker that stands still says nothing. */
const SLOW_MS = 2_000;
/** What a round failed with is remembered so long, where nobody appends and finds out whether it still holds. */
const REMEMBERED_MS = 10_000;

export interface AppenderOptions {
  readonly cluster: KafkaCluster;
  readonly topic: string;
  readonly partitions: number;
  readonly runtime: Runtime;
  /** How long an append may take before it is rejected; 30 s but for tests. */
  readonly appendMsMax?: number | undefined;
  /** Whether this process may append now; nothing is sent while it may not. */
  readonly may: () => boolean;
  /** The drafts have the seqs from `first` on. Resolves when whoever reads the log sees them; rejects where others are there. */
  readonly placed: (partition: number, first: Seq, drafts: readonly FrameDraft[]) => Promise<void>;
  /** A broker does not take a partition's batches in their order: some may be gone. Rejects where they are. */
  readonly doubted: (partition: number) => Promise<void>;
}

/** A part of the drafts of a group, all of one partition. */
interface Batch {
  readonly partition: number;
  readonly drafts: FrameDraft[];
  /** Where in the group each of them stands. */
  readonly places: number[];
  bytes: number;
}

interface Sender {
  readonly producerId: bigint;
  readonly producerEpoch: number;
  /** By partition: the sequence number of the next record. */
  readonly sequences: number[];
}

export class Appender {
  readonly #options: AppenderOptions;
  #pending: WaitingAppend[] = [];
  #pendingBytes = 0;
  #running: Promise<void> | undefined;
  #sender: Sender | undefined;
  #refusal: WmbError | undefined;
  /** How often everything was given up: a group that was taken before is not sent any more. */
  #givenUp = 0;
  /** What Kafka said last, while it does not take what it is sent. */
  #trouble: Trouble | undefined;
  #troubleMs = 0;
  /** Since when a round is on its way. */
  #roundMs: number | undefined;
  readonly #waiting = new Set<WaitingAppend>();

  constructor(options: AppenderOptions) {
    this.#options = options;
  }

  append(drafts: readonly FrameDraft[]): Promise<readonly Seq[]> {
    const { runtime, appendMsMax = APPEND_MS_MAX } = this.#options;
    const bytes = drafts.reduce((sum, draft) => sum + draft.bytes.length, 0);
    return new Promise((resolve, reject) => {
      if (this.#refusal !== undefined) return reject(this.#refusal);
      if (drafts.length === 0) return resolve([]);
      if (this.#pendingBytes + bytes > PENDING_BYTES_MAX || this.#pending.length >= PENDING_APPENDS_MAX)
        return reject(new WmbError('OVERLOADED', `${this.#pendingBytes} bytes wait to be appended; Kafka does not keep up`));
      const timer = runtime.after(appendMsMax, () => this.#tooLate(append, appendMsMax), true);
      const settle = () => {
        timer.cancel();
        this.#waiting.delete(append);
      };
      const append: WaitingAppend = {
        drafts,
        bytes,
        resolve: (seqs) => {
          settle();
          resolve(seqs);
        },
        reject: (error) => {
          settle();
          reject(error);
        },
      };
      this.#waiting.add(append);
      this.#pending.push(append);
      this.#pendingBytes += bytes;
      this.#running ??= this.#run();
    });
  }

  /** Why what is appended does not come into the log now. */
  get trouble(): WmbError | undefined {
    const { cluster, topic, runtime } = this.#options;
    if (this.#refusal !== undefined) return this.#refusal;
    const nowMs = runtime.monotonicMs();
    const isSlow = this.#roundMs !== undefined && nowMs - this.#roundMs > SLOW_MS;
    const isKnown = this.#roundMs !== undefined || nowMs - this.#troubleMs < REMEMBERED_MS;
    const trouble = (isKnown ? this.#trouble : undefined) ?? (isSlow ? SILENT : undefined);
    return trouble && toldError(trouble, { place: cluster.place, doing: `the topic ${topic} cannot be appended to` });
  }

  /** Nothing more is taken, and what is not answered yet is rejected: nobody knows whether it is stored. */
  stop(reason: WmbError): void {
    this.#refusal ??= reason;
    for (const append of [...this.#waiting]) append.reject(reason);
  }

  /** What is not acked yet is rejected, and not sent any more; nobody knows whether what was sent is stored. What is appended from now on is sent. */
  giveUp(reason: WmbError): void {
    this.#givenUp += 1;
    for (const append of [...this.#waiting]) append.reject(reason);
    this.#pending = [];
    this.#pendingBytes = 0;
  }

  /** Resolves when what was appended is answered. */
  async idle(): Promise<void> {
    while (this.#waiting.size > 0 && this.#running !== undefined) await this.#running;
  }

  /** What has not been sent yet is not sent any more: it would only fill the memory. */
  #tooLate(append: WaitingAppend, afterMs: number): void {
    const { cluster, topic } = this.#options;
    const at = this.#pending.indexOf(append);
    if (at >= 0) this.#pending.splice(at, 1);
    if (at >= 0) this.#pendingBytes -= append.bytes;
    const outcome = at >= 0 ? 'was not sent' : 'is not acked, and may come into the log later';
    const doing = `what was to be appended to the topic ${topic} ${afterMs} ms ago ${outcome}`;
    append.reject(toldError(this.#trouble ?? SILENT, { place: cluster.place, doing }));
  }

  async #run(): Promise<void> {
    // One turn later, so that appends made in the same turn share the first round too.
    await undefined;
    while (this.#pending.length > 0 && this.#refusal === undefined) await this.#appendGroup(takeGroup(this.#pending));
    this.#running = undefined;
  }

  async #appendGroup(group: readonly WaitingAppend[]): Promise<void> {
    const drafts = group.flatMap((append) => append.drafts);
    const seqs: Seq[] = new Array(drafts.length);
    const givenUp = this.#givenUp;
    const isOver = () => this.#refusal !== undefined || this.#givenUp !== givenUp;
    let failure: WmbError | undefined;
    try {
      for (const round of roundsOf(drafts)) await this.#send(round, seqs, isOver);
    } catch (cause) {
      failure = asWmbError(cause, 'LOG_UNAVAILABLE');
    }
    this.#roundMs = undefined;
    if (this.#givenUp !== givenUp) {
      // Whoever waited has been answered. What may be stored of this sender must not be taken for what is sent next.
      this.#sender = undefined;
      return;
    }
    for (const append of group) this.#pendingBytes -= append.bytes;
    if (failure === undefined) return answerGroup(group, seqs);
    for (const append of group) append.reject(failure);
  }

  /** Until every batch of the round is answered for good, or it is over. */
  async #send(round: readonly Batch[], seqs: Seq[], isOver: () => boolean): Promise<void> {
    let rest = round;
    this.#roundMs = this.#options.runtime.monotonicMs();
    for (let attempt = 0; rest.length > 0; attempt += 1) {
      if (attempt > 0) {
        await pause(this.#options.runtime, attempt);
        await this.#options.cluster.refresh().catch(() => {});
      }
      if (isOver()) throw this.#refusal ?? new WmbError('LOG_UNAVAILABLE', 'what was to be appended was given up');
      rest = await this.#attempt(rest, seqs);
    }
    this.#trouble = undefined;
  }

  /** The batches that have to be sent again. */
  async #attempt(batches: readonly Batch[], seqs: Seq[]): Promise<readonly Batch[]> {
    const { cluster, topic } = this.#options;
    if (!this.#options.may()) {
      this.#trouble = UNHEARD;
      return batches;
    }
    try {
      this.#sender ??= await this.#newSender();
    } catch (cause) {
      this.#failed(cause);
      return batches;
    }
    const sender = this.#sender;
    const again: Batch[] = [];
    const byLeader = new Map<number, Batch[]>();
    for (const batch of batches) {
      try {
        const leader = leaderOf(cluster, topic, batch.partition);
        byLeader.set(leader, [...(byLeader.get(leader) ?? []), batch]);
      } catch (cause) {
        this.#failed(cause);
        again.push(batch);
      }
    }
    await Promise.all([...byLeader].map(async ([leader, led]) => again.push(...(await this.#ask(leader, led, { sender, seqs })))));
    return again;
  }

  async #ask(leader: number, batches: readonly Batch[], { sender, seqs }: { sender: Sender; seqs: Seq[] }): Promise<readonly Batch[]> {
    const { cluster, topic, runtime } = this.#options;
    let answers: readonly ProduceAnswer[];
    try {
      const exchange = produceExchange({
        topic,
        batches: batches.map((batch) => toProduce(batch, sender)),
        timeoutMs: REPLICAS_MS_MAX,
        nowMs: Math.floor(runtime.nowMs()),
      });
      answers = await cluster.send(leader, exchange);
    } catch (cause) {
      this.#failed(cause);
      return batches;
    }
    const again = await Promise.all(batches.map((batch) => this.#answered(batch, answers, { sender, seqs })));
    return again.filter((batch) => batch !== undefined);
  }

  /** The batch where it has to be sent again. */
  async #answered(
    batch: Batch,
    answers: readonly ProduceAnswer[],
    { sender, seqs }: { sender: Sender; seqs: Seq[] },
  ): Promise<Batch | undefined> {
    const { partition, drafts, places } = batch;
    const answer = answers.find((each) => each.partition === partition);
    if (answer === undefined || answer.error !== 0) {
      const cause = protocolError(answer?.error ?? -1);
      if (LOST_SENDER.includes(cause.type)) {
        this.#sender = undefined;
        await this.#options.doubted(partition);
      }
      this.#failed(cause);
      return batch;
    }
    sender.sequences[partition] = laterSequence(sender.sequences[partition] ?? 0, drafts.length);
    for (const [index, place] of places.entries()) seqs[place] = answer.firstOffset + index;
    await this.#options.placed(partition, answer.firstOffset, drafts);
    return undefined;
  }

  /** Throws where trying again is of no use. */
  #failed(cause: unknown): void {
    const { cluster, topic, runtime } = this.#options;
    const trouble = troubleOf(cause);
    this.#trouble = trouble;
    this.#troubleMs = runtime.monotonicMs();
    if (isPassing(trouble) || LOST_SENDER.includes(trouble.type)) return;
    // What may be stored of this sender must not be taken for what is sent next.
    this.#sender = undefined;
    throw toldError(trouble, { place: cluster.place, doing: `the topic ${topic} cannot be appended to`, cause });
  }

  async #newSender(): Promise<Sender> {
    const id = await this.#options.cluster.producerId();
    return { ...id, sequences: new Array(this.#options.partitions).fill(0) };
  }
}

const UNHEARD: Trouble = { kind: 'away', type: '', text: 'does not let this process hear what it says to the others that append' };
const SILENT: Trouble = { kind: 'away', type: '', text: 'does not answer' };

/** Kafka does not know the sender any more, or not what it sent last. */
const LOST_SENDER: readonly string[] = [
  'OUT_OF_ORDER_SEQUENCE_NUMBER',
  'UNKNOWN_PRODUCER_ID',
  'INVALID_PRODUCER_EPOCH',
  'INVALID_PRODUCER_ID_MAPPING',
  // It is stored, but Kafka has forgotten where.
  'DUPLICATE_SEQUENCE_NUMBER',
];

function toProduce({ partition, drafts }: Batch, { producerId, producerEpoch, sequences }: Sender): ProduceBatch {
  const sender = { producerId, producerEpoch, sequence: sequences[partition] ?? 0 };
  return { partition, values: drafts.map(({ bytes }) => bytes), sender };
}

/** Splits drafts into rounds, each with at most one batch of a partition, in the order of the drafts. */
export function roundsOf(drafts: readonly FrameDraft[]): readonly (readonly Batch[])[] {
  const rounds: Batch[][] = [];
  const open = new Map<number, { readonly batch: Batch; readonly round: number }>();
  for (const [place, draft] of drafts.entries()) {
    const last = open.get(draft.partition);
    if (last !== undefined && last.batch.bytes + draft.bytes.length <= BATCH_BYTES_MAX) {
      last.batch.drafts.push(draft);
      last.batch.places.push(place);
      last.batch.bytes += draft.bytes.length;
      continue;
    }
    const round = last === undefined ? 0 : last.round + 1;
    const batch = { partition: draft.partition, drafts: [draft], places: [place], bytes: draft.bytes.length };
    rounds[round] ??= [];
    rounds[round].push(batch);
    open.set(draft.partition, { batch, round });
  }
  return rounds;
}
