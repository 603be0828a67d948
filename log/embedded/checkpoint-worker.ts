/** The thread that checkpoints the WAL of one file, as often as it is told to. */
import { statSync } from 'node:fs';
import { DatabaseSync } from 'node:sqlite';
import { parentPort, workerData } from 'node:worker_threads';

const { file, inode } = workerData as { readonly file: string; readonly inode: number | undefined };
const db = new DatabaseSync(file);
// Looked at when it is open: what lay there then lies there now, or this one is another.
if (inode !== undefined && statSync(file).ino !== inode) throw new Error(`another file came in the place of ${file}`);
const checkpoint = db.prepare('PRAGMA wal_checkpoint(PASSIVE)');

parentPort?.on('message', () => {
  try {
    checkpoint.get();
  } catch {
    // Whoever asked sees that nothing became less, and asks again later.
  }
  parentPort?.postMessage(undefined);
});
