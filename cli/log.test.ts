import assert from 'node:assert/strict';
import { test } from 'node:test';
import { WmbError } from '../core/errors.ts';
import { toGrpcError } from '../daemon/grpc-errors.ts';
import { fakeRooms, wmb } from './testing.ts';

test('a log does not begin again under a reship that stands still for a moment', async (t) => {
  const late = (_call: unknown, answer: (error: unknown) => void) =>
    void setTimeout(() => answer(toGrpcError(new WmbError('DRAINING', 'it ends'))), 2_000);
  const rooms = await fakeRooms([{ reship: { getStatus: late } }]);
  t.after(() => rooms.stop());
  const { code, stderr } = await wmb(['log', 'init', '--new-epoch', '--config', rooms.configFile]);
  assert.equal(code, 2, stderr);
  assert.match(stderr, /the reship of beijing runs: what is acked while its log begins again would be lost/);
});
