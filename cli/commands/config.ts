/** `wmb config check`: every error of a configuration at once. */
import type { Command } from 'commander';
import { checkConfig } from '../../core/config/load.ts';
import { problemsError } from '../../core/config/problem.ts';
import { EXIT } from '../../core/errors.ts';
import { type ConfigOptions, type Context, configFileOf, configOption, type JsonOptions, jsonOption } from '../context.ts';

export function addConfigCommands(program: Command, context: Context): void {
  const config = program.command('config').helpCommand(false).description('look at configurations');
  config
    .command('check')
    .description('check a room’s file and the topology that it names; prints every error with its place')
    .argument('[file]', 'the room’s file (default: --config)')
    .addOption(configOption())
    .addOption(jsonOption())
    .addHelpText(
      'after',
      '\nExamples:\n  wmb config check examples/two-rooms/beijing.yaml\n  wmb config check --config beijing.yaml --json',
    )
    .action((file: string | undefined, options: ConfigOptions & JsonOptions) => {
      checkFile(context, file ?? configFileOf(options), options.json === true);
    });
}

function checkFile(context: Context, file: string, json: boolean): void {
  const { value, problems } = checkConfig(file);
  if (json) {
    context.print(JSON.stringify({ file, valid: value !== undefined, problems }));
    if (value === undefined) process.exitCode = EXIT.config;
    return;
  }
  if (value === undefined) throw problemsError(problems);
  const { topology, room } = value;
  context.print(
    `${file}: valid (room ${room.id}, topology epoch ${topology.epoch} of ${topology.rooms.length} rooms, ${topology.partitions} partitions)`,
  );
}
