import { systemRuntime } from '../../core/runtime.ts';
import { CONTRACT_PARTITIONS, logContract } from '../log.contract.ts';
import { MemoryLog, MemoryLogDisk } from './memory.ts';

logContract('memory log', async () => {
  let disk = new MemoryLogDisk();
  const open = async () => {
    const log = new MemoryLog({ disk, log: 'writes', origin: 'beijing', partitions: CONTRACT_PARTITIONS, runtime: systemRuntime });
    await log.open();
    return log;
  };
  let log = await open();
  const again = async () => {
    await log.close();
    log = await open();
    return log;
  };
  return {
    log,
    reader: open,
    reopen: again,
    remake: () => {
      disk = new MemoryLogDisk();
      return again();
    },
    dispose: () => log.close(),
  };
});
