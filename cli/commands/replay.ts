/** `wmb replay`: a file of write requests into one room or several. */
import { type Command, Option } from 'commander';
import { ERRORS, type ErrorCode, EXIT, WmbError } from '../../core/errors.ts';
import { sleep } from '../../core/runtime.ts';
import type { RoomId } from '../../core/words.ts';
import { Clients } from '../clients.ts';
import { type ConfigOptions, type Context, configOf, configOption, type JsonOptions, jsonOption, roomOf, wholeNumber } from '../context.ts';
import { ReplayCount, type ReplaySummary } from '../replay/count.ts';
import { loadReader, ndjsonReader, type ReaderModule, type ReadWrite, readWrites } from '../replay/reader.ts';
import { Sender } from '../replay/sender.ts';
import { newRequestId, WAITS, waitOf } from '../wire-write.ts';

interface ReplayOptions extends ConfigOptions, JsonOptions {
  readonly reader?: string;
  readonly rate?: number;
  readonly wait: string;
  readonly deadlineMs?: number;
  readonly room?: string;
}

const EXAMPLES = `
A reader module exports read(line, lineNumber), which returns a write request or undefined, and may export roomOf(write, rooms).
Ctrl-C stops after what is on its way and says how far it came; replaying the same file again with the same request ids has no second effect.

Examples:
  wmb replay examples/messages/sample.ndjson
  wmb replay examples/messages/CollegeMsg.txt --reader examples/messages/reader.ts --rate 5000
  generate-writes | wmb replay - --room guangzhou`;

/** After Ctrl-C, what is on its way gets this long. */
const GOODBYE_MS = 5_000;
const PROGRESS_MS = 500;

export function addReplayCommand(program: Command, context: Context): void {
  program
    .command('replay')
    .description('submit a file of write requests, one JSON object a line, or whatever a reader module reads')
    .argument('<file>', 'the file, or - for stdin')
    .option('--reader <module>', 'module that turns a line into a write request')
    .option('--rate <n>', 'at most this many write requests a second', wholeNumber('--rate', 1))
    .addOption(new Option('--wait <for>', 'what each batch waits for').choices(WAITS).default('logged'))
    .option('--deadline-ms <n>', 'how long to wait beyond logged (default: the room’s)', wholeNumber('--deadline-ms', 1))
    .option('--room <room>', 'the room to submit in (default: what the reader says, or this one)')
    .addOption(configOption())
    .addOption(jsonOption())
    .addHelpText('after', EXAMPLES)
    .action((file: string, options: ReplayOptions) => replay(context, file, options));
}

async function replay(context: Context, file: string, options: ReplayOptions): Promise<void> {
  const config = configOf(options);
  const home = roomOf(config, options.room);
  const reader = options.reader === undefined ? ndjsonReader : await loadReader(options.reader);
  const count = new ReplayCount(context.runtime);
  const ending = context.interrupted();
  await Clients.with(config, context.runtime, async (clients) => {
    const run = new Replay({
      context,
      clients,
      options,
      home,
      reader: options.room === undefined ? reader : { read: reader.read.bind(reader) },
      count,
      ending,
    });
    const progress = showProgress(context, count, run.done);
    try {
      await run.submitAll(file);
    } catch (error) {
      if (count.read > 0) context.note(count.text());
      throw error;
    } finally {
      run.stop();
      await progress;
    }
  });
  finish(context, { summary: count.summary(ending.aborted), text: count.text(), json: options.json === true });
}

interface ReplayParts {
  readonly context: Context;
  readonly clients: Clients;
  readonly options: ReplayOptions;
  readonly home: RoomId;
  readonly reader: ReaderModule;
  readonly count: ReplayCount;
  readonly ending: AbortSignal;
}

class Replay {
  readonly #parts: ReplayParts;
  readonly #senders = new Map<RoomId, Sender>();
  readonly #done = new AbortController();

  constructor(parts: ReplayParts) {
    this.#parts = parts;
  }

  get done(): AbortSignal {
    return this.#done.signal;
  }

  stop(): void {
    this.#done.abort();
  }

  async submitAll(file: string): Promise<void> {
    const { clients, context, count, ending, home, options, reader } = this.#parts;
    const rooms = clients.config.topology.rooms.map((room) => room.id);
    const startedMs = context.runtime.monotonicMs();
    try {
      for await (const item of readWrites(file, reader, rooms)) {
        if (ending.aborted) break;
        if (options.rate !== undefined) await this.#keepRate(startedMs, options.rate);
        count.onRead(item.lineNumber);
        await this.#sender(item.room ?? home).add(withId(context, item));
      }
    } finally {
      // A line that cannot be read ends the replay; what was read before it is submitted all the same.
      await this.#finish();
    }
  }

  async #finish(): Promise<void> {
    const { context, ending } = this.#parts;
    const limit = new AbortController();
    const goodbye = () => context.runtime.after(GOODBYE_MS, () => limit.abort(), true);
    if (ending.aborted) goodbye();
    else ending.addEventListener('abort', goodbye, { once: true });
    await Promise.all([...this.#senders.values()].map((sender) => sender.finish(limit.signal)));
  }

  /** Waits until the next write request is due; what was gathered goes out meanwhile. */
  async #keepRate(startedMs: number, rate: number): Promise<void> {
    const { context, count, ending } = this.#parts;
    const earlyMs = startedMs + (count.read * 1_000) / rate - context.runtime.monotonicMs();
    if (earlyMs < 5) return;
    for (const sender of this.#senders.values()) await sender.flush();
    await sleep(context.runtime, earlyMs, ending);
  }

  #sender(room: RoomId): Sender {
    const known = this.#senders.get(room);
    if (known !== undefined) return known;
    const { clients, context, count, options } = this.#parts;
    const sender = new Sender({
      clients,
      room,
      runtime: context.runtime,
      wait: waitOf(options.wait),
      deadlineMs: options.deadlineMs ?? 0,
      onResult: (item, result) => count.onResult(item, result),
      onRetry: (writes) => count.onRetry(writes),
    });
    this.#senders.set(room, sender);
    return sender;
  }
}

function withId({ runtime }: Context, item: ReadWrite): ReadWrite {
  return item.write.requestId === '' ? { ...item, write: { ...item.write, requestId: newRequestId(runtime) } } : item;
}

/** One line at the terminal, written over and over; nothing elsewhere. */
async function showProgress(context: Context, count: ReplayCount, done: AbortSignal): Promise<void> {
  if (!context.stderrIsTTY) return;
  while (!done.aborted) {
    await sleep(context.runtime, PROGRESS_MS, done);
    process.stderr.write(`\r\x1b[K${count.progress()}`);
  }
  process.stderr.write('\r\x1b[K');
}

interface Finish {
  readonly summary: ReplaySummary;
  readonly text: string;
  readonly json: boolean;
}

function finish(context: Context, { summary, text, json }: Finish): void {
  context.print(json ? JSON.stringify(summary) : text);
  if (summary.stopped) {
    if (!json) context.note(`stopped after line ${summary.line}`);
    // As a shell reports a command that Ctrl-C ended.
    process.exitCode = 130;
    return;
  }
  const first = summary.refusals[0];
  if (first === undefined) {
    process.exitCode = summary.timeouts > 0 ? EXIT.unavailable : EXIT.ok;
    return;
  }
  const code = Object.hasOwn(ERRORS, first.code) ? (first.code as ErrorCode) : 'INTERNAL';
  throw new WmbError(code, `${summary.refused} write requests were refused, the first in line ${first.line}: ${first.message}`);
}
