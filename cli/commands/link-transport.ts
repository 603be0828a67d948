/** `wmb link init|transport`: links over mq, whose frames go through the Kafka of the room that takes them. */
import { type Command, Option } from 'commander';
import { WmbError } from '../../core/errors.ts';
import type { SetTransportResponse } from '../../proto/gen/wmb/v1/admin.ts';
import { Clients } from '../clients.ts';
import { type ConfigOptions, type Context, configOf, configOption, type JsonOptions, jsonOption } from '../context.ts';
import { inboxAdministration } from '../wiring.ts';
import { endsOf } from './link-ends.ts';

/** The collector looks at the topics first. */
const SWITCH_MS_MAX = 30_000;

export function addInit(link: Command, context: Context): void {
  link
    .command('init')
    .description('make the topics of this room’s inboxes in its Kafka where they are missing, and check those that are there')
    .addOption(new Option('--dry-run', 'print what would be done, and do nothing'))
    .addOption(configOption())
    .addHelpText('after', '\nExample:\n  wmb link init --config guangzhou.yaml')
    .action(async (options: ConfigOptions & { readonly dryRun?: boolean }) => {
      const dryRun = options.dryRun === true;
      for await (const line of inboxAdministration(configOf(options), context.runtime).init({ dryRun })) context.print(line);
      if (dryRun) context.note('This was a dry run: nothing was done.');
    });
}

export function addTransport(link: Command, context: Context): void {
  link
    .command('transport')
    .description('let the link from ORIGIN to PEER run over rpc or mq from now on, over restarts; it may be in use')
    .argument('<origin>', 'the room where the writes entered')
    .argument('<peer>', 'the room that takes them')
    .argument('<transport>', 'rpc or mq')
    .addOption(configOption())
    .addOption(jsonOption())
    .addHelpText('after', '\nExample:\n  wmb link transport beijing guangzhou mq')
    .action(async (originName: string, peerName: string, transport: string, options: ConfigOptions & JsonOptions) => {
      if (transport !== 'rpc' && transport !== 'mq')
        throw new WmbError('USAGE', `a link runs over rpc or mq, not ${JSON.stringify(transport)}`);
      const config = configOf(options);
      const { origin, peer } = endsOf(config, originName, peerName);
      const { before } = await Clients.with(config, context.runtime, (clients) =>
        clients.collector<SetTransportResponse>(
          peer,
          (client, ...rest) => client.setTransport({ origin, transport }, ...rest),
          SWITCH_MS_MAX,
        ),
      );
      if (options.json) return context.print(JSON.stringify({ origin, peer, before, transport }));
      context.print(
        before === transport
          ? `link ${origin} → ${peer} runs over ${transport} already`
          : `link ${origin} → ${peer} runs over ${transport} now (before: ${before})`,
      );
    });
}
