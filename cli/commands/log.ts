/** `wmb log`: what the logs of a room in Kafka need before the daemons may use them, and what stands in them. */
import { type Command, Option } from 'commander';
import type { Config } from '../../core/config/types.ts';
import { asWmbError, WmbError } from '../../core/errors.ts';
import type { Runtime } from '../../core/runtime.ts';
import type { LogView } from '../../log/administration.ts';
import { Clients } from '../clients.ts';
import { type ConfigOptions, type Context, configOf, configOption, type JsonOptions, jsonOption } from '../context.ts';
import { formatTable } from '../table.ts';
import { logAdministrations } from '../wiring.ts';
import { type UserOptions, userOf, withUser } from './server-user.ts';

/** Where nobody listens that is known at once; one that does not answer may only stand still for a while, and appends when it wakes up. */
const STOPPED_MS_MAX = 15_000;

type InitOptions = ConfigOptions & UserOptions & { readonly dryRun?: boolean; readonly newEpoch?: boolean };

export function addLogCommands(program: Command, context: Context): void {
  const log = program.command('log').helpCommand(false).description('prepare logs in Kafka, and look at them');
  withUser(log.command('init'))
    .description('make the topics of the room’s logs where they are missing, and check the settings of those that are there')
    .addOption(new Option('--new-epoch', 'begin the logs again, empty: where topics were lost or damaged; stop the daemons before'))
    .addOption(new Option('--dry-run', 'print what would be done, and do nothing'))
    .addOption(configOption())
    .addHelpText('after', '\nExample:\n  wmb log init --config beijing.yaml')
    .action((options: InitOptions) => init(context, options));
  log
    .command('inspect')
    .description('print where each partition of the logs begins and ends in Kafka, who leads it, and which settings are wrong')
    .addOption(configOption())
    .addOption(jsonOption())
    .addHelpText('after', '\nExample:\n  wmb log inspect --config beijing.yaml')
    .action((options: ConfigOptions & JsonOptions) => inspect(context, options));
}

async function init(context: Context, options: InitOptions): Promise<void> {
  const { dryRun = false, newEpoch = false } = options;
  const config = configOf(options);
  if (newEpoch && !dryRun) await demandStopped(config, context.runtime);
  const logs = logAdministrations({ config, user: userOf(options), runtime: context.runtime });
  for (const log of logs) for await (const line of log.init({ dryRun, newEpoch })) context.print(line);
  if (dryRun) context.note('This was a dry run: nothing was done.');
}

/** USAGE where a daemon of the room answers: what it appends while its log begins again goes with the old one, acked or not. */
async function demandStopped(config: Config, runtime: Runtime): Promise<void> {
  const { id } = config.room;
  const asked = await Clients.with(config, runtime, (clients) =>
    Promise.allSettled([
      clients.reship<unknown>(id, (client, metadata, call, answer) => client.getStatus({}, metadata, call, answer), STOPPED_MS_MAX),
      clients.collector<unknown>(id, (client, metadata, call, answer) => client.getStatus({}, metadata, call, answer), STOPPED_MS_MAX),
    ]),
  );
  for (const [index, answer] of asked.entries()) {
    const isDown = answer.status === 'rejected' && asWmbError(answer.reason).code === 'UNREACHABLE';
    const daemon = index === 0 ? 'reship' : 'collector';
    if (!isDown)
      throw new WmbError(
        'USAGE',
        `the ${daemon} of ${id} runs: what is acked while its log begins again would be lost; stop the room’s daemons first`,
      );
  }
}

async function inspect(context: Context, options: ConfigOptions & JsonOptions): Promise<void> {
  const logs = logAdministrations({ config: configOf(options), user: undefined, runtime: context.runtime });
  const views: LogView[] = [];
  for (const log of logs) views.push(await log.inspect());
  context.print(options.json === true ? JSON.stringify(views) : views.map(viewText).join('\n\n'));
}

function viewText({ log, epoch, topic, trouble, partitions }: LogView): string {
  const rows = partitions.map(({ partition, first, next, noted, leader, replicas, inSync }) => [
    `${partition}`,
    `${first}`,
    `${next}`,
    next < noted ? `${noted}: frames were lost` : `${noted}`,
    leader === undefined ? 'none' : `${leader}`,
    `${inSync} of ${replicas}`,
  ]);
  const table = formatTable({ head: ['PARTITION', 'FIRST', 'NEXT', 'NOTED', 'LEADER', 'IN SYNC'], rows, right: [0, 1, 2] });
  return [`log ${log}, epoch ${epoch}, topic ${topic}`, ...(trouble === '' ? [] : [trouble]), table].join('\n');
}
