/** Two rooms whose logs keep next to nothing, and what the tests of a copied cache ask of them: the second one loses its cache. */
import assert from 'node:assert/strict';
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { after } from 'node:test';
import { credentials } from '@grpc/grpc-js';
import {
  CheckerClient,
  type CheckerStatus,
  type CompareProgress,
  type DriftReport,
  type ListDriftsResponse,
} from '../../proto/gen/wmb/v1/checker.ts';
import { Wait } from '../../proto/gen/wmb/v1/writes.ts';
import { unary } from '../harness/clients.ts';
import type { Daemon } from '../harness/rooms.ts';
import { cacheWrite, QUICK_LINK, Scene, until as untilWithin } from './scene.ts';

const WAIT_MS_MAX = 120_000;
const KEYS = 400;
const ROOMS = [0, 1];
const LOST = 1;

export function until<T>(what: string, probe: () => Promise<T | undefined | false>): Promise<T> {
  return untilWithin(what, probe, WAIT_MS_MAX);
}

export class CopyScene {
  readonly #scene: Scene;
  readonly #checkers: readonly CheckerClient[];
  #written = 0;

  private constructor(scene: Scene) {
    this.#scene = scene;
    this.#checkers = scene.rooms.rooms.map((room) => new CheckerClient(room.checker.grpc, credentials.createInsecure()));
    after(() => {
      for (const checker of this.#checkers) checker.close();
    });
  }

  static async open(mode: 'independent' | 'master-slave'): Promise<CopyScene> {
    const scene = await Scene.open({
      count: ROOMS.length,
      mode,
      partitions: 2,
      daemons: ['reship', 'collector', 'checker'],
      topologySettings: { limits: { duplicateWindowWrites: 8 } },
      roomSettings: {
        link: QUICK_LINK,
        checker: { roundMs: 200, graceMs: 500, sweepMs: 3_000, canaryMs: 200, silenceMsMax: 2_000 },
        log: { retention: { ageMsMin: 0 } },
      },
    });
    return new CopyScene(scene);
  }

  /** Writes in both rooms until `log` of the room has lost its beginning. */
  async writeUntilTrimmed(index: number, log: 'writes' | 'effects'): Promise<void> {
    for (let round = 0; round < 3; round += 1) for (const room of ROOMS) await this.#write(room, 300, Wait.WAIT_EVERYWHERE);
    await until(`the ${log} log of room ${index} is trimmed`, async () => {
      const text = await (await fetch(`http://${this.#scene.room(index).reship.http}/metrics`)).text();
      return Number(new RegExp(`^wmb_log_trimmed_bytes_total\\{[^}]*log="${log}"[^}]*\\} (\\d+)`, 'm').exec(text)?.[1] ?? 0) > 0;
    });
  }

  async loseCache(): Promise<void> {
    await this.#scene.rooms.end(this.#scene.room(LOST), 'collector', 'SIGKILL');
    rmSync(join(this.#scene.room(LOST).directory, 'cache'), { recursive: true });
    await this.#scene.rooms.start(this.#scene.room(LOST), 'collector');
  }

  restart(daemon: Daemon): Promise<unknown> {
    return this.#scene.restart(LOST, daemon, 'SIGKILL');
  }

  /** What the room that lost its cache says while one is copied. */
  copying(): Promise<CheckerStatus> {
    return until('a copy is under way', async () => {
      const found = await this.#status(LOST);
      return /^copying/.test(found.copy) && found;
    });
  }

  /** Under traffic. */
  async copied(): Promise<void> {
    let busy = true;
    const traffic = (async () => {
      while (busy) await this.writeBoth(10);
    })();
    await until('the copy is done', async () => (await this.#status(LOST)).copy === '');
    busy = false;
    await traffic;
  }

  async writeBoth(count: number, wait: Wait = Wait.WAIT_LOGGED): Promise<void> {
    for (const index of ROOMS) await this.#write(index, count, wait);
  }

  /** Both rooms show the same of all keys, each checker has verified it, and none has reported anything. */
  async isWhole(): Promise<void> {
    await this.writeBoth(1, Wait.WAIT_EVERYWHERE);
    const { compared } = await until('both rooms show the same', async () => {
      const found = await this.#compared();
      return found.different === 0 && found;
    });
    assert.ok(compared > KEYS, String(compared));
    for (const index of ROOMS)
      await until(`room ${index} is verified`, async () => {
        const [peer] = (await this.#status(index)).peers;
        return peer?.reason === '' && peer.open === 0;
      });
    for (const index of ROOMS) assert.deepEqual(await this.#drifts(index), []);
  }

  async #write(index: number, count: number, wait: Wait): Promise<void> {
    const writes = Array.from({ length: count }, () => {
      this.#written += 1;
      const n = this.#written;
      const key = `k${n % KEYS}`;
      const kinds = [
        [['SET', key, `v${n}`]],
        [['DEL', key]],
        [['HSET', `h${key}`, `f${n % 5}`, `v${n}`]],
        [['INCRBY', `n${key}`, n]],
        [['ZADD', `z${key}`, n, `m${n % 3}`]],
        [['SADD', `s${key}`, `m${n % 4}`]],
        [['SREM', `s${key}`, `m${(n + 1) % 4}`]],
      ];
      return cacheWrite(key, kinds[n % kinds.length] ?? []);
    });
    await this.#scene.submit(index, writes, wait);
  }

  #at(index: number): CheckerClient {
    const checker = this.#checkers[index];
    assert.ok(checker);
    return checker;
  }

  #status(index: number): Promise<CheckerStatus> {
    return unary((answer) => this.#at(index).getStatus({}, answer));
  }

  async #drifts(index: number): Promise<readonly DriftReport[]> {
    const found = await unary<ListDriftsResponse>((answer) => this.#at(index).listDrifts({ status: 'all', limit: 100, id: '' }, answer));
    return found.drifts.filter(({ kind }) => kind !== 'stuck');
  }

  async #compared(): Promise<CompareProgress> {
    const all: CompareProgress[] = [];
    for await (const step of this.#at(0).compare({ peer: this.#scene.room(LOST).id, prefix: '' })) all.push(step as CompareProgress);
    const last = all.at(-1);
    assert.ok(last?.done);
    return last;
  }
}
