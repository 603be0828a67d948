/** docs/link-states.md as text, made from the table of link/machine.ts. Run this file to print it. */
import { LINK_EVENT_MEANINGS, LINK_EVENTS, LINK_STATE_MEANINGS, LINK_STATES, LINK_TABLE } from './machine.ts';

export function linkStatesPage(): string {
  return [
    '<!-- Made by link/states-page.ts from link/machine.ts; do not edit. -->',
    '# Link states',
    '',
    'Every lane (one partition of one log of one origin) is in one of these states in the collector that pulls it. `wmb status`, the metric',
    '`wmb_link_state` and the log show it, each with the reason of the last transition.',
    '',
    '```mermaid',
    'stateDiagram-v2',
    '  [*] --> idle',
    ...diagram(),
    '```',
    '',
    '| state | means |',
    '|---|---|',
    ...LINK_STATES.map((state) => `| \`${state}\` | ${LINK_STATE_MEANINGS[state]} |`),
    '',
    '| event | means |',
    '|---|---|',
    ...LINK_EVENTS.map((event) => `| \`${event}\` | ${LINK_EVENT_MEANINGS[event]} |`),
    '',
    'What each event (column) does in each state (row); `-`: nothing.',
    '',
    `| | ${LINK_EVENTS.join(' | ')} |`,
    `|---|${LINK_EVENTS.map(() => '---|').join('')}`,
    ...LINK_STATES.map((state) => `| **${state}** | ${LINK_EVENTS.map((event) => LINK_TABLE[state][event]).join(' | ')} |`),
    '',
  ].join('\n');
}

/** One arrow per pair of states, labelled with all events that take it. Mermaid ids have no dashes. */
function diagram(): string[] {
  const names = LINK_STATES.filter((state) => state.includes('-')).map((state) => `  state "${state}" as ${id(state)}`);
  const arrows = new Map<string, string[]>();
  for (const state of LINK_STATES) {
    for (const event of LINK_EVENTS) {
      const next = LINK_TABLE[state][event];
      if (next === '-') continue;
      const arrow = `  ${id(state)} --> ${id(next)}`;
      arrows.set(arrow, [...(arrows.get(arrow) ?? []), event]);
    }
  }
  return [...names, ...[...arrows].map(([arrow, events]) => `${arrow}: ${events.join(', ')}`)];
}

function id(state: string): string {
  return state.replaceAll('-', '_');
}

if (import.meta.main) process.stdout.write(linkStatesPage());
