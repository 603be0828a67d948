/**
 * What must be known of a log beside its frames, in a small topic of its own.
 *
 * Partition 0 holds its state: which epoch counts, the greatest promised stamp, and of every partition how far it was and what retention has removed. Each record says all that
 * its writer knew, so that the newest one of every writer together are the state: what several say of the same is the greatest of them. So records may come in any order and
 * more than once, and those before are removed now and then.
 *
 * Partition 1 holds leases of writers. The offset of a lease's record is its number: it is unique for as long as the topic is there, and nobody has to agree with anybody.
 */
import { WmbError } from '../../core/errors.ts';
import type { Runtime } from '../../core/runtime.ts';
import type { Stamp } from '../../core/stamp.ts';
import type { LogEpoch, LogName, RoomId, Seq } from '../../core/words.ts';
import type { KafkaCluster } from '../../kafka/cluster.ts';
import { appendRecord, type Calling, readRecords, tryAgain } from './calls.ts';
import { registryTopic } from './topics.ts';

const FORMAT = 1;
const STATE = 0;
const LEASES = 1;
/** A stamp has 24 bits for the lease (core/stamp.ts). */
const LEASE_MAX = 2 ** 24 - 1;
const CALL_MS_MAX = 5_000;
/** Older records of the state are removed when there are so many. */
const RECORDS_MAX = 256;

export interface LogState {
  readonly room: RoomId;
  readonly log: LogName;
  readonly partitions: number;
  readonly epoch: LogEpoch;
  /** Counts the epochs: the greatest counts. */
  readonly generation: number;
  readonly promised: Stamp;
  /** The greatest in the log. */
  readonly stampLast: Stamp;
  /** By partition: a seq below which every frame was acked. */
  readonly next: readonly Seq[];
  /** By partition: the first seq that retention has left, and the number of write requests before it. */
  readonly first: readonly { readonly seq: Seq; readonly writes: number }[];
}

export interface RegistryOptions {
  readonly cluster: KafkaCluster;
  readonly room: RoomId;
  readonly log: LogName;
  readonly runtime: Runtime;
}

export class Registry {
  readonly topic: string;
  readonly #options: RegistryOptions;
  #state: LogState | undefined;
  /** Records of the state before it are part of `#state`. */
  #readTo = 0;
  #records = 0;
  #saving: Promise<unknown> = Promise.resolve();

  constructor(options: RegistryOptions) {
    this.#options = options;
    this.topic = registryTopic(options.room, options.log);
  }

  /** Whether the topic is there. */
  async exists(): Promise<boolean> {
    const { cluster } = this.#options;
    await tryAgain(this.#calling('be looked for'), () => cluster.watch(this.topic));
    return cluster.partitions(this.topic) !== undefined;
  }

  /** The state as everybody's records together say it; undefined where there is none yet. The topic is there. */
  async load(): Promise<LogState | undefined> {
    const records = await readRecords(this.#calling('be read'), this.topic, STATE, this.#readTo);
    for (const { offset, value } of records) {
      this.#state = merged(this.#state, this.#parse(value));
      this.#readTo = offset + 1;
      this.#records += 1;
    }
    return this.#state;
  }

  /** Adds to the state, durably. What is already greater there stays. Rejects with LOG_GAP where another epoch counts by now. */
  save(news: Pick<LogState, 'epoch'> & Partial<LogState>): Promise<LogState> {
    const saving = this.#saving.then(() => this.#save(news));
    this.#saving = saving.catch(() => {});
    return saving;
  }

  /** Makes the first state, or that of a further epoch. Whoever comes second in a race gets the other's. */
  async make(state: LogState): Promise<LogState> {
    await this.#append(STATE, state);
    return (await this.load()) ?? state;
  }

  /** A number that nobody else gets. */
  async lease(holder: string): Promise<number> {
    const offset = await this.#append(LEASES, { holder, takenMs: Math.floor(this.#options.runtime.nowMs()) });
    if (offset < LEASE_MAX) return offset + 1;
    throw new WmbError(
      'LOG_UNAVAILABLE',
      `all ${LEASE_MAX} writer leases of this log have been given; give the room a new room number and log`,
    );
  }

  async #save(news: Pick<LogState, 'epoch'> & Partial<LogState>): Promise<LogState> {
    const known = await this.load();
    const includedTo = this.#readTo;
    if (known === undefined) throw new WmbError('LOG_GAP', `the topic ${this.topic} was emptied or made anew; restart this daemon`);
    if (known.epoch !== news.epoch) throw otherEpoch(this.topic, known.epoch);
    const state = merged(known, { ...known, ...news });
    await this.#append(STATE, state);
    if (this.#records > RECORDS_MAX) await this.#prune(includedTo);
    return state;
  }

  /** What another writer has added since stays: it is at `before` or later. */
  async #prune(before: number): Promise<void> {
    const { cluster } = this.#options;
    await tryAgain(this.#calling('be pruned'), () => cluster.deleteBefore(this.topic, new Map([[STATE, before]])));
    this.#records = 0;
  }

  #append(partition: number, value: object): Promise<number> {
    return appendRecord(this.#calling('be written'), this.topic, partition, Buffer.from(JSON.stringify({ format: FORMAT, ...value })));
  }

  #calling(what: string): Calling {
    const { cluster, runtime } = this.#options;
    return { cluster, runtime, doing: `the topic ${this.topic} cannot ${what}`, msMax: CALL_MS_MAX };
  }

  #parse(value: Buffer): LogState {
    let parsed: (LogState & { readonly format: number }) | undefined;
    try {
      parsed = JSON.parse(value.toString('utf8'));
    } catch {
      // Told below.
    }
    if (parsed?.format === FORMAT) return parsed;
    throw new WmbError(
      'LOG_FOREIGN',
      `the topic ${this.topic} holds what is no state of a log of format ${FORMAT}; a newer WMB may have written it, or another program`,
    );
  }
}

export function otherEpoch(topic: string, epoch: LogEpoch): WmbError {
  return new WmbError('LOG_GAP', `the log of the topic ${topic} was made anew as epoch ${epoch}; restart this daemon to go on with it`);
}

/** Of two epochs the later counts; of two that were made at once, the first one in the topic. */
function merged(known: LogState | undefined, other: LogState): LogState {
  if (known === undefined) return other;
  const promised = greater(other.promised, known.promised);
  const stampLast = greater(other.stampLast, known.stampLast);
  if (other.generation > known.generation) return { ...other, promised, stampLast };
  if (other.epoch !== known.epoch) return { ...known, promised, stampLast };
  const next = known.next.map((seq, partition) => Math.max(seq, other.next[partition] ?? 0));
  const first = known.first.map((end, partition) => {
    const theirs = other.first[partition];
    return theirs !== undefined && theirs.seq > end.seq ? theirs : end;
  });
  return { ...known, promised, stampLast, next, first };
}

function greater(a: Stamp, b: Stamp): Stamp {
  return a > b ? a : b;
}
