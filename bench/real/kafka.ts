/** Rooms whose write logs are in Kafka, over both transports: how many write requests a second are applied in both rooms' Redis, and how long one takes to be seen in the peer. */
import { type LatencyGoal, latencyRows, openLoop } from '../latency.ts';
import type { Row } from '../report.ts';
import { fullSpeed, type Measured } from '../throughput.ts';
import { framesOf, kafkajsRate } from './kafka-references.ts';
import { KafkaRooms, type Transport } from './kafka-rooms.ts';
import { LOAD, writesPerFrame } from './rooms.ts';
import { cpuSecondsOf } from './servers.ts';

const TARGETS = { mq: { must: 30_000, aim: 60_000 }, rpc: { must: 35_000, aim: 70_000 } };
const OF_REFERENCE = { must: 0.5, aim: 0.8 };
const LATENCY_GOAL: LatencyGoal = { rate: 10_000, p99: { text: '< 40, aim 20', msMax: 40 } };
const SERVERS = ['Redis 1', 'Redis 2', 'Kafka 1', 'Kafka 2'];

export async function measureKafkaRooms(directory: string, count: number): Promise<Row[]> {
  return [...(await throughput(directory, 'mq', count)), ...(await throughput(directory, 'rpc', count))];
}

export async function measureKafkaLatency(directory: string, rate: number, seconds: number): Promise<Row[]> {
  const rows: Row[] = [];
  for (const transport of ['mq', 'rpc'] as const) {
    const rooms = await KafkaRooms.open(directory, transport);
    try {
      // Java compiles for longer than V8: what it uses meanwhile counts for nothing.
      await openLoop(rooms.scene, rate, seconds);
      const goal = transport === 'mq' ? LATENCY_GOAL : undefined;
      const before = await cpuSecondsOf(rooms.servers);
      rows.push(...(await latencyRows(rooms.scene, { rates: [rate], seconds, goal, how: `, ${nameOf(transport)}` })));
      rows.push(...serverRows(await usedSince(rooms, before), rate * seconds));
    } finally {
      await rooms.close();
    }
  }
  return rows;
}

async function throughput(directory: string, transport: Transport, count: number): Promise<Row[]> {
  const rooms = await KafkaRooms.open(directory, transport);
  try {
    let cpuBefore: readonly number[] = [];
    const measured = await fullSpeed(rooms.scene, count, LOAD, async () => {
      cpuBefore = await cpuSecondsOf(rooms.servers);
    });
    const servers = await usedSince(rooms, cpuBefore);
    const frameWrites = await writesPerFrame(rooms.scene);
    const reference = transport === 'mq' ? await referenceOf(rooms, count) : undefined;
    return rowsOf(transport, measured, { count, servers, frameWrites, reference });
  } finally {
    await rooms.close();
  }
}

/** The better of two, after the run: its frames are what it carries. */
async function referenceOf({ kafka }: KafkaRooms, count: number): Promise<number> {
  const [log, inbox] = kafka;
  const frames = await framesOf(log, count);
  return Math.max(await kafkajsRate(inbox, frames), await kafkajsRate(inbox, frames));
}

async function usedSince(rooms: KafkaRooms, before: readonly number[]): Promise<readonly number[]> {
  return (await cpuSecondsOf(rooms.servers)).map((seconds, at) => seconds - (before[at] ?? 0));
}

interface Beside {
  readonly count: number;
  /** Processor seconds of each, in the order of SERVERS. */
  readonly servers: readonly number[];
  readonly frameWrites: number;
  readonly reference: number | undefined;
}

function rowsOf(transport: Transport, measured: Measured, { count, servers, frameWrites, reference }: Beside): Row[] {
  const { loggedPerSecond, appliedPerSecond, cpuSeconds } = measured;
  const { must, aim } = TARGETS[transport];
  const target = { text: `≥ ${must}, aim ${aim}`, met: appliedPerSecond >= must };
  const micros = (seconds: number) => (seconds * 1e6) / count;
  return [
    ...(reference === undefined
      ? []
      : [{ what: 'reference: kafkajs, the same frames and nothing else', value: reference, unit: 'writes/s' }]),
    { what: `submitted in one room, acked as logged, ${nameOf(transport)}`, value: loggedPerSecond, unit: 'writes/s' },
    {
      what: `submitted in one room, applied in both rooms’ Redis, ${nameOf(transport)}`,
      value: appliedPerSecond,
      unit: 'writes/s',
      target,
    },
    ...(reference === undefined ? [] : [ratioRow(appliedPerSecond / reference)]),
    { what: '  write requests in a frame', value: frameWrites, unit: 'on average' },
    ...[...cpuSeconds].map(([name, seconds]) => ({ what: `  CPU of ${name}`, value: micros(seconds), unit: 'µs / write' })),
    ...serverRows(servers, count),
  ];
}

function ratioRow(value: number): Row {
  const { must, aim } = OF_REFERENCE;
  return { what: '  of kafkajs', value, unit: 'ratio', target: { text: `≥ ${must}, aim ${aim}`, met: value >= must } };
}

function serverRows(servers: readonly number[], count: number): Row[] {
  return servers.map((seconds, at) => ({ what: `  CPU of ${SERVERS[at]}`, value: (seconds * 1e6) / count, unit: 'µs / write' }));
}

function nameOf(transport: Transport): string {
  return `log in Kafka, link over ${transport}`;
}
