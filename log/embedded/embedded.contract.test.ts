import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { systemRuntime } from '../../core/runtime.ts';
import { CONTRACT_PARTITIONS, logContract } from '../log.contract.ts';
import { EmbeddedLog, logFile } from './embedded.ts';
import { EmbeddedLogReader } from './reader.ts';

/** The suite holds whether frames come from the tail, from disk, or from both. */
for (const [name, tailBytesMax] of [
  ['embedded log', 1024 * 1024],
  ['embedded log without a tail', 0],
  ['embedded log with a short tail', 3_000],
] as const) {
  logContract(name, async () => {
    const directory = await mkdtemp(join(tmpdir(), 'wmb-log-'));
    const open = async () => {
      const log = new EmbeddedLog({
        directory,
        log: 'writes',
        origin: 'beijing',
        partitions: CONTRACT_PARTITIONS,
        runtime: systemRuntime,
        tailBytesMax,
      });
      await log.open();
      return log;
    };
    let log = await open();
    return {
      log,
      reader: async () => {
        const reader = new EmbeddedLogReader({ file: logFile(directory), log: 'writes', origin: 'beijing', runtime: systemRuntime });
        await reader.open();
        return reader;
      },
      reopen: async () => {
        await log.close();
        log = await open();
        return log;
      },
      remake: async () => {
        await log.close();
        await rm(directory, { recursive: true });
        log = await open();
        return log;
      },
      dispose: async () => {
        await log.close();
        await rm(directory, { recursive: true });
      },
    };
  });
}
