/** Two rooms with a Redis and a Kafka each: their write logs are in it, and the links between them run over either transport. */
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { type KafkaServer, startKafka } from '../../test/containers/kafka.ts';
import type { Rooms } from '../../test/harness/rooms.ts';
import type { Scene, SceneOptions } from '../scene.ts';
import { RealRooms } from './real-rooms.ts';
import { removeAll } from './servers.ts';

export type Transport = 'mq' | 'rpc';

const MAIN = new URL('../../cli/main.ts', import.meta.url).pathname;
/** The compiler that optimises, and the collector that Kafka asks for; half of the heap that it asks for, for the little that it holds. */
const JAVA = {
  KAFKA_HEAP_OPTS: '-Xms512m -Xmx512m',
  KAFKA_JVM_PERFORMANCE_OPTS: '-server -XX:+UseG1GC -XX:MaxGCPauseMillis=20 -XX:InitiatingHeapOccupancyPercent=35',
};

export class KafkaRooms {
  /** Beijing's and Guangzhou's. */
  readonly kafka: readonly [KafkaServer, KafkaServer];
  readonly #real: RealRooms;

  private constructor(kafka: readonly [KafkaServer, KafkaServer], real: RealRooms) {
    this.kafka = kafka;
    this.#real = real;
  }

  static async open(directory: string, transport: Transport): Promise<KafkaRooms> {
    const start = () => startKafka({ hostNetwork: true, environment: JAVA });
    const kafka = await Promise.all([start(), start()]);
    try {
      return new KafkaRooms(kafka, await RealRooms.open(directory, options(kafka, transport)));
    } catch (cause) {
      await removeAll(kafka);
      throw cause;
    }
  }

  get scene(): Scene {
    return this.#real.scene;
  }

  get servers() {
    return [...this.#real.redis, ...this.kafka];
  }

  async close(): Promise<void> {
    await this.#real.close();
    await removeAll(this.kafka);
  }
}

function options(kafka: readonly [KafkaServer, KafkaServer], transport: Transport): SceneOptions {
  const [beijing, guangzhou] = kafka.map(({ address }) => ({ brokers: [address] }));
  const own = (room: string) => ({ ...(room === 'beijing' ? beijing : guangzhou), replicas: 1 });
  const links = [
    { origin: 'beijing', peer: 'guangzhou', transport },
    { origin: 'guangzhou', peer: 'beijing', transport },
  ];
  return {
    direct: true,
    prepare,
    topologySettings: { links },
    roomSettings: (room) => ({
      log: { adapter: 'kafka', ...own(room) },
      inbox: own(room),
      peers: room === 'beijing' ? { guangzhou: { kafka: guangzhou } } : { beijing: { kafka: beijing } },
    }),
  };
}

/** The topics are made as a person makes them. */
async function prepare({ rooms }: Rooms): Promise<void> {
  for (const { configFile } of rooms) {
    for (const what of ['log', 'link']) {
      await promisify(execFile)(process.execPath, ['--disable-warning=ExperimentalWarning', MAIN, what, 'init', '--config', configFile]);
    }
  }
}
