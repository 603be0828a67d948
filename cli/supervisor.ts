/**
 * Keeps a few child processes running. Each is in a process group of its own, so that a Ctrl-C at the terminal reaches only this
 * process, which passes it on once; and each has a channel to this process, by whose end it notices when this process is killed.
 *
 * - A child that crashes is started again after a backoff, which begins anew once it has run for a while.
 * - A child that ends for a reason that only the user can mend ends everything, with its exit code, unless it has run for a while before: one full disk, or one wrong edit of a file, is not to
 *   take a whole room away that works. It is started again until that is mended.
 * - A child that ends with 0 was told to by somebody else, and stays ended.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { constants } from 'node:os';
import { createInterface } from 'node:readline';
import { EXIT } from '../core/errors.ts';
import { backoffMs } from '../core/flow/backoff.ts';
import { type Runtime, sleep } from '../core/runtime.ts';
import { formatLogLine } from '../daemon/log-line.ts';

export interface ChildCommand {
  readonly name: string;
  /** Arguments of this same Node. */
  readonly args: readonly string[];
}

export interface SupervisorOptions {
  readonly commands: readonly ChildCommand[];
  readonly runtime: Runtime;
  /** Whether log lines are made readable and get the child's name in front; otherwise they pass as they are. */
  readonly readable: boolean;
  readonly write: (line: string) => void;
}

const RESTART = { msMin: 500, msMax: 10_000 };
/** A child that ran for this long has recovered. */
const STEADY_MS = 30_000;
/** What no restart can mend. */
const FINAL_CODES: readonly number[] = [EXIT.usage, EXIT.config, EXIT.refused, EXIT.environment];

export class Supervisor {
  readonly #options: SupervisorOptions;
  readonly #children = new Set<ChildProcess>();
  readonly #ending = new AbortController();
  #exitCode = 0;

  constructor(options: SupervisorOptions) {
    this.#options = options;
  }

  /** Runs until all children are gone for good; resolves with the exit code. */
  async run(): Promise<number> {
    for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => this.#onSignal(signal));
    await Promise.all(this.#options.commands.map((command) => this.#keep(command)));
    return this.#exitCode;
  }

  #onSignal(signal: 'SIGINT' | 'SIGTERM'): void {
    if (this.#ending.signal.aborted) {
      for (const child of this.#children) child.kill('SIGKILL');
      process.exit(128 + constants.signals[signal]);
    }
    this.#end();
  }

  #end(): void {
    this.#ending.abort();
    for (const child of this.#children) child.kill('SIGTERM');
  }

  async #keep(command: ChildCommand): Promise<void> {
    const { runtime } = this.#options;
    let hasWorked = false;
    for (let attempt = 0; !this.#ending.signal.aborted; attempt += 1) {
      const startedMs = runtime.monotonicMs();
      const end = await this.#runOnce(command);
      if (this.#ending.signal.aborted || end.code === 0) return;
      const wasSteady = runtime.monotonicMs() - startedMs > STEADY_MS;
      hasWorked ||= wasSteady;
      if (!hasWorked && end.code !== null && FINAL_CODES.includes(end.code)) {
        this.#exitCode = end.code;
        return this.#end();
      }
      if (wasSteady) attempt = 0;
      const delayMs = Math.round(backoffMs(attempt, RESTART, runtime.random()));
      this.#say(command, `${command.name} ended (${end.signal ?? `exit code ${end.code}`}); it is started again in ${delayMs} ms`);
      await sleep(runtime, delayMs, this.#ending.signal);
    }
  }

  async #runOnce(command: ChildCommand): Promise<{ code: number | null; signal: NodeJS.Signals | null }> {
    const child = spawn(process.execPath, [...process.execArgv, ...command.args], {
      stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
      detached: true,
    });
    this.#children.add(child);
    for (const stream of [child.stdout, child.stderr]) {
      if (stream !== null) createInterface({ input: stream }).on('line', (line) => this.#say(command, line));
    }
    const end = await new Promise<{ code: number | null; signal: NodeJS.Signals | null }>((resolve) => {
      child.once('close', (code, signal) => resolve({ code, signal }));
      child.once('error', () => resolve({ code: EXIT.internal, signal: null }));
    });
    this.#children.delete(child);
    return end;
  }

  /** Not every line is a log line: a daemon's last words are plain text. */
  #say({ name }: ChildCommand, line: string): void {
    const { readable, write } = this.#options;
    const width = Math.max(...this.#options.commands.map((command) => command.name.length));
    write(readable ? `${name.padEnd(width)} | ${formatLogLine(line)}` : line);
  }
}
