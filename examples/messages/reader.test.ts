import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { describe, it } from 'node:test';
import { read, roomOfUser } from './reader.ts';

const fileOf = (name: string) => readFileSync(new URL(name, import.meta.url), 'utf8');

describe('the reader of the CollegeMsg format', () => {
  it('makes a write request of a line, with a request id that the line number gives', () => {
    const write = { requestId: 'college-2', kind: 'message', key: 'user:1', payload: { from: 1, to: 2, at: 1082040961 } };
    assert.deepEqual(read('1 2 1082040961', 2), write);
    assert.deepEqual(read('1\t2\t1082040961\r', 2), write);
  });

  it('passes over the header and blank lines', () => {
    assert.equal(read('src dst time', 1), undefined);
    assert.equal(read('', 7), undefined);
  });

  it('reads the first line of a file without a header', () => {
    assert.equal(read('1 2 3', 1)?.requestId, 'college-1');
  });

  it('names the line that is none', () => {
    assert.throws(() => read('1 2', 9), /line 9: “1 2” is not “src dst unixtime”/);
    assert.throws(() => read('src dst time', 9), /line 9/);
  });

  it('reads all 59,835 messages of CollegeMsg.txt', () => {
    const writes = fileOf('CollegeMsg.txt')
      .split('\n')
      .map((line, at) => read(line, at + 1))
      .filter((write) => write !== undefined);
    assert.equal(writes.length, 59_835);
    assert.equal(new Set(writes.map((write) => write.requestId)).size, 59_835);
  });

  it('made sample.ndjson of the first 200, with other request ids: who replays both gets no duplicates', () => {
    const sample = fileOf('sample.ndjson')
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line));
    const lines = fileOf('CollegeMsg.txt').split('\n').slice(0, 201);
    assert.deepEqual(
      sample,
      lines
        .map((line, at) => read(line, at + 1))
        .filter((write) => write !== undefined)
        .map((write) => ({ ...write, requestId: write.requestId.replace('college', 'sample') })),
    );
  });
});

describe('the room of a user', () => {
  it('follows the parity of the number with two rooms, and the remainder with more', () => {
    assert.deepEqual(
      [1, 2, 3, 4].map((user) => roomOfUser(user, 2)),
      [1, 0, 1, 0],
    );
    assert.deepEqual(
      [1, 2, 3, 4].map((user) => roomOfUser(user, 3)),
      [1, 2, 0, 1],
    );
  });
});
