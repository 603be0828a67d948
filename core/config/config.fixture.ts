/** A small correct configuration for tests, which they spoil in one place each. */
import type { ReadFile } from './load.ts';

export const TOPOLOGY = `epoch: 1
mode: independent
partitions: 8
rooms:
  - id: beijing
    number: 1
    database: master
    reship: { grpc: 10.0.0.1:7101, http: 10.0.0.1:7102 }
    collector: { grpc: 10.0.0.1:7103, http: 10.0.0.1:7104 }
  - id: guangzhou
    number: 2
    database: slave
    reship: { grpc: 10.0.0.2:7101, http: 10.0.0.2:7102 }
    collector: { grpc: 10.0.0.2:7103, http: 10.0.0.2:7104 }
kinds:
  message: { onFailure: park }
`;

export const ROOM = `topology: topology.yaml
room: beijing
directory: ./data/beijing
secret: { env: WMB_LINK_SECRET }
database: { schemaFile: ../messages/schema.sql }
processors:
  message: { module: ../messages/processor.ts }
`;

export const SECRET = 'correct horse battery staple';

/** Reads from `files` before the correct configuration; everything else is missing. */
export function filesOf(files: Readonly<Record<string, string>>): ReadFile {
  const all: Readonly<Record<string, string>> = {
    'conf/topology.yaml': TOPOLOGY,
    'conf/beijing.yaml': ROOM,
    'messages/schema.sql': '',
    'messages/processor.ts': '',
    ...files,
  };
  return (path) => {
    const text = all[path];
    if (text === undefined) throw Object.assign(new Error(`ENOENT: no such file or directory, open '${path}'`), { code: 'ENOENT' });
    return text;
  };
}
