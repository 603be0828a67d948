/** A peer room as the checker sees it: all through that room's checker. Its answers are checked (peer-wire.ts) before anything is concluded from them. */
import type { Config } from '../core/config/types.ts';
import { asWmbError, WmbError } from '../core/errors.ts';
import type { DerivedWrite, FrameReceipts, Horizon, SeqRange } from '../core/inspection.ts';
import { cacheLanes } from '../core/topology.ts';
import type { RoomId, StampedWrite } from '../core/words.ts';
import { rangeToWire, writeToWire } from '../daemon/inspection-wire.ts';
import * as wire from '../proto/gen/wmb/v1/checker.ts';
import type {
  CachePlacesResponse,
  DeriveResponse,
  DigestReceiptsResponse,
  HorizonResponse,
  ReceiptsResponse,
} from '../proto/gen/wmb/v1/inspection.ts';
import type { EntryDigest } from '../store/inspection.ts';
import { Calls, type CallTarget, type StartCall } from './calls-grpc.ts';
import { type HelloOptions, type PeerMethod, peerHello } from './peer-hello.ts';
import { PEER_LIMITS } from './peer-limits.ts';
import {
  derivedOf,
  digestsFromWire,
  entriesFromWire,
  foundFromWire,
  horizonOf,
  keysFromWire,
  nodesFromWire,
  placesOf,
  queryToWire,
  receiptsOfRange,
  statesFromWire,
} from './peer-wire.ts';
import type { CachePlaces, CopySide, FoundWrite, NodeDigests, RoomView, StateAnswer, WriteQuery } from './room.ts';

export interface RemoteRoomOptions extends HelloOptions {
  readonly room: RoomId;
  readonly target: CallTarget;
}

/** Buckets that a room surely reads within the deadline although it is held back to its share of work. */
const BUCKETS_HELD_BACK = 16;

export class RemoteRoom implements RoomView, CopySide {
  readonly room: RoomId;
  readonly #options: RemoteRoomOptions;
  readonly #config: Config;
  readonly #calls: Calls<wire.PeerClient>;

  constructor(options: RemoteRoomOptions) {
    this.room = options.room;
    this.#options = options;
    this.#config = options.config;
    this.#calls = new Calls(wire.PeerClient, options.target);
  }

  async horizon(): Promise<Horizon> {
    const { topology } = this.#config;
    const known = { rooms: topology.rooms.map(({ id }) => id), partitions: topology.partitions };
    const request = { hello: this.#hello('getHorizon') };
    return this.#ask<HorizonResponse, Horizon>(
      (client, ...call) => client.getHorizon(request, ...call),
      (answer) => horizonOf(answer, known),
    );
  }

  async nodes({ level, parents }: { readonly level: number; readonly parents: readonly number[] }): Promise<NodeDigests> {
    const request = { hello: this.#hello('getNodes'), level, parents: [...parents] };
    return this.#ask<wire.GetNodesResponse, NodeDigests>(
      (client, ...call) => client.getNodes(request, ...call),
      (answer) => nodesFromWire(answer, parents),
    );
  }

  entries(buckets: readonly number[], urgent = false): Promise<readonly (readonly EntryDigest[])[]> {
    return inChunks(buckets, urgent ? PEER_LIMITS.buckets : BUCKETS_HELD_BACK, (chunk) => {
      const request = { hello: this.#hello('getEntries'), buckets: [...chunk], urgent };
      return this.#ask<wire.GetEntriesResponse, readonly (readonly EntryDigest[])[]>(
        (client, ...call) => client.getEntries(request, ...call),
        (answer) => entriesFromWire(answer, chunk),
      );
    });
  }

  states(keys: readonly string[]): Promise<readonly StateAnswer[]> {
    return inChunks(keys, PEER_LIMITS.keys, (chunk) => {
      const request = { hello: this.#hello('getStates'), keys: [...chunk] };
      return this.#ask<wire.GetStatesResponse, readonly StateAnswer[]>(
        (client, ...call) => client.getStates(request, ...call),
        (answer) => statesFromWire(answer, chunk),
      );
    });
  }

  async cachePlaces(): Promise<CachePlaces> {
    const asked = { room: this.room, lanes: cacheLanes(this.#config.topology) };
    const request = { hello: this.#hello('getCachePlaces') };
    return this.#ask<CachePlacesResponse, CachePlaces>(
      (client, ...call) => client.getCachePlaces(request, ...call),
      (answer) => placesOf(answer, asked),
    );
  }

  keys(buckets: readonly number[]): Promise<readonly (readonly string[])[]> {
    return inChunks(buckets, PEER_LIMITS.buckets, (chunk) => {
      const request = { hello: this.#hello('listKeys'), buckets: [...chunk] };
      return this.#ask<wire.ListKeysResponse, readonly (readonly string[])[]>(
        (client, ...call) => client.listKeys(request, ...call),
        (answer) => keysFromWire(answer, chunk),
      );
    });
  }

  receiptDigests(ranges: readonly SeqRange[]): Promise<readonly string[]> {
    return inChunks(ranges, PEER_LIMITS.ranges, (chunk) => {
      const request = { hello: this.#hello('digestReceipts'), ranges: chunk.map(rangeToWire) };
      return this.#ask<DigestReceiptsResponse, readonly string[]>(
        (client, ...call) => client.digestReceipts(request, ...call),
        (answer) => digestsFromWire(answer, chunk),
      );
    });
  }

  async receipts(range: SeqRange): Promise<readonly FrameReceipts[]> {
    const request = { hello: this.#hello('getReceipts'), range: rangeToWire(range) };
    return this.#ask<ReceiptsResponse, readonly FrameReceipts[]>(
      (client, ...call) => client.getReceipts(request, ...call),
      (answer) => receiptsOfRange(answer, range),
    );
  }

  async findWrites(query: WriteQuery): Promise<readonly FoundWrite[]> {
    if (query.by === 'stamp') return inChunks(query.stamps, PEER_LIMITS.writes, (stamps) => this.#find({ by: 'stamp', stamps }));
    if (query.by === 'position')
      return inChunks(query.positions, PEER_LIMITS.writes, (positions) => this.#find({ by: 'position', positions }));
    return this.#find({ ...query, limitMs: Math.min(query.limitMs, PEER_LIMITS.searchMs) });
  }

  derive(writes: readonly StampedWrite[]): Promise<readonly DerivedWrite[]> {
    return inChunks(writes, PEER_LIMITS.writes, (chunk) => {
      const request = { hello: this.#hello('derive'), writes: chunk.map(writeToWire) };
      return this.#ask<DeriveResponse, readonly DerivedWrite[]>(
        (client, ...call) => client.derive(request, ...call),
        (answer) => derivedOf(answer, chunk),
      );
    });
  }

  close(): void {
    this.#calls.close();
  }

  #find(query: WriteQuery): Promise<readonly FoundWrite[]> {
    const request = { hello: this.#hello('findWrites'), ...queryToWire(query) };
    return this.#ask<wire.FindWritesResponse, readonly FoundWrite[]>(
      (client, ...call) => client.findWrites(request, ...call),
      (answer) => foundFromWire(answer, query, this.room),
    );
  }

  #hello(method: PeerMethod): wire.PeerHello {
    return peerHello(this.#options, this.room, method);
  }

  async #ask<Answer, T>(start: StartCall<wire.PeerClient, Answer>, check: (answer: Answer) => T): Promise<T> {
    const answer = await this.#calls.unary(start);
    try {
      return check(answer);
    } catch (cause) {
      throw this.#calls.garbage(asWmbError(cause).message);
    }
  }
}

/** What does not fit into one message is asked for in smaller parts. */
async function inChunks<Q, A>(
  questions: readonly Q[],
  countMax: number,
  ask: (chunk: readonly Q[]) => Promise<readonly A[]>,
): Promise<readonly A[]> {
  const answers: A[] = [];
  for (let at = 0; at < questions.length; at += countMax) {
    const chunk = questions.slice(at, at + countMax);
    answers.push(...(await askOrSplit(chunk, ask)));
  }
  return answers;
}

async function askOrSplit<Q, A>(chunk: readonly Q[], ask: (chunk: readonly Q[]) => Promise<readonly A[]>): Promise<readonly A[]> {
  try {
    return await ask(chunk);
  } catch (cause) {
    if (!(cause instanceof WmbError) || cause.code !== 'WRITE_TOO_LARGE' || chunk.length === 1) throw cause;
    const half = Math.ceil(chunk.length / 2);
    return inChunks(chunk, half, ask);
  }
}
