/** What people ask of the servers of a cache, beside the daemons: prepare them, look at a key, see what it all weighs. Nothing of it changes a key. */
import type { Runtime } from '../../core/runtime.ts';
import { parseStamp, type Version } from '../../core/stamp.ts';
import type { RoomId } from '../../core/words.ts';
import type { CacheAdministration, CacheKeyView, CacheNodeFootprint } from '../administration.ts';
import { Connection, type RedisServer } from './connection.ts';
import { decodeElement, decodeExpiries, EXPIRIES_FIELD } from './elements.ts';
import { decodeHead } from './head.ts';
import { bucketKey, dataKey } from './layout.ts';
import { checkRoom, RedisNode } from './node.ts';
import { NodeReader } from './reader.ts';
import { checkServer } from './server.ts';
import { placeOf } from './spread.ts';
import type { StoredKey } from './stored-key.ts';

export interface RedisAdministrationOptions {
  readonly nodes: readonly RedisServer[];
  readonly room: RoomId;
  readonly runtime: Runtime;
}

/** Of a key’s own memory Redis looks at this many of its elements. */
const ELEMENTS_SAMPLED = '5';
const SCAN_COUNT = 256;

export class RedisAdministration implements CacheAdministration {
  readonly #options: RedisAdministrationOptions;

  constructor(options: RedisAdministrationOptions) {
    this.#options = options;
  }

  async *init(dryRun: boolean): AsyncIterable<string> {
    for (const server of this.#options.nodes) {
      yield* this.#withNode(server, async function* (connection, options) {
        const { product, policy } = await checkServer(connection);
        yield `${connection.place} is ${product}, maxmemory-policy ${policy}`;
        checkRoom(await new NodeReader(connection).identity(), options.room, connection.place);
        const kept = dryRun ? 'functions' : await connection.load();
        yield dryRun ? 'its functions would be loaded' : `its functions are loaded as ${kept}`;
        if (!dryRun) yield* markRoom(server, options);
      });
    }
  }

  async inspect(key: string): Promise<CacheKeyView> {
    const { nodes } = this.#options;
    const server = nodes[
      placeOf(
        key,
        nodes.map(({ address }) => address),
      )
    ] as RedisServer;
    for await (const stored of this.#withNode(server, async function* (connection, { room }) {
      const reader = new NodeReader(connection);
      checkRoom(await reader.identity(), room, connection.place);
      yield* await reader.loadWhole([key]);
    }))
      return viewOf(stored, server.address);
    throw new Error('a server that answers no key');
  }

  async footprint(keysMax: number): Promise<readonly CacheNodeFootprint[]> {
    const found: CacheNodeFootprint[] = [];
    for (const server of this.#options.nodes) {
      for await (const footprint of this.#withNode(server, async function* (connection, { room }) {
        checkRoom(await new NodeReader(connection).identity(), room, connection.place);
        yield await weigh(connection, server.address, keysMax);
      }))
        found.push(footprint);
    }
    return found;
  }

  async *#withNode<T>(
    server: RedisServer,
    task: (connection: Connection, options: RedisAdministrationOptions) => AsyncIterable<T>,
  ): AsyncIterable<T> {
    const connection = new Connection(server);
    await connection.open();
    try {
      yield* task(connection, this.#options);
    } finally {
      connection.close();
    }
  }
}

/** Opening it makes what is missing. */
async function* markRoom(server: RedisServer, { room, runtime }: RedisAdministrationOptions): AsyncIterable<string> {
  const node = new RedisNode({ server, room, runtime, shiftMs: 0 });
  await node.open();
  node.close();
  yield `it is marked as the cache of room ${room}`;
}

function viewOf({ key, head, fields, shown }: StoredKey, node: string): CacheKeyView {
  const times = decodeExpiries(fields.get(EXPIRIES_FIELD) ?? Buffer.alloc(0));
  const elements = [...fields].filter(([field]) => field.startsWith('e'));
  return {
    key,
    node,
    type: shown.type,
    elements: shown.type === 'string' ? 1 : shown.elements.size,
    expireAtMs: shown.expireAtMs,
    dataKey: dataKey(key),
    headKey: bucketKey(key),
    head: headText(head),
    versions: elements.map(([field, bytes]) => ({ name: field.slice(1), text: elementText(bytes) })),
    expiries: (times?.expiries ?? []).map(({ version, atMs }) => ({ version, atMs })),
  };
}

function headText(bytes: Buffer): string {
  if (bytes.length === 0) return 'none: WMB has not written this key';
  const head = decodeHead(bytes);
  if (head.kind === 'damaged') return `damaged: ${bytes.toString('hex')}`;
  if (head.kind === 'elements') return `${head.type} with elements, all up to ${versionText(head.kill)} void`;
  return head.kind === 'tombstone' ? `deleted by ${versionText(head.version)}` : `string set by ${versionText(head.version)}`;
}

function elementText(bytes: Buffer): string {
  const element = decodeElement(bytes);
  if (element === undefined) return `damaged: ${bytes.toString('hex')}`;
  const { register, increments } = element;
  const base =
    register === undefined
      ? ''
      : `${register.value === null && !element.isPlain ? 'removed' : 'written'} by ${versionText(register.version)}`;
  return [base, increments.length === 0 ? '' : `${increments.length} increments up to ${versionText(increments.at(-1)?.version ?? '')}`]
    .filter((text) => text !== '')
    .join(', ');
}

function versionText(version: Version): string {
  if (version === '') return 'nothing';
  const { ms, counter, writer } = parseStamp(version);
  return `${version} (${new Date(ms).toISOString()}, counter ${counter}, room number ${writer >>> 24}, lease ${writer & 0xffffff})`;
}

async function weigh(connection: Connection, node: string, keysMax: number): Promise<CacheNodeFootprint> {
  const reader = new NodeReader(connection);
  let [keys, dataBytes, heads, headBytes, elementBytes, cursor] = [0, 0, 0, 0, 0, '0'];
  do {
    const [next, names] = await reader.scan(cursor, { match: '*', count: SCAN_COUNT });
    cursor = next;
    const sizes = await Promise.all(names.map((name) => connection.command('MEMORY', 'USAGE', name, 'SAMPLES', ELEMENTS_SAMPLED)));
    for (const [index, name] of names.map(String).entries()) {
      const bytes = Number(sizes[index] ?? 0);
      if (/^wmb:[bl]:/.test(name)) {
        headBytes += bytes;
        heads += Number(await connection.command('HLEN', name));
      } else if (name.startsWith('wmb:e:')) elementBytes += bytes;
      else if (!name.startsWith('wmb:') || name.startsWith('wmb:=')) {
        keys += 1;
        dataBytes += bytes;
      }
    }
  } while (cursor !== '0' && keys + heads < keysMax);
  const each = (bytes: number, count: number) => (count === 0 ? 0 : Math.round(bytes / count));
  return {
    node,
    isSampled: cursor !== '0',
    keys,
    dataBytesPerKey: each(dataBytes, keys),
    headBytesPerKey: each(headBytes, heads),
    elementBytesPerKey: each(elementBytes, keys),
  };
}
