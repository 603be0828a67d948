/**
 * How fast one link carries frames: from a reship with a full log, through the proxy between the rooms, into a receiver that counts them and does nothing else, on
 * loopback and with a delay. Whoever applies what arrives is slower than the link, and would hide it.
 */
import { Receiver } from '../../collector/receive/receiver.ts';
import { loadConfig } from '../../core/config/load.ts';
import { silentLogger } from '../../core/logger.ts';
import { noMetrics } from '../../core/metrics.ts';
import { systemRuntime } from '../../core/runtime.ts';
import { rpcDialer } from '../../link/rpc/dialer.ts';
import { CountingConsumer, FakeBoard, FakeHints, MemoryStates } from '../../test/links/rig.ts';
import { batchesOf, sendAll } from '../load.ts';
import type { Row } from '../report.ts';
import { Scene } from '../scene.ts';
import { usageOf } from '../usage.ts';
import { median } from './timed.ts';

const BATCH_WRITES = 512;
const BATCHES_ON_THE_WAY = 12;
const ROUND_TRIP_MS = 80;
const MIB = 1024 * 1024;
const TARGET = { must: 0.8, aim: 0.95 };

export async function measureLink(directory: string, count: number, rounds: number): Promise<Row[]> {
  const scene = await Scene.open(directory);
  try {
    const { rooms } = scene;
    await rooms.end(rooms.room(1), 'collector', 'SIGTERM');
    await sendAll(scene.load, batchesOf('link', count, BATCH_WRITES), BATCHES_ON_THE_WAY);
    // The origin's own collector would take its share of the machine.
    await rooms.end(rooms.room(0), 'collector', 'SIGTERM');
    const near: Pulled[] = [];
    const far: Pulled[] = [];
    for (let round = 0; round < rounds; round += 1) {
      near.push(await pulled(scene, 0));
      far.push(await pulled(scene, ROUND_TRIP_MS));
    }
    const speed = (round: Pulled) => round.bytesPerSecond;
    return rowsOf(median(near, speed), median(far, speed), count);
  } finally {
    await scene.close();
  }
}

interface Pulled {
  readonly bytesPerSecond: number;
  /** Of the reship. */
  readonly originSeconds: number;
  /** Of this process: the receiver, and the proxy between. */
  readonly ownSeconds: number;
}

/** From the first frame to the last. */
async function pulled(scene: Scene, roundTripMs: number): Promise<Pulled> {
  const room = scene.rooms.room(0);
  room.proxy.delay(roundTripMs / 2);
  const counter = new Counter(await framesOf(scene));
  const receiver = receiverOf(scene, counter);
  const originSeconds = () => usageOf(scene.rooms.pid(room, 'reship')).cpuSeconds;
  const [originBefore, ownBefore] = [originSeconds(), process.cpuUsage()];
  await receiver.start();
  try {
    const bytesPerSecond = await counter.bytesPerSecond;
    const { user, system } = process.cpuUsage(ownBefore);
    return { bytesPerSecond, originSeconds: originSeconds() - originBefore, ownSeconds: (user + system) / 1e6 };
  } finally {
    await receiver.stop();
    room.proxy.delay(0);
  }
}

async function framesOf(scene: Scene): Promise<number> {
  const { logs } = await scene.origin.reshipStatus();
  const parts = logs.flatMap(({ log, partitions }) => (log === 'writes' ? partitions : []));
  return parts.reduce((sum, { next }) => sum + next, 0);
}

/** In the peer's place: the link is the peer's own, and only what stands behind it is another. */
function receiverOf(scene: Scene, counter: Counter): Receiver {
  const [origin, peer] = [scene.rooms.room(0), scene.rooms.room(1)];
  return new Receiver({
    config: loadConfig(peer.configFile),
    instance: 'bench',
    dialer: rpcDialer({ runtime: systemRuntime, answerMsMax: 10_000 }),
    consumers: ({ origin: from, log }) => (from === origin.id && log === 'writes' ? counter.lane() : new CountingConsumer()),
    acks: new FakeBoard(),
    hints: new FakeHints(),
    states: new MemoryStates(),
    runtime: systemRuntime,
    logger: silentLogger,
    metrics: noMetrics,
  });
}

class Counter {
  readonly #done = Promise.withResolvers<number>();
  readonly bytesPerSecond = this.#done.promise;
  #left: number;
  #bytes = 0;
  #firstMs: number | undefined;

  constructor(frames: number) {
    this.#left = frames;
  }

  /** A lane's consumer of its own. */
  lane(): CountingConsumer {
    const consumer = new CountingConsumer();
    consumer.gate = async (frames) => {
      this.#firstMs ??= performance.now();
      this.#left -= frames.length;
      for (const { bytes } of frames) this.#bytes += bytes.length;
      if (this.#left === 0) this.#done.resolve((this.#bytes / (performance.now() - this.#firstMs)) * 1_000);
    };
    return consumer;
  }
}

function rowsOf(near: Pulled, far: Pulled, count: number): Row[] {
  const ratio = far.bytesPerSecond / near.bytesPerSecond;
  const target = { text: `≥ ${TARGET.must}, aim ${TARGET.aim}`, met: ratio >= TARGET.must };
  return [
    ...usageRows('reference: the link on loopback', near, count),
    ...usageRows(`the link at a round trip of ${ROUND_TRIP_MS} ms`, far, count),
    { what: '  of the link on loopback', value: ratio, unit: 'ratio', target },
  ];
}

function usageRows(what: string, { bytesPerSecond, originSeconds, ownSeconds }: Pulled, count: number): Row[] {
  const micros = (seconds: number) => (seconds * 1e6) / count;
  return [
    { what, value: bytesPerSecond / MIB, unit: 'MiB/s' },
    { what: '  CPU of the reship', value: micros(originSeconds), unit: 'µs / write' },
    { what: '  CPU of the receiver, and of the proxy between', value: micros(ownSeconds), unit: 'µs / write' },
  ];
}
