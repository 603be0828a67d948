import assert from 'node:assert/strict';
import { test } from 'node:test';
import { systemRuntime } from '../../core/runtime.ts';
import type { LinkSession, Upward } from '../../link/link.ts';
import { Acks } from '../admit/acks.ts';
import { AckSender } from './ack-sender.ts';

const lane = { log: 'writes', origin: 'beijing', partition: 0, epoch: 'e' } as const;

test('a new session is told of each lane once, with the exceptions that no session has taken', () => {
  const acks = new Acks();
  const sender = new AckSender(acks, 'beijing', systemRuntime);
  acks.publish(lane, { seq: 0, parkedSeq: 0, from: 0 }, [{ seq: 0, index: 0, outcome: 'parked', reason: 'PROCESSOR_FAILED' }]);
  const sent: Upward[] = [];
  const session = { send: (message: Upward) => void sent.push(message) } as unknown as LinkSession;
  sender.attach(session);
  assert.deepEqual(
    sent.map((it) => it.type === 'ack' && [it.seq, it.exceptionsFrom, it.exceptions.length]),
    [[0, 0, 1]],
  );
  sender.detach();
  sender.attach(session);
  assert.deepEqual(
    sent.slice(1).map((it) => it.type === 'ack' && [it.seq, it.exceptionsFrom, it.exceptions.length]),
    [[0, 1, 0]],
    'the first session may have lost them',
  );
  sender.stop();
});
