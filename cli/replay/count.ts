/** How far a replay is. */
import type { Runtime } from '../../core/runtime.ts';
import type { WriteResult } from '../../proto/gen/wmb/v1/writes.ts';
import { formatDuration } from '../table.ts';
import type { ReadWrite } from './reader.ts';

export interface Refusal {
  readonly line: number;
  readonly requestId: string;
  readonly code: string;
  readonly message: string;
}

/** What `wmb replay --json` prints. */
export interface ReplaySummary {
  /** Ended by Ctrl-C before the end of the file. */
  readonly stopped: boolean;
  /** The last line that was read. */
  readonly line: number;
  readonly read: number;
  /** Durable in a room's write log. */
  readonly taken: number;
  /** Of these, those that were not applied where `--wait` wanted before the deadline. */
  readonly timeouts: number;
  readonly refused: number;
  /** Submissions that had to be repeated. */
  readonly retried: number;
  readonly durationMs: number;
  readonly writesPerSecond: number;
  /** The first refusals. */
  readonly refusals: readonly Refusal[];
}

const REFUSALS_MAX = 20;

export class ReplayCount {
  readonly #runtime: Runtime;
  readonly #startedMs: number;
  readonly #refusals: Refusal[] = [];
  #line = 0;
  #read = 0;
  #taken = 0;
  #timeouts = 0;
  #refused = 0;
  #retried = 0;

  constructor(runtime: Runtime) {
    this.#runtime = runtime;
    this.#startedMs = runtime.monotonicMs();
  }

  get read(): number {
    return this.#read;
  }

  onRead(lineNumber: number): void {
    this.#line = lineNumber;
    this.#read += 1;
  }

  onResult({ lineNumber, write }: ReadWrite, { stamp, error }: WriteResult): void {
    if (stamp !== '') {
      this.#taken += 1;
      if (error !== undefined) this.#timeouts += 1;
      return;
    }
    this.#refused += 1;
    if (this.#refusals.length >= REFUSALS_MAX) return;
    this.#refusals.push({ line: lineNumber, requestId: write.requestId, code: error?.code ?? 'INTERNAL', message: error?.message ?? '' });
  }

  onRetry(writes: number): void {
    this.#retried += writes;
  }

  summary(stopped: boolean): ReplaySummary {
    const durationMs = Math.round(this.#elapsedMs());
    return {
      stopped,
      line: this.#line,
      read: this.#read,
      taken: this.#taken,
      timeouts: this.#timeouts,
      refused: this.#refused,
      retried: this.#retried,
      durationMs,
      writesPerSecond: Math.round((this.#taken * 1_000) / Math.max(1, durationMs)),
      refusals: this.#refusals,
    };
  }

  progress(): string {
    const perSecond = Math.round((this.#taken * 1_000) / Math.max(1, this.#elapsedMs()));
    return `${this.#taken} taken, ${perSecond}/s, line ${this.#line}${this.#refused > 0 ? `, ${this.#refused} refused` : ''}`;
  }

  text(): string {
    const { taken, refused, retried, timeouts, durationMs, writesPerSecond, refusals } = this.summary(false);
    const more = [
      refused > 0 ? `${refused} refused` : '',
      timeouts > 0 ? `${timeouts} not awaited in time` : '',
      retried > 0 ? `${retried} submitted again` : '',
    ];
    const head = [
      `${taken} write requests taken in ${formatDuration(durationMs)} (${writesPerSecond}/s)`,
      ...more.filter((part) => part !== ''),
    ].join(', ');
    return [head, ...refusals.map(({ line, code, message }) => `  line ${line}: ${code}: ${message}`)].join('\n');
  }

  #elapsedMs(): number {
    return this.#runtime.monotonicMs() - this.#startedMs;
  }
}
