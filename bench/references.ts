/** What the machine can do with the same data and none of WMB: the denominators of the bench's ratios. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { Client, credentials, Server, ServerCredentials, type ServerWritableStream } from '@grpc/grpc-js';
import { encodeFrame } from '../link/frame.ts';
import { stamped, Writes } from './load.ts';

const TRANSACTION_WRITES = 512;
const FRAME_WRITES = 256;
const FRAMES_PATH = '/bench.Reference/Frames';
const OPTIONS = { 'grpc.max_receive_message_length': -1, 'grpc-node.flow_control_window': 16 * 1024 * 1024 };

/** Writes per second of conditional upserts by text key, as the embedded cache must at least do, with its journal and fsync settings. */
export function sqliteRate(directory: string, count: number): number {
  const rows = stamped(new Writes('sqlite').batch(count), 0).map(
    ({ key, stamp, payload }) => [key, `${stamp}0000`, payload.toString()] as const,
  );
  const db = new DatabaseSync(join(directory, `reference-${performance.now()}.db`));
  db.exec('PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL');
  db.exec('CREATE TABLE kv (key TEXT NOT NULL PRIMARY KEY, version TEXT NOT NULL, value TEXT) WITHOUT ROWID');
  const upsert = db.prepare(
    'INSERT INTO kv VALUES (?, ?, ?) ON CONFLICT (key) DO UPDATE SET version = excluded.version, value = excluded.value WHERE excluded.version > version',
  );
  const startedMs = performance.now();
  for (let from = 0; from < rows.length; from += TRANSACTION_WRITES) {
    db.exec('BEGIN');
    for (const row of rows.slice(from, from + TRANSACTION_WRITES)) upsert.run(...row);
    db.exec('COMMIT');
  }
  const rate = (count / (performance.now() - startedMs)) * 1000;
  db.close();
  return rate;
}

/** Writes per second of the same write requests as frames over one gRPC stream, from a process of its own to this one. */
export async function grpcRate(count: number): Promise<number> {
  const child = spawn(process.execPath, ['--disable-warning=ExperimentalWarning', import.meta.filename, String(count)], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  try {
    return await pull(await addressOf(child), count);
  } finally {
    child.kill();
  }
}

async function addressOf(child: ChildProcess): Promise<string> {
  const [line] = (await once(child.stdout as NonNullable<ChildProcess['stdout']>, 'data')) as [Buffer];
  return `127.0.0.1:${line.toString().trim()}`;
}

async function pull(address: string, count: number): Promise<number> {
  const client = new Client(address, credentials.createInsecure(), OPTIONS);
  const pass = (bytes: Buffer) => bytes;
  await new Promise<void>((resolve, reject) => client.waitForReady(Date.now() + 10_000, (error) => (error ? reject(error) : resolve())));
  const startedMs = performance.now();
  const call = client.makeServerStreamRequest(FRAMES_PATH, pass, pass, Buffer.alloc(0));
  call.resume();
  await once(call, 'end');
  const rate = (count / (performance.now() - startedMs)) * 1000;
  client.close();
  return rate;
}

/** The serving process of `grpcRate`: makes the frames first, then prints its port. */
async function serve(count: number): Promise<void> {
  const frames = framesOf(count);
  const server = new Server(OPTIONS);
  const pass = (bytes: Buffer) => bytes;
  const method = {
    path: FRAMES_PATH,
    requestStream: false,
    responseStream: true,
    requestSerialize: pass,
    requestDeserialize: pass,
    responseSerialize: pass,
    responseDeserialize: pass,
  };
  server.addService(
    { frames: method },
    {
      frames: async (call: ServerWritableStream<Buffer, Buffer>) => {
        for (const frame of frames) if (!call.write(frame)) await once(call, 'drain');
        call.end();
      },
    },
  );
  server.bindAsync('127.0.0.1:0', ServerCredentials.createInsecure(), (_error, port) => process.stdout.write(`${port}\n`));
}

function framesOf(count: number): Buffer[] {
  const writes = new Writes('grpc');
  const lane = { log: 'writes', origin: 'beijing', partition: 0, epoch: '0123456789abcdef' } as const;
  const frames: Buffer[] = [];
  for (let from = 0; from < count; from += FRAME_WRITES)
    frames.push(encodeFrame(lane, stamped(writes.batch(Math.min(FRAME_WRITES, count - from)), from)));
  return frames;
}

if (process.argv[1] === import.meta.filename) await serve(Number(process.argv[2]));
