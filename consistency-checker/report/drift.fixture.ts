/** For tests: a drift as a checker would report it. */
import type { Drift } from '../drift.ts';

export const STAMPED_MS = Date.parse('2026-11-22T20:15:44.123Z');
/** By room number 1. */
export const STAMP = '01a204e67dfb000001000002';

export const DRIFT: Drift = {
  id: '1f3a5b7c',
  level: 'L2',
  kind: 'missing',
  subject: { type: 'key', name: 'unread:7' },
  sides: [
    { room: 'beijing', shows: '"42"', version: `${STAMP}0000`, hash: '00112233aabbccdd', bytes: 2, expireAtMs: 0 },
    { room: 'guangzhou', shows: 'nothing', version: '', hash: '', bytes: 0, expireAtMs: 0 },
  ],
  elements: [{ name: '', versions: [`${STAMP}0000`, ''], values: ['42', null] }],
  wrong: 'guangzhou',
  why: 'the write request college-17 made it, and guangzhou has a receipt for it',
  cause: 'missed-apply',
  causeText: 'none of the 3 other effects of its frame is there either',
  write: {
    requestId: 'college-17',
    position: 'beijing/3@0f6a4c1e9b2d7a85:1042.17',
    stamp: STAMP,
    kind: 'message',
    key: 'user:7',
    hops: [
      { room: 'beijing', what: 'stamped', atMs: STAMPED_MS, detail: '' },
      { room: 'beijing', what: 'logged', atMs: STAMPED_MS + 2, detail: 'beijing/3@0f6a4c1e9b2d7a85:1042.17' },
      { room: 'guangzhou', what: 'applied', atMs: STAMPED_MS + 1_031, detail: '' },
      { room: 'beijing', what: 'applied', atMs: STAMPED_MS + 12, detail: '' },
    ],
  },
  repair: {
    action: 'resend',
    from: 'beijing',
    to: 'guangzhou',
    diff: ['- nothing', '+ "42"'],
    command: 'wmb repair 1f3a5b7c --apply',
    text: 'applies the effects of college-17 again',
  },
  status: 'open',
  firstSeenMs: STAMPED_MS + 3_000,
  confirmedMs: STAMPED_MS + 8_000,
  closedMs: 0,
  note: '',
};

export const ALARM: Drift = {
  ...DRIFT,
  id: '99aa0011',
  level: 'L0',
  kind: 'stuck',
  subject: { type: 'lane', name: 'writes/beijing/3' },
  elements: [],
  wrong: '',
  why: '',
  cause: 'path',
  causeText: 'no canary of beijing for 40 s; the lane is paused',
  write: undefined,
  repair: { action: 'none', from: '', to: '', diff: [], command: '', text: 'wmb link resume beijing guangzhou' },
};
