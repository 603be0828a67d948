/** Cases of the rules: each spoils the correct configuration in one place and names all lines that must come. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { filesOf, ROOM, SECRET, TOPOLOGY } from './config.fixture.ts';
import { checkConfig } from './load.ts';
import { formatProblem } from './problem.ts';

export interface Case {
  readonly name: string;
  /** Replaces the first text by the second, in the topology. */
  readonly topology?: readonly (readonly [string, string])[];
  /** The same in the room's file. */
  readonly room?: readonly (readonly [string, string])[];
  readonly env?: Readonly<Record<string, string | undefined>>;
  readonly gone?: string;
  /** Without the `conf/` in front. */
  readonly lines: readonly string[];
}

/** In place of a text to replace: the second text goes to the end of the file. */
export const AT_END = '$END';

function spoil(text: string, changes: Case['topology']): string {
  let spoilt = text;
  for (const [from, to] of changes ?? []) {
    assert.ok(from === AT_END || spoilt.includes(from), `the sample has no ${from}`);
    spoilt = from === AT_END ? `${spoilt}${to}\n` : spoilt.replace(from, () => to);
  }
  return spoilt;
}

function linesOf({ topology, room, env, gone }: Case): readonly string[] {
  const read = filesOf({ 'conf/topology.yaml': spoil(TOPOLOGY, topology), 'conf/beijing.yaml': spoil(ROOM, room) });
  const { problems } = checkConfig('conf/beijing.yaml', { WMB_LINK_SECRET: SECRET, ...env }, (path) => read(path === gone ? 'gone' : path));
  return problems.map((problem) => formatProblem(problem).replace(/^conf\//, ''));
}

/** Makes a test of each case. */
export function runCases(cases: readonly Case[]): void {
  for (const one of cases) test(one.name, () => assert.deepEqual(linesOf(one), one.lines));
}
