/** The thread that checkpoints the WAL of one file, as often as it is told to. */
import { DatabaseSync } from 'node:sqlite';
import { parentPort, workerData } from 'node:worker_threads';

const db = new DatabaseSync(String(workerData));
const checkpoint = db.prepare('PRAGMA wal_checkpoint(PASSIVE)');

parentPort?.on('message', () => {
  try {
    checkpoint.get();
  } catch {
    // Whoever asked sees that nothing became less, and asks again later.
  }
  parentPort?.postMessage(undefined);
});
