/** The thread that writes: an fsync here keeps nobody else waiting. Its only connection to the world is the port. */
import type { DatabaseSync } from 'node:sqlite';
import { parentPort, workerData } from 'node:worker_threads';
import { execute, type Request, reply } from './commands.ts';
import { logError, openForWriting } from './sqlite.ts';

const file = String(workerData);
let db: DatabaseSync | undefined;

parentPort?.on('message', ({ id, command }: Request) => {
  parentPort?.postMessage(
    reply(id, () => {
      db ??= open();
      return execute(db, file, command);
    }),
  );
  // This thread makes little garbage of its own, so its collector would let the handed-over buffers pile up: they go at once.
  if (command.type === 'append') command.packed.bytes.buffer.transfer(0);
  if (command.type === 'close') parentPort?.close();
});

function open(): DatabaseSync {
  try {
    return openForWriting(file);
  } catch (cause) {
    throw logError(cause, file);
  }
}
