/** `wmb link pause|resume|skip|init|transport`: the link from an origin, held by the peer’s collector. */
import type { Command } from 'commander';
import { WmbError } from '../../core/errors.ts';
import type { RoomId } from '../../core/words.ts';
import type { SetLinkResponse, SkipGapResponse, SkippedLane } from '../../proto/gen/wmb/v1/admin.ts';
import { Clients } from '../clients.ts';
import { type ConfigOptions, type Context, configOf, configOption, type JsonOptions, jsonOption } from '../context.ts';
import { printable } from '../table.ts';
import { endsOf } from './link-ends.ts';
import { addInit, addTransport } from './link-transport.ts';

export function addLinkCommands(program: Command, context: Context): void {
  const link = program
    .command('link')
    .helpCommand(false)
    .description('pause, resume or switch links between rooms, or take one over a gap');
  addSwitch(link, context, {
    verb: 'pause',
    paused: true,
    description: 'stop taking frames of ORIGIN in PEER; nothing is lost, the lag grows',
    help: '\nExample:\n  wmb link pause beijing guangzhou',
  });
  addSwitch(link, context, {
    verb: 'resume',
    paused: false,
    description: 'take frames of ORIGIN in PEER again, from the mark on',
    help: RESUME_HELP,
  });
  addSkip(link, context);
  addTransport(link, context);
  addInit(link, context);
}

interface Switch {
  readonly verb: string;
  readonly paused: boolean;
  readonly description: string;
  readonly help: string;
}

const RESUME_HELP = `
Lanes that have stopped on a gap, or on damage, try again as well: see docs/links.md.
A room takes its own frames through lanes of its own: name it twice for these.

Examples:
  wmb link resume beijing guangzhou
  wmb link resume beijing beijing`;

function ownLanes(room: RoomId): string {
  return (
    `${room} was named twice: what it takes from itself are its own write requests, and a room does not pause these. ` +
    `\`wmb link resume ${room} ${room}\` lets those of its lanes go on that have stopped`
  );
}

function addSwitch(link: Command, context: Context, { verb, paused, description, help }: Switch): void {
  link
    .command(verb)
    .description(description)
    .argument('<origin>', 'the room where the writes entered')
    .argument('<peer>', 'the room that takes them')
    .addOption(configOption())
    .addOption(jsonOption())
    .addHelpText('after', help)
    .action(async (originName: string, peerName: string, options: ConfigOptions & JsonOptions) => {
      const config = configOf(options);
      const { origin, peer } = endsOf(config, originName, peerName);
      if (origin === peer && paused) throw new WmbError('USAGE', ownLanes(origin));
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

/** The stores of all lanes move their marks: it may take its time. */
const SKIP_MS_MAX = 60_000;
const SKIP_HELP = `
Without --yes nothing is changed: it prints what would be lost. See docs/links.md, “When a lane has stopped on a gap”.
A room takes its own frames through lanes of its own: name it twice for these.

Examples:
  wmb link skip beijing guangzhou
  wmb link skip beijing guangzhou --yes
  wmb link skip beijing beijing`;

type SkipOptions = ConfigOptions & JsonOptions & { readonly yes?: boolean };

function addSkip(link: Command, context: Context): void {
  link
    .command('skip')
    .description('accept the loss of frames of ORIGIN that PEER needs and nobody has any more; its lanes that stopped on the gap go on')
    .argument('<origin>', 'the room where the writes entered')
    .argument('<peer>', 'the room that takes them; the origin itself has lanes of its own')
    .option('--yes', 'do it')
    .addOption(configOption())
    .addOption(jsonOption())
    .addHelpText('after', SKIP_HELP)
    .action((originName: string, peerName: string, options: SkipOptions) => skip(context, originName, peerName, options));
}

async function skip(context: Context, originName: string, peerName: string, options: SkipOptions): Promise<void> {
  const config = configOf(options);
  const { origin, peer } = endsOf(config, originName, peerName);
  const confirmed = options.yes === true;
  const { lanes } = await Clients.with(config, context.runtime, (clients) =>
    clients.collector<SkipGapResponse>(peer, (client, ...rest) => client.skipGap({ origin, confirmed }, ...rest), SKIP_MS_MAX),
  );
  if (options.json) context.print(JSON.stringify({ origin, peer, skipped: confirmed, lanes }));
  else context.print(lanes.map((lane) => printable(skippedLine(lane, origin, confirmed))).join('\n'));
  const refused = lanes.filter((lane) => lane.refused !== '');
  if (refused[0] !== undefined) throw new WmbError('LOG_GAP', `${refused.length} of ${lanes.length} stopped lanes cannot be skipped`);
  if (!confirmed && !options.json) context.note('nothing was changed; say --yes to accept the loss');
}

function skippedLine(lane: SkippedLane, origin: RoomId, confirmed: boolean): string {
  const name = `${lane.log}/${origin}/${lane.partition}`;
  if (lane.refused !== '') return `${name}  refused: ${lane.refused}`;
  const range = `seq ${lane.missingFrom} to ${lane.missingTo ?? 'the end'} of log epoch ${lane.epoch}`;
  const writes = lane.writes === undefined ? 'an unknown number of write requests' : `${lane.writes} write requests`;
  return `${name}  ${confirmed ? 'given up' : 'would be lost'}: ${range} (${writes}); goes on after seq ${lane.nextSeq} of log epoch ${lane.nextEpoch}`;
}
