/** What grpcurl does first: asks a server for its services and their descriptors, without knowing any proto but that of reflection itself. */
import { fromBinary } from '@bufbuild/protobuf';
import { BinaryReader, BinaryWriter } from '@bufbuild/protobuf/wire';
import { type DescriptorProto, type FileDescriptorProto, FileDescriptorProtoSchema } from '@bufbuild/protobuf/wkt';
import { Client, credentials } from '@grpc/grpc-js';

/** Fields of ServerReflectionRequest. */
const FILE_CONTAINING_SYMBOL = 4;
const LIST_SERVICES = 7;
/** Fields of ServerReflectionResponse. */
const FILE_DESCRIPTOR_RESPONSE = 4;
const LIST_SERVICES_RESPONSE = 6;

/** Full names of the services of the server. */
export async function listServices(address: string): Promise<string[]> {
  const answer = await ask(address, LIST_SERVICES, '');
  return fieldsOf(answer, LIST_SERVICES_RESPONSE)
    .flatMap((list) => fieldsOf(list, 1))
    .flatMap((service) => fieldsOf(service, 1).map((name) => Buffer.from(name).toString()));
}

/** The file that holds the symbol and those that it imports; none where the server does not know the symbol. */
export async function describeSymbol(address: string, symbol: string): Promise<FileDescriptorProto[]> {
  const answer = await ask(address, FILE_CONTAINING_SYMBOL, symbol);
  return fieldsOf(answer, FILE_DESCRIPTOR_RESPONSE)
    .flatMap((response) => fieldsOf(response, 1))
    .map((file) => fromBinary(FileDescriptorProtoSchema, file));
}

/** Map entries that protobuf's own tools refuse, because they are not called after their field. */
export function misnamedMapEntries(file: FileDescriptorProto): string[] {
  return file.messageType.flatMap(misnamedIn);
}

function misnamedIn(message: DescriptorProto): string[] {
  const wanted = message.field.map(({ name }) => `${name.replace(/(?:^|_)([a-z])/g, (_, letter: string) => letter.toUpperCase())}Entry`);
  const entries = message.nestedType.filter(({ options }) => options?.mapEntry);
  const wrong = entries.filter(({ name }) => !wanted.includes(name)).map(({ name }) => `${message.name}.${name}`);
  return [...wrong, ...message.nestedType.flatMap(misnamedIn)];
}

async function ask(address: string, field: number, text: string): Promise<Uint8Array> {
  const client = new Client(address, credentials.createInsecure());
  const same = (bytes: Buffer) => bytes;
  const call = client.makeBidiStreamRequest('/grpc.reflection.v1.ServerReflection/ServerReflectionInfo', same, same);
  call.end(
    Buffer.from(
      new BinaryWriter()
        .uint32((field << 3) | 2)
        .string(text)
        .finish(),
    ),
  );
  try {
    for await (const answer of call) return answer as Buffer;
    throw new Error('reflection ended without an answer');
  } finally {
    client.close();
  }
}

/** All length-delimited fields of a message with that number. */
function fieldsOf(message: Uint8Array, number: number): Uint8Array[] {
  const reader = new BinaryReader(message);
  const found: Uint8Array[] = [];
  while (reader.pos < reader.len) {
    const [field, type] = reader.tag();
    if (field === number) found.push(reader.bytes());
    else reader.skip(type);
  }
  return found;
}
