/**
 * Where several collectors work in a room, each answers for the whole room (docs/adr/0013): what is asked of it, it asks those that have the shares, itself among them, and puts the answers
 * together. Between the collectors a question names its share.
 */
import { type handleUnaryCall, Metadata, type ServerUnaryCall, type ServiceError, type UntypedServiceImplementation } from '@grpc/grpc-js';
import type { Config } from '../../core/config/types.ts';
import { asWmbError, WmbError } from '../../core/errors.ts';
import { type Runtime, sleep } from '../../core/runtime.ts';
import { partitionsOf, shareOf } from '../../core/share.ts';
import { leastStamp } from '../../core/stamp.ts';
import { parsePosition } from '../../core/words.ts';
import { fromGrpcError, toGrpcError } from '../../daemon/grpc-errors.ts';
import { readTls } from '../../daemon/tls.ts';
import { dialerCredentials } from '../../link/rpc/channel.ts';
import {
  CollectorClient,
  type CollectorServer,
  type CollectorStatus,
  type LinkStatus,
  type ListParkedRequest,
  type ListParkedResponse,
  type ParkedResult,
  type ParkedSelection,
  type SetLinkResponse,
  type SetTransportResponse,
  type SkipGapResponse,
} from '../../proto/gen/wmb/v1/admin.ts';
import {
  type CachePlacesResponse,
  type DigestReceiptsRequest,
  type HorizonResponse,
  InspectionClient,
  type InspectionServer,
  type SeqRange,
  type TakeOverRequest,
} from '../../proto/gen/wmb/v1/inspection.ts';
import type { Fellow } from '../receipts/share-registry.ts';
import type { ShareKeeper } from './keeper.ts';
import type { WiredShare } from './wired-share.ts';

const SHARE = 'wmb-share';
const CALL_MS_MAX = 5_000;
const CHANNEL = {
  'grpc.max_receive_message_length': 32 * 1024 * 1024,
  'grpc.max_send_message_length': 32 * 1024 * 1024,
  // One that was away for a moment is asked again soon.
  'grpc.initial_reconnect_backoff_ms': 100,
  'grpc.min_reconnect_backoff_ms': 100,
  'grpc.max_reconnect_backoff_ms': 1_000,
  'grpc.enable_retries': 0,
};
const LIST_DEFAULT = 100;
const MOVING_MS_MAX = 3_000;
const AGAIN_MS = 100;

type Kind = 'admin' | 'inspection';
type Handler = handleUnaryCall<unknown, unknown>;
type Start = (
  request: unknown,
  metadata: Metadata,
  options: object,
  answer: (error: ServiceError | null, response: unknown) => void,
) => void;

export interface RoomVoicesOptions {
  readonly config: Config;
  readonly keeper: ShareKeeper<WiredShare>;
  readonly count: number;
  readonly runtime: Runtime;
}

export class RoomVoices {
  readonly #options: RoomVoicesOptions;
  readonly #shares: readonly number[];
  readonly #clients = new Map<string, Readonly<Record<Kind, CollectorClient | InspectionClient>>>();

  constructor(options: RoomVoicesOptions) {
    this.#options = options;
    this.#shares = Array.from({ length: options.count }, (_, share) => share);
  }

  close(): void {
    for (const { admin, inspection } of this.#clients.values()) for (const client of [admin, inspection]) client.close();
  }

  /** A share's work that is with this collector, for what is the same in all. UNREACHABLE where it has none. */
  anyHere(): WiredShare {
    const [work] = this.#options.keeper.working.values();
    if (work !== undefined) return work;
    throw new WmbError('UNREACHABLE', 'this collector has no share of the room at the moment; ask another one');
  }

  collector(): CollectorServer {
    const all = <T>(method: string, request: unknown) => this.#all<T>('admin', method, request);
    const each = {
      getStatus: async (request: unknown) => this.#status(await all<CollectorStatus>('getStatus', request)),
      getKeys: (request: unknown) => this.#any('admin', 'getKeys', request),
      listParked: (request: unknown) => this.#listParked(request as ListParkedRequest),
      retryParked: (request: unknown) => this.#parked('retryParked', request as ParkedSelection),
      discardParked: (request: unknown) => this.#parked('discardParked', request as ParkedSelection),
      setLink: async (request: unknown) => ({ lanes: (await all<SetLinkResponse>('setLink', request)).flatMap(({ lanes }) => lanes) }),
      setTransport: async (request: unknown) => (await all<SetTransportResponse>('setTransport', request))[0],
      skipGap: (request: unknown) => this.#skipGap(request),
    };
    const scanKeys: CollectorServer['scanKeys'] = (call) => {
      try {
        this.anyHere().admin.scanKeys(call);
      } catch (cause) {
        call.destroy(toGrpcError(cause));
      }
    };
    return { ...this.#handlers('admin', each), scanKeys } as unknown as CollectorServer;
  }

  inspection(): InspectionServer {
    const any = (method: string) => (request: unknown) => this.#any('inspection', method, request);
    const each = {
      takeDirty: any('takeDirty'),
      derive: any('derive'),
      repairKeys: any('repairKeys'),
      getHorizon: async () => {
        const answers = await this.#all<HorizonResponse>('inspection', 'getHorizon', {});
        return { nowMs: answers[0]?.nowMs ?? 0, lanes: answers.flatMap(({ lanes }) => lanes) };
      },
      digestReceipts: (request: unknown) => this.#digests(request as DigestReceiptsRequest),
      getReceipts: (request: unknown) =>
        this.#ask(shareOf((request as SeqRange).partition, this.#options.count), 'inspection', 'getReceipts', request),
      getCachePlaces: () => this.#places(),
      takeOver: (request: unknown) => this.#takeOver(request as TakeOverRequest),
    };
    return this.#handlers('inspection', each) as unknown as InspectionServer;
  }

  /** A question that names its share is answered by what works on it here; any other one for the room. */
  #handlers(kind: Kind, each: Readonly<Record<string, (request: unknown) => Promise<unknown>>>): UntypedServiceImplementation {
    const handlers = Object.entries(each).map(([method, answer]): [string, Handler] => [
      method,
      (call, callback) => {
        const [share] = call.metadata.get(SHARE);
        const answered = share === undefined ? answer(call.request) : this.#here(Number(share), kind, method, call.request);
        answered.then(
          (response) => callback(null, response),
          (cause: unknown) => callback(toGrpcError(cause)),
        );
      },
    ]);
    return Object.fromEntries(handlers);
  }

  async #here(share: number, kind: Kind, method: string, request: unknown): Promise<unknown> {
    const work = this.#options.keeper.demand(share);
    const handler = work[kind][method] as Handler;
    return new Promise((resolve, reject) => {
      handler({ request, metadata: new Metadata() } as ServerUnaryCall<unknown, unknown>, (error, response) => {
        if (error === null || error === undefined) resolve(response);
        else reject(fromGrpcError(error, 'this collector'));
      });
    });
  }

  /** A share that moves is with somebody in a moment. */
  async #ask(share: number, kind: Kind, method: string, request: unknown): Promise<unknown> {
    const { runtime } = this.#options;
    const untilMs = runtime.monotonicMs() + MOVING_MS_MAX;
    for (;;) {
      try {
        return await this.#askNow(share, kind, method, request);
      } catch (cause) {
        const { code } = asWmbError(cause);
        if ((code !== 'UNREACHABLE' && code !== 'DRAINING') || runtime.monotonicMs() > untilMs) throw cause;
      }
      await sleep(runtime, AGAIN_MS);
    }
  }

  #askNow(share: number, kind: Kind, method: string, request: unknown): Promise<unknown> {
    const { keeper } = this.#options;
    if (keeper.working.has(share)) return this.#here(share, kind, method, request);
    const owner = keeper.ownerOf(share);
    if (owner !== undefined) return this.#there(owner, share, kind, method, request);
    return Promise.reject(
      keeper.whyFree(share) ?? new WmbError('UNREACHABLE', `share ${share} of the room has no collector at the moment`),
    );
  }

  #there(owner: Fellow, share: number, kind: Kind, method: string, request: unknown): Promise<unknown> {
    const client = this.#clientOf(owner)[kind];
    const start = (client as unknown as Record<string, Start>)[method] as Start;
    const metadata = new Metadata();
    metadata.set(SHARE, String(share));
    const deadline = this.#options.runtime.nowMs() + CALL_MS_MAX;
    return new Promise((resolve, reject) => {
      start.call(client, request, metadata, { deadline }, (error, response) => {
        if (error === null) resolve(response);
        else reject(fromGrpcError(error, `the room’s collector at ${owner.address}`));
      });
    });
  }

  /** Of this process of the collector: the next one at its address has another name. */
  #clientOf({ name, address }: Fellow): Readonly<Record<Kind, CollectorClient | InspectionClient>> {
    const known = this.#clients.get(name);
    if (known !== undefined) return known;
    this.#forgetThoseWhoAreGone();
    const { id, tls } = this.#options.config.room;
    const credentials = dialerCredentials(tls === undefined ? undefined : readTls(tls), id);
    const options = { ...CHANNEL, ...(tls === undefined ? {} : { 'grpc.ssl_target_name_override': id }) };
    const made = {
      admin: new CollectorClient(address, credentials, options),
      inspection: new InspectionClient(address, credentials, options),
    };
    this.#clients.set(name, made);
    return made;
  }

  #forgetThoseWhoAreGone(): void {
    const there = new Set(this.#options.keeper.registered.collectors.map(({ name }) => name));
    for (const [name, { admin, inspection }] of this.#clients) {
      if (there.has(name)) continue;
      for (const client of [admin, inspection]) client.close();
      this.#clients.delete(name);
    }
  }

  async #all<T>(kind: Kind, method: string, request: unknown): Promise<readonly T[]> {
    return (await Promise.all(this.#shares.map((share) => this.#ask(share, kind, method, request)))) as T[];
  }

  /** What is the same in all shares: here if one is here. */
  #any(kind: Kind, method: string, request: unknown): Promise<unknown> {
    const { keeper } = this.#options;
    const [share] = [...keeper.working.keys(), ...keeper.registered.shares.keys()];
    return this.#ask(share ?? 0, kind, method, request);
  }

  #status(answers: readonly CollectorStatus[]): CollectorStatus {
    const { keeper, count, config } = this.#options;
    const first = answers[0] as CollectorStatus;
    const members = keeper.registered.collectors.map(({ name, address }) => {
      const shares = [...keeper.registered.shares.values()].filter(({ owner }) => owner === name);
      const partitions = shares.flatMap(({ share }) => partitionsOf({ index: share, count }, config.topology.partitions));
      return { instance: name, address, partitions: partitions.sort((a, b) => a - b) };
    });
    const parked = answers.reduce((sum, answer) => sum + answer.parked, 0);
    const floor = leastStamp(answers.map((answer) => answer.floor));
    return { ...first, links: mergedLinks(answers.flatMap(({ links }) => links)), parked, floor, members };
  }

  /** Share by share: those of one are in the order in which they were parked. */
  async #listParked({ limit, after }: ListParkedRequest): Promise<ListParkedResponse> {
    const wanted = limit === 0 ? LIST_DEFAULT : limit;
    const begin = this.#shareOf(after);
    const writes: ListParkedResponse['writes'] = [];
    let total = 0;
    for (let share = 0; share < this.#options.count; share += 1) {
      const request = { limit: Math.max(1, wanted - writes.length), after: share === begin ? after : '' };
      const answer = (await this.#ask(share, 'admin', 'listParked', request)) as ListParkedResponse;
      total += answer.total;
      if (share >= begin && writes.length < wanted) writes.push(...answer.writes);
    }
    return { writes, total };
  }

  async #parked(method: 'retryParked' | 'discardParked', selection: ParkedSelection): Promise<ParkedResult> {
    if (!selection.all || selection.writes.length > 0) return foundIn(await this.#all<ParkedResult>('admin', method, selection));
    const outcomes: ParkedResult['outcomes'] = [];
    const begin = this.#shareOf(selection.after ?? '');
    for (let share = begin; share < this.#options.count; share += 1) {
      const after = share === begin ? selection.after : '';
      const step = (await this.#ask(share, 'admin', method, { ...selection, after })) as ParkedResult;
      outcomes.push(...step.outcomes);
      if ((step.next ?? '') !== '') return { outcomes, next: step.next };
    }
    return { outcomes, next: '' };
  }

  #shareOf(position: string): number {
    return shareOf(parsePosition(position)?.partition ?? 0, this.#options.count);
  }

  /** Where a lane of one share has stopped, those of the others need not have. */
  async #skipGap(request: unknown): Promise<SkipGapResponse> {
    const answers = await Promise.allSettled(this.#shares.map((share) => this.#ask(share, 'admin', 'skipGap', request)));
    const failed = answers.flatMap((answer) => (answer.status === 'rejected' ? [asWmbError(answer.reason)] : []));
    const serious = failed.find(({ code }) => code !== 'NOT_FOUND') ?? (failed.length === answers.length ? failed[0] : undefined);
    if (serious !== undefined) throw serious;
    return { lanes: answers.flatMap((answer) => (answer.status === 'fulfilled' ? (answer.value as SkipGapResponse).lanes : [])) };
  }

  async #digests({ ranges }: DigestReceiptsRequest): Promise<{ digests: string[] }> {
    const { count } = this.#options;
    const digests = new Array<string>(ranges.length).fill('');
    const places = Map.groupBy(ranges.keys(), (place) => shareOf(ranges[place]?.partition ?? 0, count));
    const asked = [...places].map(async ([share, own]) => {
      const request = { ranges: own.map((place) => ranges[place]) };
      const answer = (await this.#ask(share, 'inspection', 'digestReceipts', request)) as { digests: string[] };
      for (const [index, place] of own.entries()) digests[place] = answer.digests[index] ?? '';
    });
    await Promise.all(asked);
    return { digests };
  }

  /** The lives of all, so that the end of a copy finds out whether one has changed. */
  async #places(): Promise<CachePlacesResponse> {
    const answers = await this.#all<CachePlacesResponse>('inspection', 'getCachePlaces', {});
    const first = answers[0] as CachePlacesResponse;
    const settled = answers.reduce((latest, answer) => (answer.settled > latest ? answer.settled : latest), '');
    return { ...first, life: JSON.stringify(answers.map(({ life }) => life)), settled, lanes: answers.flatMap(({ lanes }) => lanes) };
  }

  /** Share by share: each lane's mark is right by itself, because the copy has every key. Where one cannot, another copy begins with what the others have by then. */
  async #takeOver({ life, settled, moves }: TakeOverRequest): Promise<unknown> {
    const lives = JSON.parse(life) as string[];
    for (let share = 0; share < this.#options.count; share += 1) {
      const own = moves.filter(({ partition }) => shareOf(partition, this.#options.count) === share);
      await this.#ask(share, 'inspection', 'takeOver', { life: lives[share] ?? '', settled, moves: own });
    }
    return {};
  }
}

function mergedLinks(links: readonly LinkStatus[]): LinkStatus[] {
  return [...Map.groupBy(links, ({ origin }) => origin).values()].map((ofOrigin) => ({
    ...(ofOrigin[0] as LinkStatus),
    paused: ofOrigin.every(({ paused }) => paused),
    lanes: ofOrigin.flatMap(({ lanes }) => lanes).sort((a, b) => (a.log === b.log ? a.partition - b.partition : a.log < b.log ? -1 : 1)),
  }));
}

/** A name that one share does not know may be known to another. */
function foundIn(results: readonly ParkedResult[]): ParkedResult {
  const outcomes = results.flatMap((result) => result.outcomes);
  const found = outcomes.filter(({ position }) => position !== '');
  const names = new Set(found.flatMap(({ position, requestId }) => [position, requestId]));
  const missing = new Map(
    outcomes.filter(({ position, requestId }) => position === '' && !names.has(requestId)).map((it) => [it.requestId, it]),
  );
  return { outcomes: [...found, ...missing.values()], next: '' };
}
