/** Copies a database in use, by another thread: a snapshot of many megabytes takes as long as writing them does. */
import { rmSync } from 'node:fs';
import { stat } from 'node:fs/promises';
import { extname } from 'node:path';
import { Worker } from 'node:worker_threads';

/** As it is at one moment between two transactions. Resolves with the copy's bytes. */
export async function copyDatabase(file: string, copy: string): Promise<number> {
  rmSync(copy, { force: true });
  // The same extension as this file's: .ts from source, .js from dist/.
  const worker = new Worker(new URL(`./copy-worker${extname(import.meta.url)}`, import.meta.url), { workerData: { file, copy } });
  await new Promise<void>((resolve, reject) => {
    worker.once('error', reject);
    worker.once('exit', () => resolve());
  });
  return (await stat(copy)).size;
}
