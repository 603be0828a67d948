import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import type { Drift } from '../drift.ts';
import { ALARM, DRIFT, STAMPED_MS } from './drift.fixture.ts';
import { escapeHtml, type Report, reportPage } from './html.ts';
import type { PairView } from './pair.ts';

const PAIR: PairView = {
  rooms: ['beijing', 'guangzhou'],
  verifiedAgoMs: 2_000,
  reason: '',
  keys: [59_835],
  built: 1,
  suspects: 0,
  drifts: 1,
  alarms: 0,
};

function page(more: Partial<Report> = {}): string {
  return reportPage({ madeMs: STAMPED_MS + 12_000, pairs: [PAIR], databases: [], drifts: [DRIFT], notes: [], ...more });
}

/** Tags that a browser would open, in order. */
function tags(html: string): readonly string[] {
  return [...html.matchAll(/<\/?([a-z!][a-z0-9]*)/gi)].map((match) => match[0] ?? '');
}

const HOSTILE = `<script>alert(1)</script><img src=x onerror=alert(1)>"'&\`</details></style><!--\u0000\u202e`;

/** The record with every text in it replaced. */
function poisoned(value: unknown, text: string): unknown {
  if (typeof value === 'string') return text;
  if (Array.isArray(value)) return value.map((item) => poisoned(item, text));
  if (value === null || typeof value !== 'object') return value;
  return Object.fromEntries(Object.entries(value).map(([name, item]) => [name, poisoned(item, text)]));
}

test('whatever text stands in a drift, the page has the same tags as without it', () => {
  const databases = (text: string) => [{ room: text, text }];
  const expected = tags(page({ drifts: [poisoned(DRIFT, 'x') as Drift], databases: databases('x'), notes: ['x'] }));
  const check = (text: string) => {
    const drift = poisoned(DRIFT, `x${text}`) as Drift;
    const html = page({ drifts: [drift], pairs: [{ ...PAIR, rooms: [text, text] }], databases: databases(text), notes: [`x${text}`] });
    assert.deepEqual(tags(html), expected);
  };
  check(HOSTILE);
  fc.assert(
    fc.property(fc.string({ unit: fc.constantFrom('<', '>', '"', "'", '&', '/', '=', ' ', '-', '!', 'a', 'script', '\0') }), check),
  );
});

test('hostile text is shown as it is, control and direction characters by their codes', () => {
  const html = page({ drifts: [{ ...DRIFT, subject: { type: 'key', name: HOSTILE } }] });
  assert.ok(html.includes('&lt;script&gt;alert(1)&lt;/script&gt;&lt;img src=x onerror=alert(1)&gt;&quot;&#39;&amp;`'));
  assert.ok(html.includes('\\x00\\x202e'));
  assert.doesNotMatch(html, /<script|<img|onerror=alert\(1\)>/);
  assert.equal(escapeHtml('a\nb\tc'), 'a\nb\tc');
});

test('the page needs nothing from elsewhere, and forbids itself to', () => {
  const html = page({ drifts: [DRIFT, ALARM] });
  assert.doesNotMatch(html, /\b(src|href)\s*=|@import|url\(|<script|<link|https?:/);
  assert.match(html, /Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'"/);
});

test('how a slave’s database stands is said below the rooms', () => {
  const html = page({ databases: [{ room: 'guangzhou', text: 'compared with the database of beijing, last as a whole 4 s ago' }] });
  assert.match(html, /<li><b>database of guangzhou<\/b> compared with the database of beijing, last as a whole 4 s ago<\/li>/);
});

test('verification stands on top, drifts are grouped by kind with the alarms last', () => {
  const stale: Drift = { ...DRIFT, id: '00000001', kind: 'stale' };
  const html = page({ drifts: [ALARM, DRIFT, stale, { ...DRIFT, id: '00000002' }] });
  assert.match(html, /<h1>3 drifts and 1 alarm open<\/h1>/);
  assert.match(html, /<b>beijing ⇄ guangzhou<\/b> verified 2 s ago, 59,835 keys, 1 drift</);
  const places = ['<h2>Rooms', '<h2>missing <span class="count">2', '<h2>stale', '<h2>stuck'].map((text) => html.indexOf(text));
  assert.deepEqual(
    places,
    [...places].sort((a, b) => a - b),
  );
  assert.ok(!places.includes(-1));
});

test('everything of a record is on the page', () => {
  const html = page();
  const texts = [
    'unread:7',
    '1f3a5b7c',
    'wrong: guangzhou',
    'missed-apply',
    DRIFT.why,
    DRIFT.causeText,
    'college-17',
    '+1,031 ms',
    '4 s ago',
  ];
  const more = [
    'beijing/3@0f6a4c1e9b2d7a85:1042.17',
    '2026-11-22T20:15:44.123Z',
    'wmb repair 1f3a5b7c --apply',
    '00112233aabbccdd',
    '- nothing',
  ];
  for (const text of [...texts, ...more]) assert.ok(html.includes(escapeHtml(text)), text);
});

test('a drift that is closed proposes no command, and one of a kind that only a newer checker knows is shown all the same', () => {
  const html = page({
    drifts: [{ ...DRIFT, status: 'repaired', kind: 'new' as Drift['kind'], closedMs: STAMPED_MS, note: 'repaired by li@host' }],
  });
  assert.match(html, /<h1>0 drifts open<\/h1>/);
  assert.match(html, /<h2>new /);
  assert.match(html, /repaired by li@host/);
  assert.doesNotMatch(html, /wmb repair 1f3a5b7c --apply/);
});

test('moments that are none do not break the page', () => {
  const html = page({ drifts: [{ ...DRIFT, confirmedMs: Number.MAX_SAFE_INTEGER, firstSeenMs: -1 }], pairs: [] });
  assert.match(html, /There are no two rooms/);
});
