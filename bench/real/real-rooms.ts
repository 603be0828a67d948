/** Two rooms of real daemons, each with a Redis of its own in a container. */
import { type RedisServer, startRedis } from '../../test/containers/redis.ts';
import { Scene, type SceneOptions } from '../scene.ts';
import { removeAll } from './servers.ts';

export class RealRooms {
  readonly redis: readonly RedisServer[];
  #scene: Scene;
  readonly #directory: string;
  readonly #options: SceneOptions;

  private constructor(redis: readonly RedisServer[], scene: Scene, how: { readonly directory: string; readonly options: SceneOptions }) {
    this.redis = redis;
    this.#scene = scene;
    this.#directory = how.directory;
    this.#options = how.options;
  }

  static async open(directory: string, options: SceneOptions = {}): Promise<RealRooms> {
    const redis = await Promise.all([startRedis({ hostNetwork: true }), startRedis({ hostNetwork: true })]);
    try {
      return new RealRooms(redis, await Scene.open(directory, withRedis(redis, options)), { directory, options });
    } catch (cause) {
      await removeAll(redis);
      throw cause;
    }
  }

  get scene(): Scene {
    return this.#scene;
  }

  /** Both servers without data, and new rooms on them. */
  async emptied(): Promise<void> {
    await this.#scene.close();
    await Promise.all(this.redis.map((server) => server.cli('FLUSHALL')));
    this.#scene = await Scene.open(this.#directory, withRedis(this.redis, this.#options));
  }

  async close(): Promise<void> {
    await this.#scene.close();
    await removeAll(this.redis);
  }
}

function withRedis(redis: readonly RedisServer[], options: SceneOptions): SceneOptions {
  const { roomSettings } = options;
  const settings = (room: string) => {
    const address = redis[room === 'beijing' ? 0 : 1]?.address;
    const more = typeof roomSettings === 'function' ? roomSettings(room) : roomSettings;
    return { ...more, cache: { adapter: 'redis', nodes: [{ address }] } };
  };
  return { ...options, roomSettings: settings };
}
