/**
 * The state machine of a lane on a link, as seen by the collector that pulls it. Every lane of every link is in exactly one of these
 * states; the table says what each event does in each state, and nothing else moves a lane. docs/link-states.md is made from it.
 *
 * A lane waits out failures in `backing-off` and goes on by itself; it waits for a person in `paused` and `stopped-on-gap`.
 */
export const LINK_STATES = ['idle', 'connecting', 'resuming', 'streaming', 'draining', 'backing-off', 'paused', 'stopped-on-gap'] as const;
export type LinkState = (typeof LINK_STATES)[number];

export const LINK_EVENTS = ['dial', 'connected', 'resumed', 'failed', 'gap', 'pause', 'unpause', 'drain', 'drained'] as const;
export type LinkEvent = (typeof LINK_EVENTS)[number];

/** `-`: the event changes nothing in this state; it came late, or is meant for other lanes of the link. */
type Cell = LinkState | '-';

export const LINK_TABLE: Readonly<Record<LinkState, Readonly<Record<LinkEvent, Cell>>>> = {
  // biome-ignore format: a table is read by its columns
  'idle':           { dial: 'connecting', connected: '-',        resumed: '-',         failed: '-',           gap: '-',              pause: 'paused', unpause: '-',          drain: '-',        drained: '-' },
  // biome-ignore format: as above
  'connecting':     { dial: '-',          connected: 'resuming', resumed: '-',         failed: 'backing-off', gap: 'stopped-on-gap', pause: 'paused', unpause: '-',          drain: 'draining', drained: '-' },
  // biome-ignore format: as above
  'resuming':       { dial: '-',          connected: '-',        resumed: 'streaming', failed: 'backing-off', gap: 'stopped-on-gap', pause: 'paused', unpause: '-',          drain: 'draining', drained: '-' },
  // biome-ignore format: as above
  'streaming':      { dial: '-',          connected: '-',        resumed: '-',         failed: 'backing-off', gap: 'stopped-on-gap', pause: 'paused', unpause: '-',          drain: 'draining', drained: '-' },
  // biome-ignore format: as above
  'draining':       { dial: '-',          connected: '-',        resumed: '-',         failed: '-',           gap: 'stopped-on-gap', pause: 'paused', unpause: '-',          drain: '-',        drained: 'idle' },
  // biome-ignore format: as above
  'backing-off':    { dial: 'connecting', connected: '-',        resumed: '-',         failed: '-',           gap: 'stopped-on-gap', pause: 'paused', unpause: '-',          drain: 'draining', drained: '-' },
  // biome-ignore format: as above
  'paused':         { dial: '-',          connected: '-',        resumed: '-',         failed: '-',           gap: '-',              pause: '-',      unpause: 'connecting', drain: '-',        drained: '-' },
  // biome-ignore format: as above
  'stopped-on-gap': { dial: '-',          connected: '-',        resumed: '-',         failed: '-',           gap: '-',              pause: 'paused', unpause: 'connecting', drain: '-',        drained: '-' },
};

export const LINK_STATE_MEANINGS: Readonly<Record<LinkState, string>> = {
  idle: 'The collector has not started the lane, or has shut it down.',
  connecting: 'The origin is being dialled, or the lane waits for the session that is being made.',
  resuming: 'The session is up; the origin was asked for the frames after the mark and has not answered yet.',
  streaming: 'Frames flow.',
  draining: 'No more frames are taken; those in the processor’s hands get their receipts.',
  'backing-off': 'Something failed that may pass; the lane tries again by itself. The reason is shown.',
  paused: 'An operator paused the link. It stays paused over restarts until `wmb link resume`.',
  'stopped-on-gap':
    'Frames that are needed do not exist any more, or a failure cannot pass by itself. A person must decide; a restart tries again, and so does a log that the origin made anew.',
};

export const LINK_EVENT_MEANINGS: Readonly<Record<LinkEvent, string>> = {
  dial: 'The link starts an attempt, at start or after its backoff.',
  connected: 'The origin welcomed the session.',
  resumed: 'The origin said where the lane streams from.',
  failed: 'The dial failed, the session broke, or frames could not be taken for a reason that may pass.',
  gap: 'The origin lacks what is needed, or frames could not be taken for a reason that does not pass.',
  pause: '`wmb link pause`.',
  unpause: '`wmb link resume`; of a lane that stopped on a gap also what takes it over the gap, or a log that the origin made anew.',
  drain: 'The collector shuts down.',
  drained: 'Nothing of the lane is in the processor’s hands any more.',
};

/** The state after `event`, or undefined where the event changes nothing. */
export function nextLinkState(state: LinkState, event: LinkEvent): LinkState | undefined {
  const cell = LINK_TABLE[state][event];
  return cell === '-' ? undefined : cell;
}

/** States that wait for a person; they are remembered over restarts. */
export function waitsForPerson(state: LinkState): boolean {
  return state === 'paused' || state === 'stopped-on-gap';
}
