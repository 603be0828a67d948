/** All commands, and how a command ends: its result on stdout, a failure as one clear line on stderr and as exit code. */
import { readFileSync } from 'node:fs';
import { constants } from 'node:os';
import { Command, CommanderError } from 'commander';
import { asWmbError, ERRORS, EXIT, WmbError } from '../core/errors.ts';
import { systemRuntime } from '../core/runtime.ts';
import { errorLine } from '../daemon/error-line.ts';
import { addCacheCommands } from './commands/cache.ts';
import { addCompareCommand } from './commands/compare.ts';
import { addConfigCommands } from './commands/config.ts';
import { addDaemonCommands } from './commands/daemons.ts';
import { addDbCommands } from './commands/db.ts';
import { addDriftCommands } from './commands/drift.ts';
import { addErrorsCommand } from './commands/errors.ts';
import { addGetCommand } from './commands/get.ts';
import { addLinkCommands } from './commands/link.ts';
import { addLogCommands } from './commands/log.ts';
import { addParkedCommands } from './commands/parked.ts';
import { addRepairCommand } from './commands/repair.ts';
import { addReplayCommand } from './commands/replay.ts';
import { addStatusCommand } from './commands/status.ts';
import { addSubmitCommand } from './commands/submit.ts';
import { addTopologyCommands } from './commands/topology.ts';
import { addTraceCommand } from './commands/trace.ts';
import { addUpCommand } from './commands/up.ts';
import { COLUMNS_PAGE, type Context } from './context.ts';
import { printable } from './table.ts';

/** Exit codes as --help and docs/cli.md tell them. */
export const EXIT_MEANINGS: Readonly<Record<keyof typeof EXIT, string>> = {
  ok: 'done',
  internal: 'a defect of WMB',
  usage: 'the command line is wrong',
  config: 'a configuration file is wrong',
  unavailable: 'a daemon or peer cannot be reached, or a deadline passed',
  refused: 'the other side understood and refused',
  environment: 'a disk, directory or port of this machine stands in the way',
  difference: 'a comparison found a difference, or a check failed',
};

export function buildProgram(context: Context): Command {
  const program = new Command('wmb')
    .description('Keeps the caches and databases of several datacenters (rooms) telling the same story.')
    .version(packageVersion(), '-V, --version', 'print the version')
    .helpCommand(false)
    .showSuggestionAfterError()
    .exitOverride()
    .configureHelp({ sortSubcommands: false })
    .configureOutput({ outputError: () => {} })
    .addHelpText('after', exitCodeHelp());
  addUpCommand(program, context);
  addDaemonCommands(program);
  addSubmitCommand(program, context);
  addReplayCommand(program, context);
  addStatusCommand(program, context);
  addGetCommand(program, context);
  addDriftCommands(program, context);
  addRepairCommand(program, context);
  addCompareCommand(program, context);
  addTraceCommand(program, context);
  addParkedCommands(program, context);
  addLinkCommands(program, context);
  addCacheCommands(program, context);
  addDbCommands(program, context);
  addLogCommands(program, context);
  addConfigCommands(program, context);
  addTopologyCommands(program, context);
  addErrorsCommand(program, context);
  return program;
}

function exitCodeHelp(): string {
  const lines = Object.entries(EXIT).map(([name, code]) => `  ${code}  ${EXIT_MEANINGS[name as keyof typeof EXIT]}`);
  return `\nExit codes:\n${lines.join('\n')}\n\nMore: wmb COMMAND --help; wmb errors CODE`;
}

/** Runs one command line. Ends the process where a result cannot wait for what is still open. */
export async function runCli(args: readonly string[]): Promise<void> {
  process.stdout.on('error', endOnBrokenPipe);
  process.stderr.on('error', endOnBrokenPipe);
  try {
    await buildProgram(processContext()).parseAsync(args, { from: 'user' });
  } catch (error) {
    process.exitCode = reportFailure(error, args.includes('--json'));
  }
}

/** Says what went wrong and returns the exit code. */
function reportFailure(cause: unknown, json: boolean): number {
  if (cause instanceof CommanderError && cause.exitCode === 0) return EXIT.ok;
  const error = cause instanceof CommanderError ? usageError(cause) : asWmbError(cause);
  const { code, message, retry } = error;
  if (json) process.stderr.write(`${JSON.stringify({ error: { code, message, retry, remedy: ERRORS[code].remedy } })}\n`);
  else if (message !== '') process.stderr.write(`wmb: ${errorLine(error).split('\n').map(printable).join('\n')}\n`);
  if (code === 'INTERNAL' && cause instanceof Error && !json) process.stderr.write(`${cause.stack}\n`);
  return ERRORS[code].exit;
}

/** A missing command has been answered by the help itself. */
function usageError(error: CommanderError): WmbError {
  if (error.code === 'commander.help') return new WmbError('USAGE', '');
  return new WmbError('USAGE', error.message.replace(/^error: /, '').replace(/\s*\n\s*/g, ' '));
}

function endOnBrokenPipe(error: NodeJS.ErrnoException): void {
  if (error.code === 'EPIPE') process.exit(EXIT.ok);
  throw error;
}

function processContext(): Context {
  return {
    runtime: systemRuntime,
    print: (text) => process.stdout.write(`${text}\n`),
    note: (text) => process.stderr.write(`${text}\n`),
    stdoutIsTTY: process.stdout.isTTY === true,
    columns: process.stdout.isTTY ? process.stdout.columns || COLUMNS_PAGE : Number.POSITIVE_INFINITY,
    stderrIsTTY: process.stderr.isTTY === true,
    interrupted() {
      const ending = new AbortController();
      for (const signal of ['SIGINT', 'SIGTERM'] as const) {
        process.on(signal, () => {
          if (ending.signal.aborted) process.exit(128 + constants.signals[signal]);
          ending.abort();
        });
      }
      return ending.signal;
    },
  };
}

/** package.json lies one folder up from the sources, and two from dist/cli. */
function packageVersion(): string {
  for (const path of ['../package.json', '../../package.json']) {
    try {
      return (JSON.parse(readFileSync(new URL(path, import.meta.url), 'utf8')) as { version: string }).version;
    } catch {
      // the other place, then
    }
  }
  throw new WmbError('INTERNAL', 'package.json is missing');
}
