import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { ProcessorInput, ProcessorOutput } from '../../collector/process/processor.ts';
import { compileCommands } from '../../core/converge/commands.ts';
import { processor } from './processor.ts';

const STAMP = '018bcfe568010000010000a1';

function run(payload: string): ProcessorOutput {
  const input: ProcessorInput = {
    requestId: 'm1',
    kind: 'message',
    key: 'user:1',
    payload: Buffer.from(payload),
    stamp: STAMP,
    stampMs: 1_700_000_000_001,
    trace: '',
    json: () => JSON.parse(payload),
  };
  return processor.kinds.message?.(input) as ProcessorOutput;
}

describe('the messages processor', () => {
  it('counts the message as unread, notes the contact on both sides, and puts it into the inbox and the table', () => {
    assert.deepEqual(run('{"from":1,"to":2,"at":1082040961}'), {
      cache: [
        ['HINCRBY', 'unread:2', 1, 1],
        ['HSET', 'last-contact:1', 2, 1082040961],
        ['HSET', 'last-contact:2', 1, 1082040961],
        ['SADD', 'contacts:1', 2],
        ['SADD', 'contacts:2', 1],
        ['WMB.TIMELINE', 'inbox:2', 50, 'm1'],
      ],
      database: [{ op: 'upsert', table: 'messages', key: { id: 'm1' }, values: { sender: 1, recipient: 2, sent_at: 1082040961 } }],
    });
  });

  it('uses only cache commands that converge', () => {
    const commands = (run('{"from":1,"to":2,"at":3}').cache ?? []).map((command) => command.map(String));
    assert.equal(compileCommands(commands, STAMP).length, 6);
  });

  it('says what is wrong with a poisoned payload', () => {
    const poisoned: readonly (readonly [string, RegExp])[] = [
      ['{"from":1,', /the payload of a message is not JSON/],
      ['[1,2,3]', /a message is an object like/],
      ['null', /a message is an object like/],
      ['{"to":2,"at":3}', /from must be the number of a user \(1 or more\), not undefined/],
      ['{"from":"1","to":2,"at":3}', /from must be the number of a user \(1 or more\), not "1"/],
      ['{"from":1,"to":0,"at":3}', /to must be the number of a user \(1 or more\), not 0/],
      ['{"from":1,"to":2,"at":3.5}', /at must be whole seconds since 1970, not 3.5/],
      ['{"from":1,"to":2,"at":-1}', /at must be whole seconds/],
      ['{"from":7,"to":7,"at":3}', /user 7 writes to themselves/],
    ];
    for (const [payload, reason] of poisoned) assert.throws(() => run(payload), reason, payload);
  });
});
