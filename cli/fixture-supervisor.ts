/** For tests: supervises children that behave as the arguments say, each a script for `node -e`. */
import { systemRuntime } from '../core/runtime.ts';
import { Supervisor } from './supervisor.ts';

const scripts = process.argv.slice(2);
/** A millisecond is a minute. */
const hasty = { ...systemRuntime, monotonicMs: () => systemRuntime.monotonicMs() * 60_000 };
const supervisor = new Supervisor({
  commands: scripts.map((script, index) => ({ name: `child${index}`, args: ['-e', script] })),
  runtime: process.env.HOURS_PASS === undefined ? systemRuntime : hasty,
  readable: true,
  write: (line) => process.stdout.write(`${line}\n`),
});
process.exitCode = await supervisor.run();
