/** What grpcurl does first: asks a server for its services, without knowing any proto but that of reflection itself. */
import { Client, credentials } from '@grpc/grpc-js';

/** ServerReflectionRequest with `list_services` (field 7) set to the empty string. */
const LIST_SERVICES = Buffer.from([0x3a, 0x00]);

/** Full names of the services of the server, as they stand in its answer. */
export async function listServices(address: string): Promise<string[]> {
  const client = new Client(address, credentials.createInsecure());
  const same = (bytes: Buffer) => bytes;
  const call = client.makeBidiStreamRequest('/grpc.reflection.v1.ServerReflection/ServerReflectionInfo', same, same);
  call.end(LIST_SERVICES);
  try {
    const answers: Buffer[] = [];
    for await (const answer of call) answers.push(answer as Buffer);
    return (
      Buffer.concat(answers)
        .toString('latin1')
        .match(/[a-z]\w*(\.\w+)+/g) ?? []
    );
  } finally {
    client.close();
  }
}
