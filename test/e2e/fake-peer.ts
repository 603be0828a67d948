/** Peers that are not what they should be: bytes where a reship should be, and a link service that says what a test says. */
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { createServer, type Socket } from 'node:net';
import { credentials, Server, ServerCredentials } from '@grpc/grpc-js';
import { type Hello, LinkClient, type LinkError, LinkService, type SessionDown, type SessionUp } from '../../proto/gen/wmb/v1/link.ts';

export interface FakePeer {
  readonly close: () => Promise<void>;
}

/** Answers every connection with random bytes. */
export async function garbagePeer(address: string): Promise<FakePeer> {
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.on('error', () => {});
    socket.write(randomBytes(4_096));
  });
  server.listen(Number(address.split(':')[1]), '127.0.0.1');
  await once(server, 'listening');
  return {
    close: async () => {
      server.close();
      for (const socket of sockets) socket.destroy();
      await once(server, 'close');
    },
  };
}

/** Welcomes every session in another protocol version. */
export async function peerOfProtocol(address: string, room: string, protocol: number): Promise<FakePeer> {
  const server = new Server();
  server.addService(LinkService, {
    session: (call: { write(message: SessionDown): void }) => {
      const welcome = { protocol, room, topologyEpoch: 1, instance: 'fake', logs: [], sessionId: 'fake' };
      call.write({ message: { $case: 'welcome', value: welcome } });
    },
    frames: () => {},
  });
  await new Promise<void>((resolve, reject) => {
    server.bindAsync(address, ServerCredentials.createInsecure(), (error) => (error === null ? resolve() : reject(error)));
  });
  return { close: async () => server.forceShutdown() };
}

/** Dials a reship with this hello, and resolves with its refusal; undefined where it welcomes. */
export async function refusalOf(address: string, hello: Hello): Promise<LinkError | undefined> {
  const client = new LinkClient(address, credentials.createInsecure());
  const call = client.session();
  call.on('error', () => {});
  try {
    const up: SessionUp = { message: { $case: 'hello', value: hello } };
    call.write(up);
    for await (const down of call) {
      const { message } = down as SessionDown;
      return message?.$case === 'error' ? message.value : undefined;
    }
    throw new Error('the session ended without a word');
  } finally {
    call.cancel();
    client.close();
  }
}
