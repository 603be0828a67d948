/**
 * Rooms that have little in common: the logs of some are in Kafka and those of others in files, and some links are over mq, others over rpc. One broker is the
 * Kafka of all of them, as topics are named by room. Each of these is equal to the others after daemons died under traffic, and its counters are exact.
 */
import assert from 'node:assert/strict';
import { after } from 'node:test';
import { Kafka } from 'kafkajs';
import { type KafkaServer, startKafka } from '../containers/kafka.ts';
import type { Daemon } from '../harness/rooms.ts';
import { QUICK_LINK, Scene } from './scene.ts';
import { Traffic } from './traffic.ts';
import { QUICK_CHECKER, WatchedCheckers } from './watched-checkers.ts';

const PARTITIONS = 4;
/** Fifteen daemons, or nearly as many, share the machine. */
const TRAFFIC_PAUSE_MS = 100;
const FLOWING_WRITES = 60;
/** Topics of frames. Those of a log have its epoch in their name. */
const FRAMES = /^wmb\.(inbox\.\w+\.(?:writes|effects)$|log\.\w+\.(?:writes|effects)(?=\.[0-9a-f]{16}$))/;

export interface MixedOptions {
  readonly count: number;
  readonly mode: 'independent' | 'master-slave';
  /** Rooms with their logs in Kafka. */
  readonly logs: readonly string[];
  /** Links over mq, each `PEER ⇐ ORIGIN`; of one origin at most one, because they all go through one Kafka. */
  readonly mq: readonly string[];
  /** The checkers look on from the beginning; default: they are started when nothing more is submitted, which is less work for the machine. */
  readonly watched?: boolean;
}

export class MixedScene {
  readonly scene: Scene;
  readonly traffic: Traffic;
  readonly #kafka: KafkaServer;
  readonly #watched: boolean;
  readonly #checkers: WatchedCheckers;

  private constructor(scene: Scene, kafka: KafkaServer, watched: boolean) {
    this.scene = scene;
    this.#kafka = kafka;
    this.#watched = watched;
    this.#checkers = new WatchedCheckers(scene.clients);
    this.traffic = new Traffic(scene, 'mixed', { pauseMs: TRAFFIC_PAUSE_MS });
  }

  /** All daemons are ready, and write requests come into every room. It ends with the file's tests. */
  static async open(options: MixedOptions): Promise<MixedScene> {
    const kafka = await startKafka();
    after(() => kafka.remove());
    const { count, mode, logs, mq, watched = false } = options;
    const scene = await Scene.prepare({
      count,
      mode,
      partitions: PARTITIONS,
      cacheOnly: true,
      daemons: ['reship', 'collector', ...(watched ? (['checker'] as const) : [])],
      topologySettings: { links: mq.map((link) => ({ ...endsOf(link), transport: 'mq' })) },
      roomSettings: (room) => ({ link: QUICK_LINK, checker: QUICK_CHECKER, ...kafkaSettings(room, options, kafka.address) }),
    });
    const takers = new Set(mq.map((link) => endsOf(link).peer));
    for (const [index, { id }] of scene.rooms.rooms.entries()) {
      if (logs.includes(id)) await succeeds(scene, index, 'log', 'init');
      if (takers.has(id)) await succeeds(scene, index, 'link', 'init');
    }
    await scene.rooms.startAll();
    return new MixedScene(scene, kafka, watched);
  }

  /** Every link between two rooms, as `PEER ⇐ ORIGIN`, by its transport. */
  async links(): Promise<{ readonly mq: readonly string[]; readonly rpc: readonly string[] }> {
    const statuses = await Promise.all(this.scene.clients.map((client) => client.collectorStatus()));
    const links = statuses.flatMap(({ room, links: into }) =>
      into.filter(({ origin }) => origin !== room).map(({ origin, transport }) => ({ link: `${room} ⇐ ${origin}`, transport })),
    );
    const over = (wanted: string) => links.flatMap(({ link, transport }) => (transport === wanted ? [link] : [])).sort();
    return { mq: over('mq'), rpc: over('rpc') };
  }

  /** Logs and inboxes in Kafka that have had any frames: `log.ROOM.LOG`, `inbox.ORIGIN.LOG`. */
  async filled(): Promise<readonly string[]> {
    const admin = new Kafka(this.#kafka.client).admin();
    await admin.connect();
    try {
      const topics = (await admin.listTopics())
        .map((topic) => ({ topic, name: FRAMES.exec(topic)?.[1] }))
        .filter(({ name }) => name !== undefined);
      const names = topics.map(async ({ topic, name }) =>
        (await admin.fetchTopicOffsets(topic)).some(({ high }) => high !== '0') ? [`${name}`] : [],
      );
      return (await Promise.all(names)).flat().sort();
    } finally {
      await admin.disconnect();
    }
  }

  /** These daemons die at once in the middle of the traffic, and are started again. */
  async killed(...daemons: readonly (readonly [room: number, daemon: Daemon])[]): Promise<void> {
    await this.traffic.flows(FLOWING_WRITES);
    await Promise.all(daemons.map(([room, daemon]) => this.scene.restart(room, daemon, 'SIGKILL')));
  }

  async proves(): Promise<void> {
    await this.traffic.flows(FLOWING_WRITES);
    await this.traffic.proves(this.scene);
    assert.ok(this.traffic.retries > 0, 'a reship died while write requests came');
    const { rooms } = this.scene;
    if (!this.#watched) await Promise.all(rooms.rooms.map((room) => rooms.start(room, 'checker')));
    await this.#checkers.areSilent();
    // Before their server: daemons that stop have something to say to it.
    await rooms.stop();
  }
}

function endsOf(link: string): { readonly origin: string; readonly peer: string } {
  const [peer = '', origin = ''] = link.split(' ⇐ ');
  return { origin, peer };
}

function kafkaSettings(room: string, { logs, mq }: MixedOptions, broker: string): Readonly<Record<string, unknown>> {
  const brokers = [broker];
  const ends = mq.map(endsOf);
  const peers = ends.filter(({ origin }) => origin === room).map(({ peer }) => [peer, { kafka: { brokers } }]);
  return {
    ...(peers.length > 0 && { peers: Object.fromEntries(peers) }),
    ...(logs.includes(room)
      ? { log: { adapter: 'kafka', brokers, replicas: 1 } }
      : ends.some(({ peer }) => peer === room) && { inbox: { brokers, replicas: 1 } }),
  };
}

async function succeeds(scene: Scene, room: number, ...args: string[]): Promise<void> {
  const { code, stdout, stderr } = await scene.wmb(room, ...args);
  assert.equal(code, 0, `wmb ${args.join(' ')}: ${stdout}${stderr}`);
}
