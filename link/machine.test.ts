import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { LINK_EVENTS, LINK_STATES, LINK_TABLE, type LinkEvent, type LinkState, nextLinkState } from './machine.ts';
import { linkStatesPage } from './states-page.ts';

function walk(from: LinkState, ...events: LinkEvent[]): LinkState {
  return events.reduce<LinkState>((state, event) => nextLinkState(state, event) ?? state, from);
}

test('a lane that meets no trouble goes from idle to streaming and, when the collector stops, back to idle', () => {
  assert.equal(walk('idle', 'dial', 'connected', 'resumed'), 'streaming');
  assert.equal(walk('streaming', 'drain', 'drained'), 'idle');
});

test('a failure backs off and the next attempt begins from connecting', () => {
  for (const state of ['connecting', 'resuming', 'streaming'] as const) assert.equal(nextLinkState(state, 'failed'), 'backing-off');
  assert.equal(walk('backing-off', 'dial'), 'connecting');
});

test('a lane that waits for a person is moved by a person only', () => {
  for (const event of LINK_EVENTS) {
    if (event === 'unpause') continue;
    assert.equal(nextLinkState('paused', event), undefined, event);
    if (event !== 'pause') assert.equal(nextLinkState('stopped-on-gap', event), undefined, event);
  }
});

test('an operator can pause a lane in every state but paused itself', () => {
  for (const state of LINK_STATES) assert.equal(nextLinkState(state, 'pause'), state === 'paused' ? undefined : 'paused', state);
});

test('every state can be reached from idle and left again', () => {
  const reached = new Set<LinkState>(['idle']);
  for (const state of reached) {
    for (const event of LINK_EVENTS) {
      const next = nextLinkState(state, event);
      if (next !== undefined) reached.add(next);
    }
  }
  assert.deepEqual([...reached].sort(), [...LINK_STATES].sort());
  for (const state of LINK_STATES)
    assert.ok(
      LINK_EVENTS.some((event) => LINK_TABLE[state][event] !== '-'),
      state,
    );
});

test('no cell of the table leads to the state it stands in', () => {
  for (const state of LINK_STATES) for (const event of LINK_EVENTS) assert.notEqual(LINK_TABLE[state][event], state);
});

test('docs/link-states.md is what the table says', () => {
  const page = readFileSync(new URL('../docs/link-states.md', import.meta.url), 'utf8');
  assert.equal(page, linkStatesPage(), 'run: node link/states-page.ts > docs/link-states.md');
});
