/** `wmb reship`, `wmb collector`, `wmb checker`: one daemon in this process. Each is imported only when it is asked for. */
import type { Command } from 'commander';
import { WmbError } from '../../core/errors.ts';
import { roomEntry } from '../../core/topology.ts';
import { type ConfigOptions, configOf, configOption } from '../context.ts';

export function addDaemonCommands(program: Command): void {
  program
    .command('reship')
    .description('run this room’s reship: takes write requests, keeps them durable, hands them to the peers')
    .addOption(configOption())
    .addHelpText('after', '\nExample:\n  wmb reship --config examples/two-rooms/beijing.yaml')
    .action(async (options: ConfigOptions) => {
      const config = configOf(options);
      const { runReship } = await import('../../reship/main.ts');
      await runReship(config);
    });
  program
    .command('collector')
    .description('run this room’s collector: takes frames from every room and applies them to this room’s stores')
    .addOption(configOption())
    .addHelpText('after', '\nExample:\n  wmb collector --config examples/two-rooms/beijing.yaml')
    .action(async (options: ConfigOptions) => {
      const config = configOf(options);
      const { runCollector } = await import('../../collector/main.ts');
      await runCollector(config);
    });
  program
    .command('checker')
    .description('run this room’s checker: compares this room with its peers, explains what differs, repairs it when told to')
    .addOption(configOption())
    .addHelpText('after', '\nExample:\n  wmb checker --config examples/two-rooms/beijing.yaml')
    .action(async (options: ConfigOptions) => {
      const config = configOf(options);
      if (roomEntry(config.topology, config.room.id)?.checker === undefined)
        throw new WmbError('CHECKER_ABSENT', `room ${config.room.id} has no checker in the topology`);
      const { runChecker } = await import('../../consistency-checker/main.ts');
      await runChecker(config);
    });
}
