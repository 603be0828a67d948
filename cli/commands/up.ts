/** `wmb up`: all daemons of a room, each in a process of its own, kept running until Ctrl-C. */
import { fileURLToPath } from 'node:url';
import type { Command } from 'commander';
import type { Config } from '../../core/config/types.ts';
import { roomEntry } from '../../core/topology.ts';
import { type ConfigOptions, type Context, configFileOf, configOf, configOption } from '../context.ts';
import { Supervisor } from '../supervisor.ts';

export function addUpCommand(program: Command, context: Context): void {
  program
    .command('up')
    .description('run all daemons of this room; a daemon that crashes is started again')
    .addOption(configOption())
    .addHelpText('after', '\nExamples:\n  wmb up --config examples/two-rooms/beijing.yaml\n  WMB_CONFIG=beijing.yaml wmb up')
    .action(async (options: ConfigOptions) => {
      const file = configFileOf(options);
      // Before anything is started: one report of a wrong configuration, not one per daemon.
      const daemons = daemonsOf(configOf(options));
      const supervisor = new Supervisor({
        commands: daemons.map((name) => ({ name, args: [mainFile(), name, '--config', file] })),
        runtime: context.runtime,
        readable: context.stderrIsTTY,
        write: (text) => context.note(text),
      });
      process.exitCode = await supervisor.run();
    });
}

/** A room without a checker in the topology has two. */
export function daemonsOf({ topology, room }: Config): readonly string[] {
  const hasChecker = roomEntry(topology, room.id)?.checker !== undefined;
  return ['reship', 'collector', ...(hasChecker ? ['checker'] : [])];
}

/** cli/main.ts in the sources, dist/cli/main.js in the package. */
function mainFile(): string {
  const extension = import.meta.url.endsWith('.ts') ? 'ts' : 'js';
  return fileURLToPath(new URL(`../main.${extension}`, import.meta.url));
}
