/**
 * The owner's side of the worker thread. One commit is in flight at a time; what is appended meanwhile goes into the next one
 * together (group commit), so a slow disk makes commits larger, not more.
 */
import { extname } from 'node:path';
import { Worker } from 'node:worker_threads';
import { asWmbError, WmbError } from '../../core/errors.ts';
import type { Seq } from '../../core/words.ts';
import { answerGroup, takeGroup, type WaitingAppend } from '../groups.ts';
import type { FrameDraft } from '../log.ts';
import type { TrimRequest, TrimStep } from '../retention.ts';
import { type Answers, type Command, packDrafts, type Reply, type Request } from './commands.ts';

/** Appends that wait for their commit; beyond it they are refused. Intake's own limits are far below. */
const PENDING_BYTES_MAX = 256 * 1024 * 1024;
const PENDING_APPENDS_MAX = 65_536;

interface Call {
  readonly resolve: (reply: Reply) => void;
  readonly reject: (error: WmbError) => void;
}

export class LogWriter {
  readonly #file: string;
  readonly #committed: (drafts: readonly FrameDraft[], seqs: readonly Seq[]) => void;
  readonly #worker: Worker;
  readonly #calls = new Map<number, Call>();
  #nextCall = 0;
  #pending: WaitingAppend[] = [];
  #pendingBytes = 0;
  #committing: Promise<void> | undefined;
  /** Why no more is taken: closed, or the thread died. */
  #refusal: WmbError | undefined;
  #alive = true;

  /** `committed` is called after each commit, in the same turn in which its appends are answered and before their callers run on. */
  constructor(file: string, committed: (drafts: readonly FrameDraft[], seqs: readonly Seq[]) => void) {
    this.#file = file;
    this.#committed = committed;
    // The same extension as this file's: .ts from source, .js from dist/.
    this.#worker = new Worker(new URL(`./worker${extname(import.meta.url)}`, import.meta.url), { workerData: file });
    this.#worker.on('message', (message: Reply) => this.#answer(message));
    this.#worker.on('error', (cause) => this.#fail(new WmbError('LOG_UNAVAILABLE', `log ${file}: its writer thread died`, { cause })));
  }

  get refusal(): WmbError | undefined {
    return this.#refusal;
  }

  append(drafts: readonly FrameDraft[]): Promise<readonly Seq[]> {
    const bytes = drafts.reduce((sum, draft) => sum + draft.bytes.length, 0);
    return new Promise((resolve, reject) => {
      if (this.#refusal !== undefined) return reject(this.#refusal);
      if (this.#pendingBytes + bytes > PENDING_BYTES_MAX || this.#pending.length >= PENDING_APPENDS_MAX) {
        return reject(
          new WmbError('OVERLOADED', `log ${this.#file}: ${this.#pendingBytes} bytes wait for a commit; the disk does not keep up`),
        );
      }
      this.#pending.push({ drafts, bytes, resolve, reject });
      this.#pendingBytes += bytes;
      this.#committing ??= this.#commitPending();
    });
  }

  /** Asks the worker for anything but an append. */
  async call<T extends Exclude<Command['type'], 'append'>>(command: Extract<Command, { type: T }>): Promise<Answers[T]> {
    return (await this.#send(command, [])) as Answers[T];
  }

  /** Removes what may go, step by step; appends get their turn in between. */
  async trim(request: TrimRequest, removed: (step: TrimStep) => void): Promise<{ readonly frames: number; readonly bytes: number }> {
    let frames = 0;
    let bytes = 0;
    for (;;) {
      const step = await this.call({ type: 'trim', request });
      if (step === undefined) return { frames, bytes };
      frames += step.frames;
      bytes += step.bytes;
      removed(step);
    }
  }

  /** Lets what was appended commit, then ends the thread. */
  async close(): Promise<void> {
    this.#refusal ??= new WmbError('LOG_UNAVAILABLE', `log ${this.#file}: it is closed`);
    await this.#committing;
    if (this.#alive) await this.call({ type: 'close' });
    this.#alive = false;
    await this.#worker.terminate();
  }

  async #commitPending(): Promise<void> {
    // One turn later, so that appends made in the same turn share the first commit too.
    await undefined;
    while (this.#pending.length > 0) await this.#commit(takeGroup(this.#pending));
    this.#committing = undefined;
  }

  async #commit(group: readonly WaitingAppend[]): Promise<void> {
    const drafts = group.flatMap((append) => append.drafts);
    const packed = packDrafts(drafts);
    const outcome = await this.#send({ type: 'append', packed }, [packed.bytes.buffer]).catch((cause: unknown) => asWmbError(cause));
    for (const append of group) this.#pendingBytes -= append.bytes;
    if (outcome instanceof WmbError) {
      for (const append of group) append.reject(outcome);
      return;
    }
    const seqs = outcome as Answers['append'];
    answerGroup(group, seqs);
    this.#committed(drafts, seqs);
  }

  async #send(command: Command, transfer: readonly ArrayBuffer[]): Promise<Answers[Command['type']]> {
    if (!this.#alive) throw this.#refusal ?? new WmbError('LOG_UNAVAILABLE', `log ${this.#file}: it is closed`);
    const id = this.#nextCall;
    this.#nextCall += 1;
    const request: Request = { id, command };
    const reply = await new Promise<Reply>((resolve, reject) => {
      this.#calls.set(id, { resolve, reject });
      this.#worker.postMessage(request, transfer);
    });
    if ('failure' in reply) throw new WmbError(reply.failure.code, reply.failure.message);
    return reply.value;
  }

  #answer(reply: Reply): void {
    const call = this.#calls.get(reply.id);
    this.#calls.delete(reply.id);
    call?.resolve(reply);
  }

  #fail(error: WmbError): void {
    this.#refusal ??= error;
    this.#alive = false;
    for (const call of this.#calls.values()) call.reject(error);
    this.#calls.clear();
  }
}
