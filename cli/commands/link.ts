/** `wmb link pause|resume`: the link from an origin, held by the peer’s collector. */
import type { Command } from 'commander';
import { WmbError } from '../../core/errors.ts';
import type { SetLinkResponse } from '../../proto/gen/wmb/v1/admin.ts';
import { Clients } from '../clients.ts';
import { type ConfigOptions, type Context, configOf, configOption, type JsonOptions, jsonOption, roomOf } from '../context.ts';

export function addLinkCommands(program: Command, context: Context): void {
  const link = program.command('link').helpCommand(false).description('pause or resume links between rooms');
  addSwitch(link, context, {
    verb: 'pause',
    paused: true,
    description: 'stop taking frames of ORIGIN in PEER; nothing is lost, the lag grows',
  });
  addSwitch(link, context, { verb: 'resume', paused: false, description: 'take frames of ORIGIN in PEER again, from the mark on' });
}

interface Switch {
  readonly verb: string;
  readonly paused: boolean;
  readonly description: string;
}

function addSwitch(link: Command, context: Context, { verb, paused, description }: Switch): void {
  link
    .command(verb)
    .description(description)
    .argument('<origin>', 'the room where the writes entered')
    .argument('<peer>', 'the room that takes them')
    .addOption(configOption())
    .addOption(jsonOption())
    .addHelpText('after', `\nExample:\n  wmb link ${verb} beijing guangzhou`)
    .action(async (originName: string, peerName: string, options: ConfigOptions & JsonOptions) => {
      const config = configOf(options);
      const [origin, peer] = [roomOf(config, originName), roomOf(config, peerName)];
      if (origin === peer) throw new WmbError('USAGE', `a link joins two rooms; ${origin} was named twice`);
      const { lanes } = await Clients.with(config, context.runtime, (clients) =>
        clients.collector<SetLinkResponse>(peer, (client, ...rest) => client.setLink({ origin, paused }, ...rest)),
      );
      context.print(
        options.json
          ? JSON.stringify({ origin, peer, paused, lanes })
          : `link ${origin} → ${peer} ${paused ? 'paused' : 'resumed'} (${lanes.length} lanes)`,
      );
    });
}
