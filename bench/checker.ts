/**
 * What the checker costs. Rounds and trees are measured over caches that are filled directly and compared in this process, because what a round asks for does not depend on
 * how the keys came there; its share of the processor beside full traffic, with daemons.
 */
import { cpSync, mkdtempSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { setTimeout as pause } from 'node:timers/promises';
import { KeyComparison } from '../consistency-checker/cache/comparison.ts';
import type { RoomView } from '../consistency-checker/room.ts';
import type { Topology } from '../core/config/types.ts';
import { systemRuntime } from '../core/runtime.ts';
import { CACHE_FILE } from '../store/embedded/cache.ts';
import type { Daemon } from '../test/harness/rooms.ts';
import { build, fill, keyOf } from './filled-room.ts';
import type { Row } from './report.ts';
import { Scene } from './scene.ts';
import { fullSpeed } from './throughput.ts';

const CLEAN_ROUNDS = 21;
const DRIFTED_KEYS = 100;
const GRACE_MS = 200;
const FOUND_MS_MAX = 60_000;
const VERIFIED_MS_MAX = 120_000;
/** What a checker’s reading may take of a processor. */
const SHARE = 0.05;
const TARGET_CORES = 0.1;
const TARGET_RATIO = 0.9;

const ADDRESSES = { grpc: '127.0.0.1:1', http: '127.0.0.1:2' };
const TOPOLOGY: Topology = {
  ...{ epoch: 1, mode: 'independent', partitions: 1, links: [], kinds: {} },
  rooms: ['beijing', 'guangzhou'].map((id, at) => ({ id, number: at + 1, database: 'none', reship: ADDRESSES, collector: ADDRESSES })),
  limits: { payloadBytesMax: 1_000, clockAheadMsMax: 5_000, duplicateWindowWrites: 100 },
};

export interface CheckerScale {
  /** Ascending. */
  readonly keys: readonly number[];
  readonly writes: number;
}

export async function measureChecker(directory: string, { keys, writes }: CheckerScale): Promise<Row[]> {
  return [...(await rounds(directory, keys)), ...(await besideTraffic(directory, writes))];
}

async function rounds(directory: string, sizes: readonly number[]): Promise<Row[]> {
  const own = mkdtempSync(join(directory, 'filled-'));
  const [mine, theirs] = [join(own, 'mine'), join(own, 'theirs')];
  const clean: Row[] = [];
  const building: Row[] = [];
  const drifted: Row[] = [];
  let [filled, leastBytes] = [0, 0];
  for (const size of sizes) {
    await fill(mine, filled, size);
    filled = size;
    const room = await build('beijing', mine);
    const { bytes, ms } = await cleanRound(room.view);
    leastBytes ||= bytes;
    const shown = size.toLocaleString('en');
    const target = { text: `≤ ${leastBytes}`, met: bytes <= leastBytes };
    clean.push({ what: `clean round over ${shown} keys, asked and answered`, value: bytes, unit: 'B', target });
    clean.push({ what: `clean round over ${shown} keys`, value: ms, unit: 'ms' });
    const cpuSeconds = room.buildCpuSeconds;
    building.push({ what: `first build of the digest tree over ${shown} keys, CPU`, value: cpuSeconds, unit: 's' });
    building.push({ what: '  so long it takes with 5 % of a core', value: cpuSeconds / SHARE, unit: 's' });
    await room.close();
    if (drifted.length > 0) continue;
    cpSync(mine, theirs, { recursive: true });
    drifted.push(...(await drift(mine, theirs, { size, cleanBytes: bytes })));
  }
  rmSync(own, { recursive: true, force: true });
  return [...clean, ...drifted, ...building];
}

/** Two rooms that hold the same: the question is one room's, and so is the answer. */
async function cleanRound(view: RoomView): Promise<{ readonly bytes: number; readonly ms: number }> {
  const comparison = comparisonOf(view, { ...view, room: 'guangzhou' });
  const found = [];
  for (let round = 0; round < CLEAN_ROUNDS; round += 1) found.push(await comparison.round());
  if (found.some(({ complete, suspects }) => !complete || suspects > 0)) throw new Error('a round over equal rooms found a difference');
  const times = found.map(({ ms }) => ms).sort((a, b) => a - b);
  return { bytes: Math.max(...found.map(({ bytes }) => bytes)), ms: times[Math.floor(CLEAN_ROUNDS / 2)] ?? 0 };
}

/** Bytes until a key that differs is confirmed, beyond those of clean rounds. */
async function drift(
  mine: string,
  theirs: string,
  { size, cleanBytes }: { readonly size: number; readonly cleanBytes: number },
): Promise<Row[]> {
  const database = new DatabaseSync(join(theirs, CACHE_FILE));
  const change = database.prepare("UPDATE keys SET value = 'drifted' WHERE key = ?");
  for (let n = 0; n < DRIFTED_KEYS; n += 1) change.run(keyOf(Math.floor((n * size) / DRIFTED_KEYS)));
  database.close();
  const rooms = [await build('beijing', mine), await build('guangzhou', theirs)] as const;
  const comparison = comparisonOf(rooms[0].view, rooms[1].view);
  let [bytes, confirmed] = [0, 0];
  for (const deadline = Date.now() + FOUND_MS_MAX; confirmed < DRIFTED_KEYS; ) {
    if (Date.now() > deadline) throw new Error(`${confirmed} of ${DRIFTED_KEYS} keys that differ were confirmed`);
    const round = await comparison.round();
    bytes += round.bytes - cleanBytes;
    confirmed += round.confirmed.length;
    await pause(GRACE_MS / 2);
  }
  for (const room of rooms) await room.close();
  return [
    {
      what: `per drifted key until it is confirmed (${DRIFTED_KEYS} of ${size.toLocaleString('en')})`,
      value: bytes / DRIFTED_KEYS,
      unit: 'B',
    },
  ];
}

function comparisonOf(mine: RoomView, theirs: RoomView): KeyComparison {
  return new KeyComparison({ mine, theirs, topology: TOPOLOGY, graceMs: GRACE_MS, runtime: systemRuntime });
}

/** The same load without checkers and with them, once each way round: a machine warms up, and others use it too. */
async function besideTraffic(directory: string, writes: number): Promise<Row[]> {
  const runs = [await traffic(directory, writes), await traffic(directory, writes, CHECKED)] as const;
  const again = [await traffic(directory, writes, { ...CHECKED, rests: true }), await traffic(directory, writes)] as const;
  const without = (runs[0].perSecond + again[1].perSecond) / 2;
  const beside = (runs[1].perSecond + again[0].perSecond) / 2;
  const cores = (runs[1].cores + again[0].cores) / 2;
  const ratio = beside / without;
  return [
    { what: 'applied in both, without checkers', value: without, unit: 'writes/s' },
    { what: 'applied in both, with checkers', value: beside, unit: 'writes/s' },
    {
      what: '  of what it is without them',
      value: ratio,
      unit: 'ratio',
      target: { text: `≥ ${TARGET_RATIO}`, met: ratio >= TARGET_RATIO },
    },
    {
      what: '  CPU of a checker meanwhile',
      value: cores,
      unit: 'cores',
      target: { text: `≤ ${TARGET_CORES}`, met: cores <= TARGET_CORES },
    },
    { what: '  round of the checkers at rest after it, receipts and keys', value: again[0].roundBytes, unit: 'B' },
    { what: '  round of the checkers at rest after it', value: again[0].roundMs, unit: 'ms' },
  ];
}

const CHECKED = { daemons: ['reship', 'collector', 'checker'] } as const;

/** `rests`: and waits until the checkers have read everything and are done. */
async function traffic(
  directory: string,
  writes: number,
  { daemons, rests = false }: { daemons?: readonly Daemon[]; rests?: boolean } = {},
) {
  const scene = await Scene.open(directory, { daemons });
  try {
    const measured = await fullSpeed(scene, writes);
    const seconds = [...measured.cpuSeconds].filter(([name]) => name.endsWith('/checker')).map(([, used]) => used);
    const cores = seconds.reduce((sum, used) => sum + used, 0) / (scene.rooms.rooms.length * measured.seconds);
    const rest = rests ? await scene.verified(VERIFIED_MS_MAX) : { roundBytes: 0, roundMs: 0 };
    return { perSecond: measured.appliedPerSecond, cores, ...rest };
  } finally {
    await scene.close();
  }
}
