/** What a person does when a log has lost frames, with the command line, as docs/write-log.md and docs/links.md say. */
import assert from 'node:assert/strict';
import type { LogView } from '../../log/administration.ts';
import type { LaneStatus } from '../../proto/gen/wmb/v1/admin.ts';
import { until } from '../e2e/scene.ts';
import type { Arena } from './arena.ts';

/** The write log of a room, as `wmb log inspect` shows it. */
export async function inspected(arena: Arena, place: number): Promise<LogView> {
  const [view] = JSON.parse(await arena.wmb(place, 'log', 'inspect', '--json')) as LogView[];
  assert.ok(view);
  return view;
}

/** The link from one room into another, or a room's own lanes. */
export interface Link {
  readonly origin: number;
  readonly peer: number;
}

export async function lanesOf(arena: Arena, { origin, peer }: Link): Promise<readonly LaneStatus[]> {
  const { links } = (await arena.clients[peer]?.collectorStatus()) ?? { links: [] };
  return links.find((link) => link.origin === arena.room(origin).id)?.lanes ?? [];
}

/** Resolves when all lanes of the link have stopped on missing frames. */
export async function stopped(arena: Arena, link: Link): Promise<void> {
  await until(`the lanes from ${idsOf(arena, link).join(' stop in ')}`, async () => {
    const lanes = await lanesOf(arena, link);
    return lanes.length > 0 && lanes.every(({ state }) => state === 'stopped-on-gap');
  });
}

/** Until all lanes of the link go on: one that stopped on a gap of the old epoch meets the new one behind it. */
export async function acceptLoss(arena: Arena, link: Link): Promise<void> {
  await stopped(arena, link);
  await until('the lanes go on', async () => {
    const states = (await lanesOf(arena, link)).map(({ state }) => state);
    if (states.includes('stopped-on-gap')) await arena.wmb(link.peer, 'link', 'skip', ...idsOf(arena, link), '--yes');
    return states.every((state) => state === 'streaming');
  });
}

function idsOf(arena: Arena, { origin, peer }: Link): readonly [string, string] {
  return [arena.room(origin).id, arena.room(peer).id];
}

/** The log of a room begins again, empty; whoever takes its frames goes on with the new epoch. */
export async function beginEpoch(arena: Arena, origin: number): Promise<void> {
  await arena.whileDown(origin, () => arena.wmb(origin, 'log', 'init', '--new-epoch'));
  for (const peer of [0, 1]) await acceptLoss(arena, { origin, peer });
}
