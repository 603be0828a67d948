import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Server, ServerCredentials, type ServerUnaryCall, type sendUnaryData } from '@grpc/grpc-js';
import { systemRuntime } from '../core/runtime.ts';
import { type SubmitRequest, type SubmitResponse, WritesService } from '../proto/gen/wmb/v1/writes.ts';
import { freePorts } from '../test/harness/proxy.ts';
import type { CallTarget } from './calls-grpc.ts';
import { IntakeGrpc } from './collector-grpc.ts';

test('canaries go to another reship of the room where the first one does not answer', async (t) => {
  const taken: string[] = [];
  const [silent, ...ports] = (await freePorts(3)).map((port) => `127.0.0.1:${port}`) as [string, string, string];
  for (const address of ports) {
    const server = new Server();
    t.after(() => server.forceShutdown());
    const submit = ({ request }: ServerUnaryCall<SubmitRequest, SubmitResponse>, answer: sendUnaryData<SubmitResponse>) => {
      taken.push(...request.writes.map(({ key }) => `${address} ${key}`));
      answer(null, { results: [], batchId: 0 });
    };
    server.addService(WritesService, { submit, submitStream: () => {} });
    await new Promise((resolve) => server.bindAsync(address, ServerCredentials.createInsecure(), resolve));
  }
  const at = (address: string): CallTarget => ({
    ...{ who: 'reship of a', room: 'a', address, tls: undefined, runtime: systemRuntime, silence: 'UNREACHABLE' },
  });
  const intakes = [new IntakeGrpc([silent, ...ports].map(at)), new IntakeGrpc([at(silent)])] as const;
  t.after(() => intakes.map((intake) => intake.close()));
  await intakes[0].submitCanaries([{ key: 'one' }, { key: 'two' }]);
  assert.deepEqual(taken, [`${ports[0]} one`, `${ports[0]} two`]);
  await assert.rejects(intakes[1].submitCanaries([{ key: 'three' }]), { code: 'UNREACHABLE' });
});
