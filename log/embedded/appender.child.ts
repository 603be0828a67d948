/** A process of its own for the fault tests: opens the log that its arguments name, says so, and appends until it is ended. */

import { WmbError } from '../../core/errors.ts';
import { systemRuntime } from '../../core/runtime.ts';
import { draftOf } from '../log.contract.ts';
import { EmbeddedLog } from './embedded.ts';

const [directory = '', mode = 'append'] = process.argv.slice(2);
const log = new EmbeddedLog({ directory, log: 'writes', origin: 'beijing', partitions: 2, runtime: systemRuntime, tailBytesMax: 0 });

try {
  await log.open();
  process.stdout.write(`open ${log.epoch}\n`);
  if (mode === 'append') await appendForEver();
  else await log.close();
} catch (error) {
  if (!(error instanceof WmbError)) throw error;
  process.stdout.write(`failed ${error.code} ${error.message}\n`);
}

/** Several appends at a time; each ack is told with the seq and the bytes that it was given for. */
async function appendForEver(): Promise<void> {
  await Promise.all(
    [0, 1, 0, 1].map(async (partition) => {
      for (;;) {
        const draft = draftOf(log, { partition, payloadBytes: 3_000 });
        const [seq] = await log.append([draft]);
        process.stdout.write(`ack ${partition} ${seq} ${Buffer.from(draft.bytes).toString('hex', draft.bytes.length - 16)}\n`);
      }
    }),
  );
}
