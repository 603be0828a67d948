/** The thread that copies a database while another one writes into it. */
import { DatabaseSync } from 'node:sqlite';
import { workerData } from 'node:worker_threads';

const { file, copy } = workerData as { readonly file: string; readonly copy: string };
const db = new DatabaseSync(file, { readOnly: true });
db.prepare('VACUUM INTO ?').run(copy);
db.close();
