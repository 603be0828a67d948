/**
 * A journal in one partition of a topic. Offsets tell everything: whoever takes the journal appends a record that says so, whose offset is the name of its time. Each record names the time that it belongs to, and
 * is void behind the record of another one. A writer knows which offset its next record gets; where it gets another one, somebody has come in between. What is kept begins with the record of a time, so that
 * nobody takes a void record for a good one: a writer that wants to forget something begins a new time of its own before.
 *
 *     offset  size
 *          0     1  format (1)
 *          1     1  0: taken, 1: a record
 *          2     8  taken: 0; a record: offset of the record by which its writer took the journal
 *         10        taken: who, for people; a record: its value
 */
import { asWmbError, WmbError } from '../../core/errors.ts';
import type { Runtime } from '../../core/runtime.ts';
import { appendBatch, fetchOnce } from '../../kafka/calls.ts';
import type { KafkaCluster } from '../../kafka/cluster.ts';
import { LEADER_NOT_AVAILABLE, protocolError } from '../../kafka/library.ts';
import { type BatchSender, type FoundRecord, laterSequence } from '../../kafka/records.ts';
import { recordsFrom } from '../../kafka/topic-calls.ts';
import type { Journal, JournalRecord, Taken } from '../journal.ts';
import { appendRecord, type Calling, tryAgain } from './calls.ts';

const FORMAT = 1;
const TAKEN = 0;
const RECORD = 1;
const HEADER_BYTES = 10;
const CALL_MS_MAX = 5_000;
/** A new leader takes ten seconds where the old one died without a word. */
const APPEND_MS_MAX = 30_000;
const BATCH_BYTES_MAX = 1024 * 1024;
const FETCH_BYTES_MAX = 4 * 1024 * 1024;

export interface KafkaJournalOptions {
  readonly cluster: KafkaCluster;
  readonly topic: string;
  readonly partition: number;
  /** Who takes it, for people. */
  readonly owner: string;
  readonly runtime: Runtime;
}

interface Waiting {
  readonly value: Buffer;
  readonly resolve: (at: number) => void;
  readonly reject: (error: WmbError) => void;
}

export class KafkaJournal implements Journal {
  readonly #options: KafkaJournalOptions;
  /** Offset of the record by which it was taken. */
  #time = -1;
  /** Offset of the next record that is sent, if nobody else appends. */
  #next = 0;
  /** Offset of the next record that is to wait. */
  #free = 0;
  #sender: BatchSender | undefined;
  #over: WmbError | undefined = new WmbError('STORE_LOCKED', 'the journal was not taken');
  readonly #waiting: Waiting[] = [];
  #isSending = false;

  constructor(options: KafkaJournalOptions) {
    this.#options = options;
  }

  async take(): Promise<Taken> {
    const { cluster, topic, partition, owner } = this.#options;
    await tryAgain(this.#calling('be looked for', CALL_MS_MAX), () => cluster.watch(topic));
    const producer = await tryAgain(this.#calling('be written', CALL_MS_MAX), () => cluster.producerId());
    this.#sender = { ...producer, sequence: 0 };
    const at = await appendRecord(this.#calling('be written', CALL_MS_MAX), topic, partition, framed(TAKEN, 0, Buffer.from(owner)));
    this.#time = at;
    this.#next = at + 1;
    this.#free = at + 1;
    this.#over = undefined;
    const firsts = await tryAgain(this.#calling('be read', CALL_MS_MAX), () => cluster.offsets(topic, 'first'));
    const first = firsts[partition] ?? 0;
    return { isWhole: first === 0, records: () => this.#records(first, at) };
  }

  append(value: Uint8Array): Promise<number> {
    return this.#append(framed(RECORD, this.#time, value));
  }

  turn(): Promise<number> {
    this.#time = this.#free;
    return this.#append(framed(TAKEN, 0, Buffer.from(this.#options.owner)));
  }

  #append(value: Buffer): Promise<number> {
    return new Promise((resolve, reject) => {
      if (this.#over !== undefined) return reject(this.#over);
      this.#free += 1;
      this.#waiting.push({ value, resolve, reject });
      if (!this.#isSending) void this.#send();
    });
  }

  async forget(at: number): Promise<void> {
    const { cluster, topic, partition } = this.#options;
    await tryAgain(this.#calling('be pruned', CALL_MS_MAX), () => cluster.deleteBefore(topic, new Map([[partition, at]])));
  }

  close(): void {
    this.#end(new WmbError('DRAINING', 'the journal is closed'));
    this.#options.cluster.close();
  }

  async #send(): Promise<void> {
    this.#isSending = true;
    // One turn later, so that what is appended in the same turn goes together.
    await undefined;
    while (this.#waiting.length > 0 && this.#over === undefined) {
      const batch = takeBatch(this.#waiting);
      try {
        const first = await this.#sendBatch(batch.map(({ value }) => value));
        for (const [index, { resolve }] of batch.entries()) resolve(first + index);
      } catch (cause) {
        const error = asWmbError(cause, 'LOG_UNAVAILABLE');
        for (const { reject } of batch) reject(error);
        this.#end(error);
      }
    }
    this.#isSending = false;
  }

  async #sendBatch(values: readonly Buffer[]): Promise<number> {
    const { cluster, topic, partition, runtime } = this.#options;
    const sender = this.#sender;
    if (sender === undefined) throw new WmbError('STORE_LOCKED', 'the journal was not taken');
    // Sent again it has the same sequence numbers: Kafka stores it once, and answers with where it is.
    const first = await tryAgain(this.#calling('be appended to', APPEND_MS_MAX), () =>
      appendBatch(cluster, { topic, partition }, { values, sender, nowMs: runtime.nowMs() }),
    );
    if (first !== this.#next)
      throw new WmbError('STORE_LOCKED', `partition ${partition} of the topic ${topic} was taken by another process of the room`);
    this.#next += values.length;
    this.#sender = { ...sender, sequence: laterSequence(sender.sequence, values.length) };
    return first;
  }

  #end(error: WmbError): void {
    this.#over ??= error;
    for (const { reject } of this.#waiting.splice(0)) reject(this.#over);
  }

  async *#records(first: number, end: number): AsyncGenerator<JournalRecord> {
    let time = -1;
    for await (const { offset, value } of this.#found(first, end)) {
      const [format, kind] = value;
      if (format !== FORMAT || value.length < HEADER_BYTES) throw this.#foreign(offset);
      if (kind === TAKEN) time = offset;
      else if (time < 0) throw this.#gap(offset);
      else if (Number(value.readBigInt64BE(2)) === time) yield { at: offset, value: value.subarray(HEADER_BYTES) };
    }
  }

  async *#found(first: number, end: number): AsyncGenerator<FoundRecord> {
    const { cluster, topic, partition } = this.#options;
    for (let from = first; from < end; ) {
      const place = { partition, from, bytesMax: FETCH_BYTES_MAX };
      const answer = await tryAgain(this.#calling('be read', CALL_MS_MAX), async () => {
        const found = await fetchOnce(cluster, topic, place);
        // They were acked: who leads the partition since a moment ago does not know yet how much of it was.
        if (found.end <= from) throw protocolError(LEADER_NOT_AVAILABLE);
        return found;
      });
      const before = from;
      for (const record of recordsFrom(answer, from, topic)) {
        if (record.offset >= end) return;
        yield record;
        from = record.offset + 1;
      }
      if (from === before) throw this.#gap(from);
    }
  }

  #gap(offset: number): WmbError {
    const { topic, partition } = this.#options;
    return new WmbError(
      'LOG_GAP',
      `partition ${partition} of the topic ${topic} lacks records before or at ${offset} that nobody of WMB has removed`,
    );
  }

  #foreign(offset: number): WmbError {
    const { topic, partition } = this.#options;
    return new WmbError(
      'LOG_FOREIGN',
      `the topic ${topic} holds what is no record of format ${FORMAT} (partition ${partition}, offset ${offset}); a newer WMB may have written it, or another program`,
    );
  }

  #calling(what: string, msMax: number): Calling {
    const { cluster, runtime, topic, partition } = this.#options;
    return { cluster, runtime, doing: `partition ${partition} of the topic ${topic} cannot ${what}`, msMax };
  }
}

/** At least one record, however large it is. */
function takeBatch(waiting: Waiting[]): readonly Waiting[] {
  let bytes = 0;
  let taken = 0;
  for (const { value } of waiting) {
    bytes += value.length;
    if (taken > 0 && bytes > BATCH_BYTES_MAX) break;
    taken += 1;
  }
  return waiting.splice(0, taken);
}

function framed(kind: number, time: number, value: Uint8Array): Buffer {
  const header = Buffer.alloc(HEADER_BYTES);
  header[0] = FORMAT;
  header[1] = kind;
  header.writeBigInt64BE(BigInt(time), 2);
  return Buffer.concat([header, value]);
}
