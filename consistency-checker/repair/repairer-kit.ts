/** For tests of repairing: what they all begin with. */
import assert from 'node:assert/strict';
import { type TestChecker, type TestWrite, World } from '../rooms-kit.ts';
import type { RepairRequest, RepairStep } from './repairer.ts';

export const set = (key: string, value: string): TestWrite => ({ id: `set ${key}`, commands: [['SET', key, value]] });

/** guangzhou has lost what beijing wrote to `keys`. */
export async function lossy(...keys: readonly string[]): Promise<{ readonly world: World; readonly checker: TestChecker }> {
  const world = new World();
  await world.write(
    'beijing',
    keys.map((key) => set(key, 'old')),
  );
  await world.write(
    'beijing',
    keys.map((key) => set(key, 'new')),
    { guangzhou: 'lose' },
  );
  const checker = world.checker('guangzhou', 'beijing');
  for (const key of keys) assert.ok(await checker.key(key));
  return { world, checker };
}

export async function run(
  checker: TestChecker,
  request: Partial<RepairRequest> = {},
  signal = new AbortController().signal,
): Promise<RepairStep[]> {
  const steps: RepairStep[] = [];
  const running = (async () => {
    for await (const step of checker.repairer().run({ ids: 'all', apply: true, limit: 0, from: '', by: 'tester', ...request }, signal))
      steps.push(step);
  })();
  return await settled(checker, running, steps);
}

/** Time goes on while it runs: rate limit and pauses are on virtual time. */
export async function settled(checker: TestChecker, running: Promise<void>, steps: RepairStep[]): Promise<RepairStep[]> {
  let isOver = false;
  const over = running.finally(() => {
    isOver = true;
  });
  over.catch(() => {});
  for (let turn = 0; turn < 200 && !isOver; turn += 1) await checker.world.runtime.advance(100);
  await over;
  return steps;
}

export const results = (steps: readonly RepairStep[]) => steps.map(({ result }) => result);
export const value = async (world: World, room: string, key: string) =>
  (await world.room(room).cache.get(key, world.runtime.nowMs()))?.value;
export const audits = async (checker: TestChecker) =>
  (await checker.book.audits(10)).map(({ action, result, by }) => `${action} ${result} ${by}`);

/** The first time only. */
export function once(task: () => unknown): () => Promise<void> {
  let isDone = false;
  return async () => {
    if (isDone) return;
    isDone = true;
    await task();
  };
}
