/**
 * `npm run bench`: what WMB does on this machine, with real daemons in processes of their own, beside what the machine does with the same data
 * and none of WMB. Ratios are what carries over from machine to machine, and only within one run.
 *
 *     npm run bench [-- --quick] [--only throughput,latency,backlog,checker] [--json]
 *     npm run bench -- --real [--quick] [--only apply,rooms,latency,link,database,memory,sweep,sizing,kafka-rooms,kafka-latency,shares,receipts] [--minutes 10] [--json]
 *
 * `--real`: on servers in containers, which needs a Docker engine. `--minutes`: how long `memory` keeps its load up.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { availableParallelism, tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { measureBacklog } from './backlog.ts';
import { measureChecker } from './checker.ts';
import { measureLatency } from './latency.ts';
import { measureApply } from './real/apply.ts';
import { measureDatabase } from './real/database.ts';
import { measureKafkaLatency, measureKafkaRooms } from './real/kafka.ts';
import { measureRealLatency } from './real/latency.ts';
import { measureLink } from './real/link.ts';
import { measureMemory } from './real/memory.ts';
import { measureReceipts } from './real/receipts.ts';
import { measureRooms } from './real/rooms.ts';
import { removedCpuSeconds } from './real/servers.ts';
import { measureShares } from './real/shares.ts';
import { measureSizing } from './real/sizing.ts';
import { measureSweep } from './real/sweep.ts';
import { type Row, table } from './report.ts';
import { measureThroughput } from './throughput.ts';
import { Others } from './usage.ts';

const { values: options } = parseArgs({
  options: {
    quick: { type: 'boolean', default: false },
    real: { type: 'boolean', default: false },
    only: { type: 'string' },
    minutes: { type: 'string', default: '2' },
    json: { type: 'boolean', default: false },
  },
});

type Measure = (directory: string) => Promise<Row[]>;

const FULL: Readonly<Record<string, Measure>> = {
  // First: what others leave to be written to the disk would be in its way.
  latency: (directory) => measureLatency(directory, [1_000, 5_000], 30),
  throughput: (directory) => measureThroughput(directory, 200_000),
  backlog: (directory) => measureBacklog(directory, 1_000_000),
  checker: (directory) => measureChecker(directory, { keys: [10_000, 100_000, 1_000_000], writes: 40_000 }),
};
/** Shows that everything runs; its numbers mean nothing. */
const QUICK: Readonly<Record<string, Measure>> = {
  latency: (directory) => measureLatency(directory, [100], 1),
  throughput: (directory) => measureThroughput(directory, 2_000),
  backlog: (directory) => measureBacklog(directory, 2_000),
  checker: (directory) => measureChecker(directory, { keys: [200, 1_000], writes: 1_000 }),
};

const REAL: Readonly<Record<string, Measure>> = {
  apply: () => measureApply(204_800, 5),
  rooms: (directory) => measureRooms(directory, 800_000),
  latency: (directory) => measureRealLatency(directory, [5_000, 15_000], 30),
  link: (directory) => measureLink(directory, 1_000_000, 3),
  database: () => measureDatabase(51_200, 3),
  memory: (directory) => measureMemory(directory, { backlog: 1_000_000, loadSeconds: 60 * Number(options.minutes) }),
  sweep: () => measureSweep({ keys: [100_000, 1_000_000], seconds: 60 }),
  sizing: (directory) => measureSizing(directory, { keys: 100_000, writes: 200_000, seconds: 20 }),
  'kafka-rooms': (directory) => measureKafkaRooms(directory, 800_000),
  'kafka-latency': (directory) => measureKafkaLatency(directory, 10_000, 30),
  shares: (directory) => measureShares(directory, 300_000),
  receipts: (directory) => measureReceipts(directory),
};
const QUICK_REAL: Readonly<Record<string, Measure>> = {
  apply: () => measureApply(2_048, 1),
  rooms: (directory) => measureRooms(directory, 2_000),
  latency: (directory) => measureRealLatency(directory, [100], 1),
  link: (directory) => measureLink(directory, 2_000, 1),
  database: () => measureDatabase(2_048, 1),
  memory: (directory) => measureMemory(directory, { backlog: 2_000, loadSeconds: 2 }),
  sweep: () => measureSweep({ keys: [1_000], seconds: 1 }),
  sizing: (directory) => measureSizing(directory, { keys: 1_000, writes: 2_048, seconds: 1 }),
  'kafka-rooms': (directory) => measureKafkaRooms(directory, 2_048),
  'kafka-latency': (directory) => measureKafkaLatency(directory, 100, 1),
  shares: (directory) => measureShares(directory, 2_048, 1_000),
  receipts: (directory) => measureReceipts(directory, 64),
};

const sets = options.real ? { full: REAL, quick: QUICK_REAL } : { full: FULL, quick: QUICK };
const measures = options.quick ? sets.quick : sets.full;
const directory = mkdtempSync(join(tmpdir(), 'wmb-bench-'));
try {
  const rows: Row[] = [];
  for (const name of options.only?.split(',') ?? Object.keys(measures)) {
    const measure = measures[name];
    if (measure === undefined) throw new Error(`--only names ${name}; there are ${Object.keys(measures).join(', ')}`);
    const others = new Others(removedCpuSeconds);
    rows.push(...(await measure(directory)));
    rows.push({ what: `  other processes meanwhile (${name})`, value: others.cores(), unit: 'cores' });
  }
  if (options.json) process.stdout.write(`${JSON.stringify(rows)}\n`);
  else
    process.stdout.write(`Node ${process.version}, ${availableParallelism()} cores, every process on the same machine\n\n${table(rows)}\n`);
} finally {
  rmSync(directory, { recursive: true, force: true });
}
