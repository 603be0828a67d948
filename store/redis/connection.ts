/**
 * One connection to one server. Calls go out in the order in which they are made and come back in it. A call whose connection is lost rejects and is not
 * sent again: whether it was carried out is read from the marks. The connection comes back by itself.
 */
import { readFileSync } from 'node:fs';
import { Redis } from 'ioredis';
import { parseAddress } from '../../core/config/address.ts';
import { WmbError } from '../../core/errors.ts';
import { isFunctionRefused, isNoFunction, isReplica, isTimeout, neverAnswered, silent, storeError } from './errors.ts';
import { type FunctionName, functionName, LIBRARY, SCRIPT } from './functions.ts';

const CONNECT_MS_MAX = 5_000;
const ANSWER_MS_MAX = 15_000;
const RECONNECT_MS_MIN = 50;
const RECONNECT_MS_MAX = 1_000;

export interface RedisServer {
  /** host:port */
  readonly address: string;
  readonly user: string | undefined;
  readonly password: string | undefined;
  readonly tls: { readonly caFile: string; readonly certFile: string | undefined; readonly keyFile: string | undefined } | undefined;
  /** Number of the logical database. */
  readonly database: number;
  /** A server that says nothing for so long is taken for gone: 15 s but for tests. */
  readonly answerMsMax?: number;
}

/** As the configuration of the room's cache has them. */
export function serversOf({
  nodes,
  ...all
}: Omit<RedisServer, 'address'> & { readonly nodes: readonly { readonly address: string }[] }): readonly RedisServer[] {
  const { user, password, tls, database } = all;
  return nodes.map(({ address }) => ({ address, user, password, tls, database }));
}

export class Connection {
  readonly place: string;
  readonly #client: Redis;
  readonly #answerMsMax: number;
  readonly #database: number;
  readonly #isTls: boolean;
  #hasAnswered = false;
  #failure: Error | undefined;
  /** Undefined: functions are used. */
  #scriptHash: string | undefined;

  constructor(server: RedisServer) {
    this.place = `the Redis server at ${server.address}`;
    this.#answerMsMax = server.answerMsMax ?? ANSWER_MS_MAX;
    this.#database = server.database;
    this.#isTls = server.tls !== undefined;
    this.#client = new Redis(optionsOf(server, this.#answerMsMax));
    this.#client.on('error', (error: Error) => {
      this.#failure = error;
    });
    this.#client.on('ready', () => {
      this.#failure = undefined;
    });
  }

  /** STORE_UNAVAILABLE, STORE_DENIED. Does not load the functions. */
  async open(): Promise<void> {
    try {
      await this.#client.connect();
      // The library selects it too, and works on number 0 where the server has no such one.
      if (this.#database !== 0) await this.#client.select(this.#database);
    } catch (cause) {
      this.close();
      throw this.#told(cause);
    }
  }

  close(): void {
    this.#client.disconnect();
  }

  /** An ordinary command; its answer with bytes as buffers. */
  async command(...args: [string, ...(string | Buffer)[]]): Promise<unknown> {
    try {
      const answer = await this.#client.callBuffer(...args);
      this.#hasAnswered = true;
      return answer;
    } catch (cause) {
      throw this.#failed(cause);
    }
  }

  /** Calls a function of functions.ts; loads it where the server does not have it. */
  async call(name: FunctionName, argument: string | Buffer): Promise<readonly unknown[]> {
    try {
      return (await this.#run(name, argument)) as readonly unknown[];
    } catch (cause) {
      if (!isNoFunction(cause)) throw this.#failed(cause);
    }
    await this.load();
    try {
      return (await this.#run(name, argument)) as readonly unknown[];
    } catch (cause) {
      throw this.#failed(cause);
    }
  }

  /** Says how the functions are kept. */
  async load(): Promise<'functions' | 'scripts'> {
    try {
      if (this.#scriptHash === undefined) return await this.#loadFunctions();
      this.#scriptHash = String(await this.#client.call('SCRIPT', 'LOAD', SCRIPT));
      return 'scripts';
    } catch (cause) {
      throw this.#failed(cause);
    }
  }

  async #loadFunctions(): Promise<'functions' | 'scripts'> {
    try {
      await this.#client.call('FUNCTION', 'LOAD', 'REPLACE', LIBRARY);
      return 'functions';
    } catch (cause) {
      if (!isFunctionRefused(cause)) throw cause;
      this.#scriptHash = String(await this.#client.call('SCRIPT', 'LOAD', SCRIPT));
      return 'scripts';
    }
  }

  #run(name: FunctionName, argument: string | Buffer): Promise<unknown> {
    if (this.#scriptHash === undefined) return this.#client.callBuffer('FCALL', functionName(name), '0', argument);
    return this.#client.callBuffer('EVALSHA', this.#scriptHash, '0', name, argument);
  }

  #failed(cause: unknown): WmbError {
    // The name may lead to another server by now.
    if (isReplica(cause) || isTimeout(cause)) this.#client.disconnect(true);
    if (isTimeout(cause)) return silent(this.place, this.#answerMsMax, cause);
    return this.#told(cause);
  }

  #told(cause: unknown): WmbError {
    const failure = this.#failure ?? cause;
    const early = this.#hasAnswered ? undefined : neverAnswered(this.place, failure, this.#isTls);
    return early ?? storeError(failure, this.place);
  }
}

function optionsOf({ address, user, password, tls, database }: RedisServer, answerMsMax: number) {
  const parsed = parseAddress(address);
  if (parsed === undefined) throw new WmbError('CONFIG_INVALID', `${address} is not host:port`);
  return {
    host: parsed.host,
    port: parsed.port,
    db: database,
    ...(user === undefined ? {} : { username: user }),
    ...(password === undefined ? {} : { password }),
    ...(tls === undefined ? {} : { tls: tlsOf(tls) }),
    protocol: 2 as const,
    lazyConnect: true,
    // The library would wait, without a word, for as long as a server loads its data; the server's own answer says it.
    enableReadyCheck: false,
    enableOfflineQueue: false,
    autoResendUnfulfilledCommands: false,
    maxRetriesPerRequest: 0,
    connectTimeout: CONNECT_MS_MAX,
    commandTimeout: answerMsMax,
    keepAlive: ANSWER_MS_MAX,
    retryStrategy: (times: number) => Math.min(RECONNECT_MS_MAX, RECONNECT_MS_MIN * 2 ** Math.min(times, 10)),
  };
}

function tlsOf({ caFile, certFile, keyFile }: NonNullable<RedisServer['tls']>) {
  return {
    ca: readFileSync(caFile),
    ...(certFile === undefined ? {} : { cert: readFileSync(certFile) }),
    ...(keyFile === undefined ? {} : { key: readFileSync(keyFile) }),
  };
}
