/** For tests of explaining: what they all begin with. */
import assert from 'node:assert/strict';
import type { Drift } from '../drift.ts';
import { type TestWrite, World } from '../rooms-kit.ts';

export const set = (key: string, value: string, ...more: (string | number)[]): TestWrite => ({
  id: `set ${key}`,
  commands: [['SET', key, value, ...more]],
});

/** What matters of a drift at a glance. */
export function gist(drift: Drift | undefined): readonly string[] {
  return drift === undefined ? [] : [drift.level, drift.kind, drift.wrong, drift.cause, drift.repair.action];
}

export async function explained(world: World, key: string, own = 'beijing', peer = 'guangzhou'): Promise<Drift> {
  const drift = await world.checker(own, peer).key(key);
  assert.ok(drift, `${key} is a drift`);
  return drift;
}

/** What beijing wrote last, guangzhou has lost. */
export async function stale(rooms?: readonly string[], faults: Record<string, 'lose'> = { guangzhou: 'lose' }): Promise<World> {
  const world = new World(rooms);
  await world.write('beijing', [set('k', 'old')]);
  await world.write('beijing', [set('k', 'new')], faults);
  return world;
}
