/** What `cache` must fulfil beyond its schema: which keys go with which adapter, servers that differ, and a password that is there. */
import { collide, parseAddress } from './address.ts';
import type { RoomCheck } from './check-room.ts';
import { checkPasswordSet, checkTlsPair } from './check-server.ts';

const SERVER_ONLY = ['nodes', 'user', 'password', 'tls', 'database'] as const;

export function checkCacheAdapter(check: RoomCheck): void {
  const { room, has, report } = check;
  const { cache } = room;
  if (cache?.adapter === undefined) return;
  if (cache.adapter === 'embedded') {
    for (const key of SERVER_ONLY) {
      const path = ['cache', key];
      if (has(path)) report(path, 'is set for an embedded cache; allowed: only with adapter: redis', 'key');
    }
    return;
  }
  if (!has(['cache', 'nodes'])) {
    report(
      ['cache', 'nodes'],
      'is missing, and adapter: redis needs it; allowed: a list of servers, for example [{ address: 127.0.0.1:6379 }]',
    );
  }
  if (has(['cache', 'user']) && !has(['cache', 'password'])) {
    report(['cache', 'password'], 'is missing for the user; allowed: a mapping { env: NAME } that names an environment variable');
  }
  checkNodes(check);
  checkTlsPair(check, ['cache']);
  checkPasswordSet(check, ['cache', 'password'], cache.password);
}

/** Two nodes that are one would count every mark twice. */
function checkNodes({ room, report }: RoomCheck): void {
  const nodes = room.cache?.nodes ?? [];
  const seen: { readonly text: string; readonly index: number }[] = [];
  for (const [index, node] of nodes.entries()) {
    const text = node?.address;
    const own = text === undefined ? undefined : parseAddress(text);
    if (text === undefined || own === undefined) continue;
    const same = seen.find((other) => {
      const address = parseAddress(other.text);
      return address !== undefined && collide(own, address);
    });
    if (same !== undefined)
      report(['cache', 'nodes', index, 'address'], `is the same server as nodes[${same.index}]; allowed: each server once`);
    seen.push({ text, index });
  }
}
