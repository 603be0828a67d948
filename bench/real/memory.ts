/** What every daemon holds in memory: with a backlog for a dead peer, while the peer catches up, and under load that goes on. */
import { openLoop } from '../latency.ts';
import { batchesOf, sendAll } from '../load.ts';
import type { Row } from '../report.ts';
import type { Scene } from '../scene.ts';
import { RealRooms } from './real-rooms.ts';

const BATCH_WRITES = 512;
const BATCHES_ON_THE_WAY = 12;
const LOAD_PER_SECOND = 3_000;
const SAMPLE_MS = 200;
const SETTLE_MS_MAX = 300_000;
const MIB = 1024 * 1024;
const TARGET_MIB = { must: 300, aim: 200 };
/** The second half of the load may peak so much above the first: what grows does not stop there. */
const FLAT = 1.1;

export interface MemoryScale {
  readonly backlog: number;
  readonly loadSeconds: number;
}

export async function measureMemory(directory: string, { backlog, loadSeconds }: MemoryScale): Promise<Row[]> {
  const real = await RealRooms.open(directory, { daemons: ['reship', 'collector', 'checker'] });
  const peaks = new Peaks(real.scene);
  try {
    const { rooms } = real.scene;
    await real.scene.settled(SETTLE_MS_MAX);
    await rooms.end(rooms.room(1), 'collector', 'SIGKILL');
    await sendAll(real.scene.load, batchesOf('backlog', backlog, BATCH_WRITES), BATCHES_ON_THE_WAY);
    const grown = peaks.take();
    await rooms.start(rooms.room(1), 'collector');
    await real.scene.settled(SETTLE_MS_MAX);
    const caughtUp = peaks.take();
    await openLoop(real.scene, LOAD_PER_SECOND, loadSeconds / 2);
    const half = peaks.take();
    await openLoop(real.scene, LOAD_PER_SECOND, loadSeconds / 2);
    const full = peaks.take();
    const shown = backlog.toLocaleString('en');
    return [
      ...rowsOf(`a backlog of ${shown}, peer dead`, grown),
      ...rowsOf(`the peer catching up with ${shown}`, caughtUp),
      ...rowsOf(`${loadSeconds} s at ${LOAD_PER_SECOND.toLocaleString('en')}/s`, full),
      ...growthRows(half, full),
    ];
  } finally {
    peaks.stop();
    await real.close();
  }
}

/** Peak resident memory of every daemon since it was last asked for, in MiB. */
class Peaks {
  readonly #timer: NodeJS.Timeout;
  #bytes = new Map<string, number>();

  constructor(scene: Scene) {
    this.#timer = setInterval(() => {
      for (const [name, { residentBytes }] of scene.usages()) this.#bytes.set(name, Math.max(this.#bytes.get(name) ?? 0, residentBytes));
    }, SAMPLE_MS);
  }

  take(): ReadonlyMap<string, number> {
    // Who is dead has none.
    const taken = new Map([...this.#bytes].filter(([, bytes]) => bytes > 0).map(([name, bytes]) => [name, bytes / MIB]));
    this.#bytes = new Map();
    return taken;
  }

  stop(): void {
    clearInterval(this.#timer);
  }
}

function rowsOf(when: string, peaks: ReadonlyMap<string, number>): Row[] {
  return [...peaks].map(([name, value]) => ({
    what: `peak memory of ${name}, ${when}`,
    value,
    unit: 'MiB',
    target: { text: `≤ ${TARGET_MIB.must}, aim ${TARGET_MIB.aim}`, met: value <= TARGET_MIB.must },
  }));
}

function growthRows(half: ReadonlyMap<string, number>, full: ReadonlyMap<string, number>): Row[] {
  return [...full].map(([name, value]) => {
    const ratio = value / (half.get(name) ?? value);
    return {
      what: `  ${name}: second half of the load to the first`,
      value: ratio,
      unit: 'ratio',
      target: { text: `≤ ${FLAT}`, met: ratio <= FLAT },
    };
  });
}
