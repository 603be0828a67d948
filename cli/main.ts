#!/usr/bin/env -S node --disable-warning=ExperimentalWarning --v8-pool-size=0
/**
 * `wmb`: one command for people. What it can do is put together in program.ts.
 *
 * --v8-pool-size=0 is as many helper threads of V8 as the machine has cores for; the default is four in every process (docs/adr/0008).
 */

const NODE_MAJOR_MIN = 24;
const major = Number(process.versions.node.split('.')[0]);
if (major < NODE_MAJOR_MIN) {
  process.stderr.write(`wmb: Node ${NODE_MAJOR_MIN} or newer is needed; this is ${process.version} (${process.execPath})\n`);
  process.exit(6);
}
// Only now: what older versions of Node do not have is imported from there on.
const { runCli } = await import('./program.ts');
await runCli(process.argv.slice(2));
