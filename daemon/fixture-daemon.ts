/** A daemon for tests, told by its arguments how to behave: `node fixture-daemon.ts '{"fail":"…"}'`. It writes one line per step to stdout. */
import { type ErrorCode, WmbError } from '../core/errors.ts';
import { sleep, systemRuntime } from '../core/runtime.ts';
import { runDaemon } from './daemon.ts';
import { createLogger } from './logger.ts';
import { Readiness } from './readiness.ts';
import type { Service } from './service.ts';

interface Behaviour {
  /** The second service's start rejects with a WmbError of this code. */
  readonly failCode?: ErrorCode;
  /** The second service's start throws something unexpected. */
  readonly crash?: boolean;
  /** After the start the second service cannot go on, for this reason. */
  readonly endCode?: ErrorCode;
  /** After the start a promise is rejected and nobody catches it. */
  readonly reject?: boolean;
  /** Passes before the daemon begins, as loading its modules and opening its log do. */
  readonly beginMs?: number;
  readonly drainMs?: number;
  readonly drainMsMax?: number;
}

const behaviour = JSON.parse(process.argv[2] ?? '{}') as Behaviour;

function step(text: string): void {
  process.stdout.write(`${text}\n`);
}

function service(name: string, start: () => void): Service {
  return {
    name,
    async start() {
      step(`start ${name}`);
      start();
    },
    async drain() {
      await sleep(systemRuntime, behaviour.drainMs ?? 0);
      step(`drain ${name}`);
    },
    async stop() {
      step(`stop ${name}`);
    },
  };
}

function startSecond(): void {
  if (behaviour.failCode !== undefined) throw new WmbError(behaviour.failCode, 'grpc: the address 127.0.0.1:1 is used by another program');
  if (behaviour.crash) throw new TypeError('undefined is not a function');
}

function startThird(): void {
  if (behaviour.reject) void Promise.reject(new Error('nobody catches this'));
  systemRuntime.after(600_000, () => step('too late'));
  systemRuntime.after(0, () => step('running'));
}

function cannotGoOn(): Pick<Service, 'failed'> {
  const { endCode } = behaviour;
  return endCode === undefined ? {} : { failed: Promise.resolve(new WmbError(endCode, 'the others have given this one up')) };
}

await sleep(systemRuntime, behaviour.beginMs ?? 0);
await runDaemon({
  name: 'fixture',
  services: [service('one', () => {}), { ...service('two', startSecond), ...cannotGoOn() }, service('three', startThird)],
  readiness: new Readiness(),
  runtime: systemRuntime,
  logger: createLogger({ name: 'fixture', level: 'info' }),
  drainMsMax: behaviour.drainMsMax ?? 5_000,
});
