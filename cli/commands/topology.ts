/** `wmb topology show`: the rooms, and who takes what from whom. */
import type { Command } from 'commander';
import type { Config, Topology } from '../../core/config/types.ts';
import { logsTaken } from '../../core/topology.ts';
import type { LogName, RoomId } from '../../core/words.ts';
import { type ConfigOptions, type Context, configOf, configOption, type JsonOptions, jsonOption } from '../context.ts';
import { formatTable } from '../table.ts';

interface ShownLink {
  readonly origin: RoomId;
  readonly peer: RoomId;
  readonly transport: string;
  /** Empty: only acks travel. */
  readonly logs: readonly LogName[];
}

export function addTopologyCommands(program: Command, context: Context): void {
  const topology = program.command('topology').helpCommand(false).description('look at the topology');
  topology
    .command('show')
    .description('print rooms, links and kinds of the topology')
    .addOption(configOption())
    .addOption(jsonOption())
    .addHelpText('after', '\nExample:\n  wmb topology show --config examples/two-rooms/beijing.yaml')
    .action((options: ConfigOptions & JsonOptions) => {
      const config = configOf(options);
      const links = linksOf(config.topology);
      context.print(options.json ? JSON.stringify({ ...config.topology, links }) : showTopology(config, links));
    });
}

function linksOf(topology: Topology): readonly ShownLink[] {
  const ids = topology.rooms.map((room) => room.id);
  return ids.flatMap((origin) =>
    ids
      .filter((peer) => peer !== origin)
      .map((peer) => {
        const entry = topology.links.find((link) => link.origin === origin && link.peer === peer);
        return { origin, peer, transport: entry?.transport ?? 'rpc', logs: logsTaken(topology, origin, peer) };
      }),
  );
}

function showTopology({ topology, room }: Config, links: readonly ShownLink[]): string {
  const rooms = topology.rooms.map((entry) => [
    entry.id === room.id ? `${entry.id} (this room)` : entry.id,
    String(entry.number),
    entry.database,
    entry.reship.grpc,
    entry.reship.http,
    entry.collector.grpc,
    entry.collector.http,
  ]);
  const kinds = Object.entries(topology.kinds).map(([kind, entry]) => [kind, entry.rooms.join(', '), entry.onFailure]);
  return [
    `epoch ${topology.epoch}, mode ${topology.mode}, ${topology.partitions} partitions`,
    '',
    formatTable({ head: ['ROOM', 'NUMBER', 'DATABASE', 'RESHIP', 'HTTP', 'COLLECTOR', 'HTTP'], rows: rooms, right: [1] }),
    '',
    formatTable({
      head: ['LINK', 'TRANSPORT', 'LOGS'],
      rows: links.map((link) => [`${link.origin} → ${link.peer}`, link.transport, link.logs.join(', ') || '(acks only)']),
    }),
    '',
    formatTable({ head: ['KIND', 'ROOMS', 'ON FAILURE'], rows: kinds }),
  ].join('\n');
}
