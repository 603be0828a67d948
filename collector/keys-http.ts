/** `GET /v1/keys/KEY`: a key as an application of this room sees it, for people and for programs without a client of the cache. */
import type { FastifyInstance } from 'fastify';
import type { CacheEntry } from '../core/converge/effects.ts';
import { WmbError } from '../core/errors.ts';
import type { Runtime } from '../core/runtime.ts';
import type { CacheStore } from '../store/cache.ts';

export interface KeysRouteOptions {
  readonly cache: Pick<CacheStore, 'get'>;
  readonly runtime: Runtime;
}

/** The key is percent-encoded in the path. NOT_FOUND where nothing is visible under it. */
export function addKeysRoute(app: FastifyInstance, options: KeysRouteOptions): void {
  const { cache, runtime } = options;
  app.get<{ Params: { key: string } }>('/v1/keys/:key', async (request) => {
    const { key } = request.params;
    const entry = await cache.get(key, runtime.nowMs());
    if (entry === undefined) throw new WmbError('NOT_FOUND', `nothing is visible under the key “${key}” in this room`);
    return keyJson(entry);
  });
}

/** A hash is an object, a set an array of members, a sorted set an array of [member, score]. `expireAtMs` 0: no expiry. */
export function keyJson(entry: CacheEntry): { key: string; type: string; value: unknown; expireAtMs: number; version: string } {
  const { key, expireAtMs, version } = entry;
  return { key, type: entry.value.type, value: plain(entry.value), expireAtMs, version };
}

function plain(value: CacheEntry['value']): unknown {
  switch (value.type) {
    case 'string':
      return value.value;
    case 'hash':
      return Object.fromEntries(value.fields);
    default:
      return value.members;
  }
}
