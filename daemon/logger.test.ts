import assert from 'node:assert/strict';
import { test } from 'node:test';
import { formatLogLine } from './log-line.ts';
import { createLogger } from './logger.ts';

function capture(isTTY: boolean) {
  const lines: string[] = [];
  return { lines, output: { isTTY, write: (text: string) => lines.push(text) } };
}

test('without a terminal each event is one JSON line with level, time, name, fields and message', () => {
  const { lines, output } = capture(false);
  createLogger({ name: 'reship', level: 'info', fields: { room: 'beijing' }, output })
    .child({ peer: 'guangzhou' })
    .warn({ lagMs: 5 }, 'lagging');
  const { time, ...entry } = JSON.parse(lines[0] ?? '');
  assert.deepEqual(entry, { level: 'warn', name: 'reship', room: 'beijing', peer: 'guangzhou', lagMs: 5, msg: 'lagging' });
  assert.match(time, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/);
});

test('at a terminal each event is one readable line', () => {
  const { lines, output } = capture(true);
  createLogger({ name: 'reship', level: 'info', output }).warn({ peer: 'guangzhou', reason: 'two words' }, 'link stopped');
  assert.match(lines[0] ?? '', /^\d\d:\d\d:\d\d\.\d{3} warn {2}reship link stopped {2}peer=guangzhou reason="two words"\n$/);
});

test('events below the level are left out', () => {
  const { lines, output } = capture(false);
  createLogger({ name: 'reship', level: 'warn', output }).info({}, 'ready');
  assert.deepEqual(lines, []);
});

test('secrets and payloads are never written, not even inside an object', () => {
  const { lines, output } = capture(false);
  const logger = createLogger({ name: 'reship', level: 'info', output });
  logger.info({ secret: 'hunter2', hello: { proof: 'hunter2' }, config: { room: { secret: 'hunter2' } }, payload: 'hunter2' }, 'x');
  assert.doesNotMatch(lines[0] ?? '', /hunter2/);
  assert.match(lines[0] ?? '', /\[redacted\]/);
});

test('text that is no log line is shown as it is', () => {
  assert.equal(formatLogLine('plain text'), 'plain text');
  assert.equal(formatLogLine('{"half":'), '{"half":');
  assert.equal(formatLogLine('{"other":1}'), '{"other":1}');
});

test('an error in a log line is shown with its stack below', () => {
  const { lines, output } = capture(true);
  createLogger({ name: 'reship', level: 'info', output }).error({ err: new Error('broken') }, 'failed');
  assert.match(lines[0] ?? '', /ERROR reship failed\nError: broken\n\s+at /);
});
