/**
 * The drift report as one HTML page that needs nothing else: no scripts, no fonts, no images, nothing from elsewhere. It is read on a phone, printed, mailed.
 * Every text of it that anybody could have chosen (keys, values, reasons) passes `escapeHtml`; the page's own policy forbids whatever would slip through.
 */
import { stampMs } from '../../core/stamp.ts';
import type { RoomId } from '../../core/words.ts';
import type { Drift, DriftSide, ElementDifference } from '../drift.ts';
import { hopsInOrder } from './hops.ts';
import { STYLE } from './html-style.ts';
import { causeText, KIND_ORDER, kindText } from './kinds.ts';
import { ago, isAlarm, type PairView, pairName, plural, verificationText } from './pair.ts';

export interface Report {
  /** Wall clock when it was made: what “4 s ago” is counted from. */
  readonly madeMs: number;
  readonly pairs: readonly PairView[];
  /** How slave rooms' databases on servers stand with the master's. */
  readonly databases: readonly { readonly room: RoomId; readonly text: string }[];
  readonly drifts: readonly Drift[];
  /** What the report is short of: a room that could not be asked, drifts beyond a limit. */
  readonly notes: readonly string[];
}

export function reportPage(report: Report): string {
  const { madeMs, pairs, databases, drifts, notes } = report;
  const open = drifts.filter(({ status }) => status === 'open');
  const title = headline(open);
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<title>${escapeHtml(title)} — WMB</title>
<style>${STYLE}</style>
</head>
<body>
<header>
<h1>${escapeHtml(title)}</h1>
<p class="quiet">Made ${time(madeMs)}. Ages are counted from then.</p>
</header>
<main>
<section>
<h2>Rooms</h2>
${pairs.length === 0 ? '<p>There are no two rooms whose checkers compare each other.</p>' : `<ul class="pairs">\n${pairs.map(pairItem).join('\n')}\n</ul>`}
${databases.length === 0 ? '' : `<ul class="pairs">\n${databases.map(databaseItem).join('\n')}\n</ul>`}
${notes.map((note) => `<p class="warn">${escapeHtml(note)}</p>`).join('\n')}
</section>
${groups(drifts)
  .map(([kind, some]) => group(kind, some, madeMs))
  .join('\n')}
</main>
</body>
</html>
`;
}

function headline(open: readonly Drift[]): string {
  const alarms = open.filter(isAlarm).length;
  const drifts = plural(open.length - alarms, 'drift');
  return alarms === 0 ? `${drifts} open` : `${drifts} and ${plural(alarms, 'alarm')} open`;
}

/** Whatever stands in a page as text or in an attribute. Control characters, which HTML cannot hold, are shown. */
export function escapeHtml(text: string): string {
  return text
    .replace(/&/g, '&amp;')
    .replace(/</g, '&lt;')
    .replace(/>/g, '&gt;')
    .replace(/"/g, '&quot;')
    .replace(/'/g, '&#39;')
    .replace(
      // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for
      /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u200e\u200f\u202a-\u202e\u2066-\u2069]/g,
      (control) => `\\x${control.charCodeAt(0).toString(16).padStart(2, '0')}`,
    );
}

function pairItem(pair: PairView): string {
  const state = pair.reason !== '' ? 'bad' : pair.drifts + pair.alarms > 0 ? 'warn' : 'good';
  return `<li class="${state}"><b>${escapeHtml(pairName(pair))}</b> ${escapeHtml(verificationText(pair))}</li>`;
}

function databaseItem({ room, text }: Report['databases'][number]): string {
  return `<li><b>database of ${escapeHtml(room)}</b> ${escapeHtml(text)}</li>`;
}

function groups(drifts: readonly Drift[]): readonly (readonly [kind: string, drifts: readonly Drift[]])[] {
  const rank = (kind: string) => (KIND_ORDER.includes(kind) ? KIND_ORDER.indexOf(kind) : KIND_ORDER.length);
  return [...Map.groupBy(drifts, ({ kind }) => kind)].sort(([a], [b]) => rank(a) - rank(b));
}

function group(kind: string, drifts: readonly Drift[], madeMs: number): string {
  const meaning = kindText(kind);
  return `<section>
<h2>${escapeHtml(kind)} <span class="count">${drifts.length}</span></h2>
${meaning === '' ? '' : `<p class="quiet">${escapeHtml(meaning)}</p>`}
${drifts.map((drift) => article(drift, madeMs)).join('\n')}
</section>`;
}

function article(drift: Drift, madeMs: number): string {
  const { id, level, subject, status, wrong, cause, confirmedMs } = drift;
  const where = isAlarm(drift) ? '' : `<span>wrong: ${escapeHtml(wrong || 'cannot be told')}</span>`;
  return (
    `<details id="drift-${escapeHtml(id)}">
<summary><span class="subject">${escapeHtml(subject.name)}</span>
<span class="tags"><span class="status ${status === 'open' ? 'bad' : 'good'}">${escapeHtml(status)}</span>${where}<span>${escapeHtml(cause)}</span>` +
    `<span class="quiet">${escapeHtml(ago(madeMs - confirmedMs))}</span><code>${escapeHtml(id)}</code><span class="quiet">${escapeHtml(level)}</span></span></summary>
${facts(drift)}
${sidesTable(drift)}
${elementsTable(drift)}
${writePart(drift)}
${repairPart(drift)}
</details>`
  );
}

function facts({ why, cause, causeText: text, firstSeenMs, confirmedMs, closedMs, note }: Drift): string {
  return definitions([
    ['why', escapeHtml(why)],
    ['cause', escapeHtml(`${cause}: ${text || causeText(cause)}`)],
    ['first seen', time(firstSeenMs)],
    ['confirmed', time(confirmedMs)],
    ['closed', time(closedMs)],
    ['note', escapeHtml(note)],
  ]);
}

/** `html` is markup already. Empty ones are left out. */
function definitions(list: readonly (readonly [name: string, html: string])[]): string {
  const told = list.filter(([, html]) => html !== '');
  return `<dl>${told.map(([name, html]) => `<div><dt>${escapeHtml(name)}</dt><dd>${html}</dd></div>`).join('')}</dl>`;
}

/** Empty for 0 and for what is no moment. */
function time(ms: number): string {
  const text = iso(ms);
  return text === '' ? '' : `<time datetime="${text}">${text}</time>`;
}

function iso(ms: number): string {
  return ms > 0 && ms < 8.64e15 ? new Date(ms).toISOString() : '';
}

function sidesTable({ sides, wrong, subject }: Drift): string {
  const head = sides.map(({ room }) => `<th>${escapeHtml(room)}${room === wrong ? ' <span class="bad">wrong</span>' : ''}</th>`).join('');
  const row = (name: string, html: (side: DriftSide) => string) =>
    `<tr><th>${escapeHtml(name)}</th>${sides.map((side) => `<td>${html(side) || '—'}</td>`).join('')}</tr>`;
  const rows = [row('shows', ({ shows }) => escapeHtml(shows))];
  if (subject.type === 'key' || subject.type === 'row')
    rows.push(
      row('written', ({ version }) => (version === '' ? '' : time(stampMs(version)))),
      row('version', ({ version }) => code(version)),
      row('hash', ({ hash }) => code(hash)),
    );
  if (subject.type === 'key')
    rows.push(
      row('bytes', ({ bytes, version }) => (version === '' && bytes === 0 ? '' : String(bytes))),
      row('expires', ({ expireAtMs, version }) => time(expireAtMs) || (version === '' ? '' : 'never')),
    );
  return `<div class="wide"><table><thead><tr><th></th>${head}</tr></thead><tbody>${rows.join('')}</tbody></table></div>`;
}

function code(text: string): string {
  return text === '' ? '' : `<code>${escapeHtml(text)}</code>`;
}

function elementsTable({ elements, sides, subject }: Drift): string {
  if (elements.length === 0) return '';
  const side = ({ versions, values }: ElementDifference, index: 0 | 1): string => {
    const value = values[index];
    if (subject.type === 'row') return `<td><code>${escapeHtml(value ?? '')}</code></td>`;
    if (versions[index] === '') return '<td class="quiet">not there</td>';
    return `<td>${value === null ? '<i>deleted</i>' : `<code>${escapeHtml(value)}</code>`}<br>${time(stampMs(versions[index]))}</td>`;
  };
  const rows = elements.map(
    (element) => `<tr><th>${escapeHtml(element.name || '(the key)')}</th>${side(element, 0)}${side(element, 1)}</tr>`,
  );
  const head = `<tr><th>${subject.type === 'row' ? 'column' : 'element'}</th>${sides.map(({ room }) => `<th>${escapeHtml(room)}</th>`).join('')}</tr>`;
  return `<div class="wide"><table><thead>${head}</thead><tbody>${rows.join('')}</tbody></table></div>`;
}

function writePart({ write }: Drift): string {
  if (write === undefined) return '';
  const { requestId, position, stamp, kind, key, hops } = write;
  const startMs = stamp === '' ? 0 : stampMs(stamp);
  const rows = hopsInOrder(hops).map(
    ({ room, what, atMs, detail }) =>
      `<tr><td>${time(atMs) || '—'}</td><td class="right">${after(atMs, startMs)}</td><td>${escapeHtml(room)}</td><td>${escapeHtml(what)}</td><td>${detail === stamp || detail === position ? '' : escapeHtml(detail)}</td></tr>`,
  );
  return `<h3>The write request behind it</h3>
${definitions([
  ['request', code(requestId)],
  ['position', code(position)],
  ['kind', escapeHtml(kind)],
  ['key', code(key)],
  ['stamp', code(stamp)],
])}
<div class="wide"><table><thead><tr><th>time</th><th class="right">after</th><th>room</th><th>what</th><th>detail</th></tr></thead><tbody>${rows.join('')}</tbody></table></div>`;
}

function after(atMs: number, startMs: number): string {
  if (atMs === 0 || startMs === 0) return '';
  return `${atMs < startMs ? '−' : '+'}${Math.abs(atMs - startMs).toLocaleString('en-US')} ms`;
}

function repairPart({ repair, status }: Drift): string {
  const { action, from, to, text, diff, command } = repair;
  const way = [from === '' ? '' : ` from ${from}`, to === '' ? '' : ` to ${to}`].join('');
  const lines = diff.map(
    (line) => `<span class="${line.startsWith('+') ? 'good' : line.startsWith('-') ? 'bad' : 'quiet'}">${escapeHtml(line)}</span>`,
  );
  return `<h3>Repair</h3>
<p><b>${escapeHtml(action)}</b>${escapeHtml(way)}${text === '' ? '' : `: ${escapeHtml(text)}`}</p>
${lines.length === 0 ? '' : `<pre class="diff">${lines.join('\n')}</pre>`}
${status === 'open' && command !== '' ? `<pre class="command">${escapeHtml(command)}</pre>` : ''}`;
}
