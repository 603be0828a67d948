/** A dead peer: what the origin’s reship holds in memory while the backlog grows, and how fast the peer catches up. */
import { batchesOf, sendAll } from './load.ts';
import type { Row } from './report.ts';
import { Scene } from './scene.ts';

const BATCH_WRITES = 512;
const BATCHES_ON_THE_WAY = 12;
const SAMPLE_MS = 100;
const SETTLE_MS_MAX = 150_000;
const MIB = 1024 * 1024;
const TARGET_MIB = 300;

export async function measureBacklog(directory: string, count: number): Promise<Row[]> {
  const scene = await Scene.open(directory);
  const memory = new Memory(scene);
  try {
    const origin = scene.rooms.room(0);
    const peer = scene.rooms.room(1);
    await scene.settled(SETTLE_MS_MAX);
    await scene.rooms.end(peer, 'collector', 'SIGKILL');
    // Made while they are sent: a million of them at once would be the bench’s own memory.
    await sendAll(scene.load, batchesOf('early', count / 5, BATCH_WRITES), BATCHES_ON_THE_WAY);
    const earlyMiB = memory.peakMiB;
    await sendAll(scene.load, batchesOf('late', (count * 4) / 5, BATCH_WRITES), BATCHES_ON_THE_WAY);
    const grownMiB = memory.peakMiB;
    await scene.rooms.start(peer, 'collector');
    const startedMs = performance.now();
    await scene.settled(SETTLE_MS_MAX);
    const perSecond = (count / (performance.now() - startedMs)) * 1000;
    const shown = `${count.toLocaleString('en')} writes`;
    return [
      { what: `peak memory of ${origin.id}/reship, peer dead, after a fifth of ${shown}`, value: earlyMiB, unit: 'MiB' },
      {
        what: `peak memory of ${origin.id}/reship, peer dead, after ${shown}`,
        value: grownMiB,
        unit: 'MiB',
        target: { text: `< ${TARGET_MIB}`, met: grownMiB < TARGET_MIB },
      },
      {
        what: `peak memory of ${origin.id}/reship, while the peer catches up`,
        value: memory.peakMiB,
        unit: 'MiB',
        target: { text: `< ${TARGET_MIB}`, met: memory.peakMiB < TARGET_MIB },
      },
      { what: `catch-up of the peer with a backlog of ${shown}`, value: perSecond, unit: 'writes/s' },
    ];
  } finally {
    memory.stop();
    await scene.close();
  }
}

/** Peak resident memory of the origin’s reship since the scene began. */
class Memory {
  readonly #timer: NodeJS.Timeout;
  #peakBytes = 0;

  constructor(scene: Scene) {
    this.#timer = setInterval(() => {
      this.#peakBytes = Math.max(this.#peakBytes, scene.usage(scene.rooms.room(0), 'reship').residentBytes);
    }, SAMPLE_MS);
  }

  get peakMiB(): number {
    return this.#peakBytes / MIB;
  }

  stop(): void {
    clearInterval(this.#timer);
  }
}
