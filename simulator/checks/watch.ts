/** The checks that are made while a run goes on: at every commit of a cache or a book, at every ack, at every answer to an application. */
import type { BookEntry, Settlement } from '../../collector/receipts/receipts.ts';
import type { LinkStateRow } from '../../collector/receive/state-store.ts';
import { CANARY_KEY_PREFIX } from '../../core/canary.ts';
import { laneKey, parsePosition, type RoomId } from '../../core/words.ts';
import type { Upward } from '../../link/link.ts';
import type { WriteResult } from '../../reship/intake/call.ts';
import type { CacheBatch } from '../../store/cache.ts';
import { Ledger } from '../ledger.ts';
import type { Made } from '../made.ts';
import type { Plan } from '../plan.ts';
import type { Room } from '../room.ts';
import type { VirtualClock } from '../time.ts';
import type { EpochLane, Failure, Invariant } from './failure.ts';
import { checkRepair, type Repaired } from './repairs.ts';

/** A collector sees within so many milliseconds that its cache has come back from a copy. */
const NOTICE_MS_MAX = 3_000;

export interface WatchHost {
  /** What was done behind WMB's back: the checker's to find. */
  readonly made: Made;
  readonly clock: VirtualClock;
  readonly rooms: readonly Room[];
  readonly plan: Plan;
  tell(line: string): void;
  fail(invariant: Invariant, expected: string, found: string): void;
  note(found: Failure | undefined): void;
}

export class Watch {
  readonly ledger: Ledger;
  /** Write requests that an application was told are durable. */
  acked = 0;
  readonly #world: WatchHost;

  constructor(world: WatchHost) {
    this.#world = world;
    this.ledger = new Ledger(world.rooms);
  }

  /** An application was answered. I1: what is acked lies in the write log, where the answer says. */
  answered(room: Room, results: readonly WriteResult[]): void {
    for (const { requestId, stamp, position, error } of results) {
      this.#world.tell(`${room.id} answers ${requestId} ${position || error?.code}`);
      if (position === '') continue;
      this.acked += 1;
      const at = parsePosition(position);
      const write = at && this.ledger.frames(at)[at.seq]?.[at.index];
      if (write?.requestId !== requestId || write.stamp !== stamp)
        this.#world.fail('I1', `${requestId}, acked with ${stamp}, lies at ${position}`, write?.requestId ?? 'nothing there');
    }
  }

  /** A cache has taken a batch in. */
  async applied(room: Room, batch: CacheBatch): Promise<void> {
    for (const move of batch.moves) {
      this.#world.tell(`${room.id} cache ${laneKey(move)} ${move.expected} to ${move.next}`);
      if (move.log === 'writes') this.#notBeyond(room, 'cache', move, move.next);
    }
    const nowMs = Math.max(batch.nowMs, this.#world.clock.ms);
    for (const key of new Set(batch.writes.flatMap((effects) => effects.map((effect) => effect.key))))
      if (!this.#world.made.has(room.id, key)) this.#world.note(await room.disks.cache.check(room.id, key, nowMs));
  }

  repaired(room: Room, repaired: Omit<Repaired, 'room'>): void {
    const { repair, outcome } = repaired;
    this.#world.tell(`${room.id} cache ${repair.action} of ${repair.key}: ${outcome}`);
    this.#world.note(checkRepair({ ...repaired, room: room.id }));
  }

  /** A book has taken receipts in: without a hole (I3, I4), in the order of each key (I7). */
  recorded(room: Room, entries: readonly BookEntry[]): void {
    const { book } = room.disks;
    for (const { lane, frames, exceptions, parked } of entries) {
      if (lane.log !== 'writes') continue;
      const mark = book.markOf(lane);
      this.#world.tell(
        `${room.id} book ${laneKey(lane)} at ${mark}, ${frames.length} frames, ${exceptions.length} exceptions, ${parked.length} parked`,
      );
      this.#notBeyond(room, 'receipt book', lane, mark);
      for (const { seq } of frames) {
        if (seq > 0 && !book.hasFrame(lane, seq - 1))
          this.#world.fail(
            'I4',
            `${room.id}: no receipt for frame ${seq} of ${laneKey(lane)} before there is one for ${seq - 1}`,
            'there is none',
          );
        for (const { index, requestId, key } of this.ledger.frames(lane)[seq] ?? [])
          if (book.exceptionAt(lane, seq, index) === undefined) this.#inOrder(room, lane, { seq, index, requestId, key });
      }
    }
  }

  settled(room: Room, { position, requestId, outcome }: Settlement): void {
    this.#world.tell(`${room.id} settles ${requestId} as ${outcome}`);
    const { seq, index } = position;
    const write = this.ledger.frames(position)[seq]?.[index];
    if (write !== undefined && outcome !== 'rejected') this.#inOrder(room, position, write);
  }

  /** I3: an ack says no more than what the room has receipts for, and its cache, as far as the collector can know. */
  sent(room: Room, to: RoomId, message: Upward): void {
    if (message.type !== 'ack' || message.log !== 'writes' || message.seq < 0) return;
    const { log, partition, epoch, seq } = message;
    const lane = { log, origin: to, partition, epoch };
    const { book, cache } = room.disks;
    this.#world.tell(`${room.id} acks ${laneKey(lane)} ${seq}`);
    const inBook = book.markOf(lane);
    if (seq > inBook) this.#world.fail('I3', `${room.id} acks of ${laneKey(lane)} no more than its book has, ${inBook}`, String(seq));
    void cache.markOf(lane).then((inCache) => {
      if (seq > inCache && this.#world.clock.ms > room.restoredMs + NOTICE_MS_MAX)
        this.#world.fail('I3', `${room.id} acks of ${laneKey(lane)} no more than its cache has, ${inCache}`, String(seq));
    });
  }

  /** I4: nothing is ever removed from these logs but before a cache is emptied, so no lane has another reason to stop. */
  linkState(room: Room, { lane, state, reason }: LinkStateRow): void {
    if (lane.partition === 0 || state === 'stopped-on-gap') this.#world.tell(`${room.id} link ${laneKey(lane)} ${state}`);
    if (state === 'stopped-on-gap' && this.#world.plan.empties === 0)
      this.#world.fail('I4', `${room.id}: no lane stops where nothing is missing`, `${laneKey(lane)}: ${reason}`);
  }

  /** I11: what is queued stays within the limits of the configuration. */
  bounded(room: Room): void {
    const { laneBytesMax } = room.config.room.link;
    const { pendingWritesMax, pendingBytesMax, frameBytesMax } = room.config.room.intake;
    const below = (what: string, value: number, max: number) => {
      if (value > max) this.#world.fail('I11', `${room.id}: ${what} at most ${max}`, String(value));
    };
    // Twice the credit over a long line. A frame is taken whole where there is any room; its header and a write request over the frame's limit come on top.
    below('bytes queued in a lane', room.collector?.gauges.max('wmb_link_queue_bytes') ?? 0, 2 * laneBytesMax + 2 * frameBytesMax);
    below('write requests pending', room.reship?.gauges.max('wmb_intake_pending_writes') ?? 0, pendingWritesMax);
    below('bytes pending', room.reship?.gauges.max('wmb_intake_pending_bytes') ?? 0, pendingBytesMax);
  }

  #notBeyond(room: Room, sink: string, lane: EpochLane, seq: number): void {
    const end = this.ledger.end(lane);
    if (seq > end)
      this.#world.fail(
        'I3',
        `the mark of ${laneKey(lane)} in the ${sink} of ${room.id} is at most ${end}, the end of the log`,
        String(seq),
      );
  }

  /** Nothing of a key is applied while something before it is parked. Canaries are held up by nothing. */
  #inOrder(room: Room, lane: EpochLane, write: { seq: number; index: number; requestId: string; key: string }): void {
    if (write.key.startsWith(CANARY_KEY_PREFIX)) return;
    const before = room.disks.book.parked().find(({ position, write: parked }) => {
      const isSameKey = position.origin === lane.origin && position.partition === lane.partition && parked.key === write.key;
      return isSameKey && (position.seq < write.seq || (position.seq === write.seq && position.index < write.index));
    });
    if (before !== undefined)
      this.#world.fail('I7', `${room.id} applies ${write.requestId} after ${before.write.requestId} of the same key`, 'it is still parked');
  }
}
