/**
 * One way to live for every daemon: start the services in order, run until SIGTERM or Ctrl-C, drain in reverse order within the
 * limit, stop in reverse order, exit. A second signal exits at once: nothing acked depends on a clean end, because work resumes at
 * the marks.
 *
 * Exit codes: 0 after a clean end; the code of the error table when a start fails for a reason that the user can mend, or a service cannot go on (one line on
 * stderr, no stack); 1 for anything unexpected (logged with its stack); 128 + signal when a second signal cut the end short.
 */
import { constants } from 'node:os';
import { asWmbError, ERRORS, WmbError } from '../core/errors.ts';
import type { Logger } from '../core/logger.ts';
import { type Runtime, sleepAwake } from '../core/runtime.ts';
import { errorLine } from './error-line.ts';
import type { Readiness } from './readiness.ts';
import type { Service } from './service.ts';

export interface DaemonOptions {
  readonly name: string;
  /** Started in this order, drained and stopped in the reverse order. */
  readonly services: readonly Service[];
  readonly readiness: Readiness;
  readonly runtime: Runtime;
  readonly logger: Logger;
  /** All drains together may take this long. */
  readonly drainMsMax: number;
}

/** A service that does not let go within this time is left behind. */
const STOP_MS_MAX = 5_000;

/** Runs the daemon and ends the process. Never returns before that. */
export async function runDaemon(options: DaemonOptions): Promise<never> {
  const { logger, readiness, services } = options;
  const ending = listenForEnd(logger);
  process.on('uncaughtException', (error) => dieOf(error, logger));
  process.on('unhandledRejection', (error) => dieOf(error, logger));
  readiness.watch(services);
  const started = await startAll(options, ending);
  if (started.error !== undefined) {
    await stopAll(started.touched, options);
    return exitForStart(started.error, options);
  }
  readiness.enter('running');
  if (!ending.aborted) logger.info({}, 'ready');
  const failure = await Promise.race([aborted(ending), ...services.flatMap(({ failed }) => failed ?? [])]);
  readiness.enter('draining');
  if (failure !== undefined) {
    await stopAll(started.touched, options);
    return exitForStart(failure, options);
  }
  await drainAll(started.touched, options);
  const clean = await stopAll(started.touched, options);
  logger.info({}, 'stopped');
  return process.exit(clean ? 0 : 1);
}

interface Started {
  /** Services whose start was called. */
  readonly touched: readonly Service[];
  readonly error: unknown;
}

async function startAll({ services, logger }: DaemonOptions, ending: AbortSignal): Promise<Started> {
  const touched: Service[] = [];
  for (const service of services) {
    if (ending.aborted) break;
    touched.push(service);
    try {
      await service.start();
      logger.debug({ service: service.name }, 'service started');
    } catch (error) {
      return { touched, error };
    }
  }
  return { touched, error: undefined };
}

async function drainAll(services: readonly Service[], { runtime, logger, drainMsMax }: DaemonOptions): Promise<void> {
  const [limit, done] = [new AbortController(), new AbortController()];
  void sleepAwake(runtime, drainMsMax, done.signal).then(() => done.signal.aborted || limit.abort());
  for (const service of [...services].reverse()) {
    if (service.drain === undefined || limit.signal.aborted) continue;
    const failure = service.drain().then(
      () => undefined,
      (error: unknown) => logger.error({ service: service.name, err: error }, 'drain failed'),
    );
    await Promise.race([failure, aborted(limit.signal)]);
    if (limit.signal.aborted)
      logger.warn({ service: service.name, drainMsMax }, 'drain limit reached; stopping with work left, which resumes at the marks');
  }
  done.abort();
}

async function stopAll(services: readonly Service[], { runtime, logger }: DaemonOptions): Promise<boolean> {
  let clean = true;
  for (const service of [...services].reverse()) {
    try {
      const left = sleepAwake(runtime, STOP_MS_MAX).then(() => {
        throw new WmbError('INTERNAL', `service ${service.name} did not stop within ${STOP_MS_MAX} ms`);
      });
      await Promise.race([service.stop(), left]);
    } catch (error) {
      clean = false;
      logger.error({ service: service.name, err: error }, 'stop failed');
    }
  }
  return clean;
}

/** Ends the process for what kept it from starting, or going on: one line for what the user can mend, the stack in the log for anything else. */
export function exitForStart(cause: unknown, { name, logger }: Pick<DaemonOptions, 'name' | 'logger'>): never {
  const error = asWmbError(cause);
  if (error.code === 'INTERNAL') return dieOf(cause, logger);
  process.stderr.write(`wmb ${name}: ${errorLine(error)}\n`);
  return process.exit(ERRORS[error.code].exit);
}

function dieOf(error: unknown, logger: Logger): never {
  logger.error({ err: error }, 'unexpected error; exiting');
  return process.exit(ERRORS.INTERNAL.exit);
}

/** Aborts on the first SIGTERM or Ctrl-C, or when the parent that spawned this process with a channel is gone; exits on a second signal. */
function listenForEnd(logger: Logger): AbortSignal {
  const ending = new AbortController();
  const end = (cause: string) => {
    if (!ending.signal.aborted) logger.info({ cause }, 'stopping');
    ending.abort();
  };
  for (const signal of ['SIGTERM', 'SIGINT'] as const) {
    process.on(signal, () => {
      if (ending.signal.aborted) process.exit(128 + constants.signals[signal]);
      end(signal);
    });
  }
  process.once('disconnect', () => end('parent is gone'));
  // It may have gone before anybody listened: while the modules were loaded or the log was opened.
  if (process.connected === false) end('parent is gone');
  return ending.signal;
}

function aborted(signal: AbortSignal): Promise<undefined> {
  return new Promise((resolve) => {
    if (signal.aborted) return resolve(undefined);
    signal.addEventListener('abort', () => resolve(undefined), { once: true });
  });
}
