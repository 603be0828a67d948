import { Server, ServerCredentials } from '@grpc/grpc-js';
import { silentLogger } from '../../core/logger.ts';
import { systemRuntime } from '../../core/runtime.ts';
import { linkContract } from '../link.contract.ts';
import type { LinkHost } from '../link.ts';
import { rpcDialer } from './dialer.ts';
import { addLinkService } from './service.ts';

export async function serveLink(host: LinkHost): Promise<{ address: string; close: () => Promise<void> }> {
  const server = new Server();
  addLinkService(server, host, { runtime: systemRuntime, logger: silentLogger, certificates: false });
  const port = await new Promise<number>((resolve, reject) => {
    server.bindAsync('127.0.0.1:0', ServerCredentials.createInsecure(), (error, bound) =>
      error === null ? resolve(bound) : reject(error),
    );
  });
  return { address: `127.0.0.1:${port}`, close: async () => server.forceShutdown() };
}

linkContract('rpc link', async (host) => {
  const served = await serveLink(host);
  return { ...served, dialer: rpcDialer({ runtime: systemRuntime }), nowhere: '127.0.0.1:1' };
});
