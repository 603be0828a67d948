/**
 * What this collector does for the checker of its own room, in the domain's words: over gRPC (inspection-grpc.ts), and called directly where there are no sockets. What
 * takes long gives the lanes their turns in between: a checker must never hold up the write requests it looks after.
 */
import type { Config } from '../core/config/types.ts';
import { asWmbError, WmbError } from '../core/errors.ts';
import type { CachePlace, CachePlaces, DerivedWrite, FrameReceipts, Horizon, LanePlace, SeqRange, TakeOver } from '../core/inspection.ts';
import type { Runtime } from '../core/runtime.ts';
import { processesWrites } from '../core/topology.ts';
import { type Lane, laneKey, NOTHING_SEEN, type Seq, type StampedWrite } from '../core/words.ts';
import type { LinkStatus } from '../proto/gen/wmb/v1/admin.ts';
import type { CacheMending, CacheRepair, RepairOutcome } from '../store/inspection.ts';
import type { Processed } from './process/processors.ts';
import type { ReceiptBook } from './receipts/receipts.ts';

/** Leaves room under the largest message (daemon/grpc-server.ts). */
const ANSWER_BYTES_MAX = 24 * 1024 * 1024;
/** What is done between two turns of the event loop. */
const FRAMES_STEP = 64;
/** A window of 256 frames each: while writes are applied, a turn takes longer than many of them. */
const DIGESTS_STEP = 16;
const DERIVE_STEP = 32;
const REPAIRS_STEP = 8;

export interface InspectionOptions {
  readonly config: Config;
  readonly processors: { run(write: StampedWrite): Processed | Promise<Processed> };
  /** See Applier.horizon. */
  readonly horizon: () => Promise<readonly LanePlace[]>;
  readonly links: () => readonly LinkStatus[];
  /** See Copying. */
  readonly copying: { places(): Promise<CachePlaces>; takeOver(end: TakeOver): Promise<void> };
  readonly gaps: {
    gaps(): readonly { readonly lane: Lane; readonly logFrom: Seq }[];
    retryGaps(lanes: readonly Lane[], reason: string): void;
  };
  readonly book: Pick<ReceiptBook, 'digest' | 'frames'>;
  readonly cache: CacheMending;
  readonly runtime: Runtime;
}

export class Inspection {
  readonly #options: InspectionOptions;

  constructor(options: InspectionOptions) {
    this.#options = options;
  }

  takeDirty(max: number): Promise<readonly number[]> {
    return this.#options.cache.takeDirty(max);
  }

  async horizon(): Promise<Horizon> {
    const { horizon, links, runtime } = this.#options;
    const places = await horizon();
    return { nowMs: runtime.nowMs(), lanes: withLinks(places, links()) };
  }

  /** How this room's cache stands in every lane, with the states of their links. */
  async cachePlaces(): Promise<CachePlaces> {
    const { copying, gaps, links } = this.#options;
    const places = await copying.places();
    const logFrom = new Map(gaps.gaps().map((gap) => [laneKey(gap.lane), gap.logFrom]));
    const stands = standing(links());
    const lanes = places.lanes.map((lane) => ({ ...lane, ...stands(lane), logFrom: logFrom.get(laneKey(lane)) ?? NOTHING_SEEN }));
    return { ...places, lanes };
  }

  /** The end of a copy (docs/adr/0009): the marks move, and lanes that stood on a gap try again. MARK_MOVED where nothing was changed. */
  async takeOver(end: TakeOver): Promise<void> {
    await this.#options.copying.takeOver(end);
    this.#options.gaps.retryGaps(end.moves, 'the cache was copied from a peer');
  }

  async receiptDigests(ranges: readonly SeqRange[]): Promise<readonly string[]> {
    const { book, runtime } = this.#options;
    const found: string[] = [];
    for (const range of ranges) {
      if (found.length > 0 && found.length % DIGESTS_STEP === 0) await runtime.turn();
      found.push(await book.digest(range));
    }
    return found;
  }

  /** USAGE where they are too many for one answer. */
  async receipts({ lane, from, to }: SeqRange): Promise<readonly FrameReceipts[]> {
    const { book, runtime } = this.#options;
    const found: FrameReceipts[] = [];
    let bytes = 0;
    for (let at = from; at <= to; at += FRAMES_STEP) {
      if (at > from) await runtime.turn();
      for (const frame of await book.frames({ lane, from: at, to: Math.min(to, at + FRAMES_STEP - 1) })) {
        bytes += receiptBytes(frame);
        found.push(frame);
      }
      if (bytes > ANSWER_BYTES_MAX && found.length > 1)
        throw new WmbError(
          'USAGE',
          `the receipts of the frames ${from} to ${to} are too many for one answer; ask for fewer frames at a time`,
        );
    }
    return found;
  }

  /** NOT_FOUND in a room that processes nothing; USAGE where the effects are too many for one answer. */
  async derive(writes: readonly StampedWrite[]): Promise<readonly DerivedWrite[]> {
    const { config, runtime } = this.#options;
    if (!processesWrites(config.topology, config.room.id))
      throw new WmbError(
        'NOT_FOUND',
        'this room processes no write requests, it takes what the master room makes of them; ask the master room',
      );
    const found: DerivedWrite[] = [];
    let bytes = 0;
    for (let at = 0; at < writes.length; at += DERIVE_STEP) {
      if (at > 0) await runtime.turn();
      for (const derived of await Promise.all(writes.slice(at, at + DERIVE_STEP).map((write) => deriveOne(this.#options, write)))) {
        bytes += derivedBytes(derived);
        found.push(derived);
      }
      if (bytes > ANSWER_BYTES_MAX)
        throw new WmbError('USAGE', `the effects of ${writes.length} write requests are too many for one answer; ask for fewer at a time`);
    }
    return found;
  }

  async repair(repairs: readonly CacheRepair[]): Promise<readonly RepairOutcome[]> {
    const { cache, runtime } = this.#options;
    const outcomes: RepairOutcome[] = [];
    for (let at = 0; at < repairs.length; at += REPAIRS_STEP) {
      if (at > 0) await runtime.turn();
      outcomes.push(...(await cache.repair(repairs.slice(at, at + REPAIRS_STEP), runtime.nowMs())));
    }
    return outcomes;
  }
}

/** A lane that comes to this room by way of the master's effects has no link of its own. */
function withLinks(places: readonly LanePlace[], links: readonly LinkStatus[]): LanePlace[] {
  const byLane = new Map(
    links.flatMap(({ origin, lanes }) => lanes.filter(({ log }) => log === 'writes').map((lane) => [`${origin}/${lane.partition}`, lane])),
  );
  return places.map((place) => {
    const link = byLane.get(`${place.origin}/${place.partition}`);
    if (link === undefined) return { ...place, reason: whyEffectsStand(links, place.partition) };
    return { ...place, state: link.state, reason: link.reason, lagWrites: link.lagWrites };
  });
}

/** In a slave room: why the effects that its `writes` lanes follow stand until somebody does something. Empty: they do not. */
function whyEffectsStand(links: readonly LinkStatus[], partition: number): string {
  for (const { origin, lanes } of links) {
    const standing = lanes.find(
      (lane) => lane.log === 'effects' && lane.partition === partition && (lane.state === 'paused' || lane.state === 'stopped-on-gap'),
    );
    if (standing !== undefined)
      return `the link from ${origin}, whose effects it follows, is ${standing.state}${standing.reason === '' ? '' : `: ${standing.reason}`}`;
  }
  return '';
}

/** Where each lane's link stands; a `writes` lane that has none stands where the effects do that it follows. */
function standing(links: readonly LinkStatus[]): (lane: Lane) => Pick<CachePlace, 'state' | 'reason'> {
  const all = links.flatMap(({ origin, lanes }) => lanes.map((lane) => ({ ...lane, origin })));
  return ({ log, origin, partition }) => {
    const own = all.find((lane) => lane.log === log && lane.origin === origin && lane.partition === partition);
    const followed = all.find((lane) => lane.log === 'effects' && lane.partition === partition);
    const { state = '', reason = '' } = own ?? (log === 'writes' ? followed : undefined) ?? {};
    return { state, reason };
  };
}

/** At most. */
function receiptBytes({ exceptions }: FrameReceipts): number {
  return exceptions.reduce((sum, { requestId, code }) => sum + Buffer.byteLength(requestId) + code.length + 32, 96);
}

/** At least what it takes on the wire, where fields have no names. */
function derivedBytes(derived: DerivedWrite): number {
  return Buffer.byteLength(JSON.stringify(derived));
}

async function deriveOne({ config, processors }: InspectionOptions, write: StampedWrite): Promise<DerivedWrite> {
  const { kind, stamp } = write;
  const rooms = config.topology.kinds[kind]?.rooms;
  if (rooms !== undefined && !rooms.includes(config.room.id))
    return { stamp, effects: undefined, error: `the kind “${kind}” is processed in ${rooms.join(', ') || 'no room'}, and not here` };
  try {
    return { stamp, effects: (await processors.run(write)).effects, error: '' };
  } catch (cause) {
    const { code, message } = asWmbError(cause);
    return { stamp, effects: undefined, error: `${code}: ${message}` };
  }
}
