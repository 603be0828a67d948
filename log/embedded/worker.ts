/** The thread that writes: an fsync here keeps nobody else waiting. Its only connection to the world is the port. */
import type { DatabaseSync } from 'node:sqlite';
import { parentPort, workerData } from 'node:worker_threads';
import { Checkpoints } from './checkpoints.ts';
import { execute, type Request, reply } from './commands.ts';
import { logError, openForWriting } from './sqlite.ts';

/** Length of the WAL at which a checkpoint begins. What is appended is fsynced already, so a checkpoint costs its pages once. */
const CHECKPOINT_PAGES = 4_096;

const file = String(workerData);
let db: DatabaseSync | undefined;
/** Of a thread that appends; one that only trims has little to checkpoint. */
let checkpoints: Checkpoints | undefined;

parentPort?.on('message', (request: Request) => void answer(request));

async function answer({ id, command }: Request): Promise<void> {
  if (command.type === 'close') await checkpoints?.close();
  parentPort?.postMessage(
    reply(id, () => {
      db ??= open();
      return execute(db, file, command);
    }),
  );
  if (command.type === 'append') appended(command.packed.bytes);
  if (command.type === 'close') parentPort?.close();
}

function appended(bytes: Uint8Array<ArrayBuffer>): void {
  // This thread makes little garbage of its own, so its collector would let the handed-over buffers pile up: they go at once.
  bytes.buffer.transfer(0);
  if (db === undefined) return;
  checkpoints ??= new Checkpoints({ db, file, pages: CHECKPOINT_PAGES });
  checkpoints.committed();
}

function open(): DatabaseSync {
  try {
    return openForWriting(file);
  } catch (cause) {
    throw logError(cause, file);
  }
}
