/** A process of its own for the fault tests: opens the log that its arguments name, says so, and appends until it is ended. */
import { systemRuntime } from '../../core/runtime.ts';
import { draftOf } from '../log.contract.ts';
import { kafkaAt, openLog } from './kafka-kit.ts';

const [address = '', origin = '', directory = ''] = process.argv.slice(2);
const place = { kafka: kafkaAt(address), log: 'writes', origin, partitions: 2, runtime: systemRuntime } as const;
const log = await openLog(place, { directory });
process.stdout.write(`open ${log.epoch}\n`);

/** Several appends at a time; each ack is told with the seq and the bytes that it was given for. */
await Promise.all(
  [0, 1, 0, 1].map(async (partition) => {
    for (;;) {
      const draft = draftOf(log, { partition, payloadBytes: 3_000 });
      const [seq] = await log.append([draft]);
      process.stdout.write(`ack ${partition} ${seq} ${Buffer.from(draft.bytes).toString('hex', draft.bytes.length - 16)}\n`);
    }
  }),
);
