/**
 * The parking lot in the book's file: what is parked, and, for a while, what was retried and is parked no longer.
 *
 * Why retried write requests are kept: their effects reach the cache without moving a mark, for the lane's mark has passed them long ago. So when the
 * cache comes back from an older copy, or without its last commits after a power cut, the log does not bring them again. The rule that does:
 * beside each one stands the cache's mark of its lane as it was when the effects were there. Commits of a cache are lost from the end only,
 * so a cache whose mark lies behind that one has the effects, and in any other they are applied again; twice does no harm.
 */
import type { ErrorCode } from '../../core/errors.ts';
import { WmbError } from '../../core/errors.ts';
import type { Stamp } from '../../core/stamp.ts';
import { formatPosition, type Position, parsePosition } from '../../core/words.ts';
import { type BookFile, laneOf, type Row } from './book-file.ts';
import type { EpochLane, ParkedPlace, ParkedWrite, RetriedEffects, RetriedWrite } from './receipts.ts';

export interface ParkingLimits {
  readonly writesMax: number;
  /** Of payloads. */
  readonly bytesMax: number;
}

/**
 * More than anybody looks through by hand, and little enough that the keys fit into memory (at most 50 MB of keys of full length) and the file onto
 * any disk. Whoever reaches it has a broken processor or database, not a few poisoned write requests; then waiting is the better answer.
 */
export const PARKING_LIMITS: ParkingLimits = { writesMax: 100_000, bytesMax: 256 * 1024 * 1024 };

export interface RetriedLimits extends ParkingLimits {
  readonly ageMsMax: number;
}

/**
 * As many as can be parked, so that retrying a full parking lot forgets none; a month, because copies of a cache that are older than that are
 * not restored but rebuilt.
 */
export const RETRIED_LIMITS: RetriedLimits = { ...PARKING_LIMITS, ageMsMax: 30 * 24 * 3_600_000 };

/** Of the payloads in one answer to `list`. */
const LIST_BYTES_MAX = 16 * 1024 * 1024;
const SELECT_PARKED = 'SELECT parked.*, log, origin, partition, epoch FROM parked JOIN lanes ON lanes.id = parked.lane';
/** Without payloads. */
const SELECT_PLACES = `SELECT parked.lane, parked.seq, place, request_id, key, log, origin, partition, epoch
  FROM parked JOIN lanes ON lanes.id = parked.lane`;
const PARKED_COLUMNS = 'lane, seq, place, request_id, kind, key, stamp, trace, payload';

export class ParkingLot {
  readonly #file: BookFile;
  readonly #limits: ParkingLimits;
  readonly #retried: RetriedLimits;
  #total = 0;
  #bytes = 0;

  constructor(file: BookFile, limits: ParkingLimits, retried: RetriedLimits) {
    this.#file = file;
    this.#limits = limits;
    this.#retried = retried;
  }

  get total(): number {
    return this.#total;
  }

  get bytes(): number {
    return this.#bytes;
  }

  /** Counts what is there: at open, and after a transaction that was undone. */
  recount(): void {
    const row = this.#file.read('SELECT count(*) AS total, coalesce(sum(length(payload)), 0) AS bytes FROM parked')[0];
    this.#total = Number(row?.['total']);
    this.#bytes = Number(row?.['bytes']);
  }

  /** Within a transaction, which PARKING_FULL undoes. */
  park(lane: number, it: ParkedWrite): void {
    const { write, position } = it;
    const { changes } = this.#file
      .sql(
        `INSERT INTO parked (${PARKED_COLUMNS}, code, message, attempts, parked_ms, retry_ms, in_database)
         VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (lane, seq, place) DO NOTHING`,
      )
      .run(
        lane,
        position.seq,
        position.index,
        write.requestId,
        write.kind,
        write.key,
        write.stamp,
        write.trace,
        write.payload,
        it.code,
        it.message,
        it.attempts,
        it.parkedMs,
        it.retryMs ?? null,
        it.inDatabase ? 1 : 0,
      );
    if (Number(changes) === 0) return;
    this.#total += 1;
    this.#bytes += write.payload.length;
    const { writesMax, bytesMax } = this.#limits;
    // One that is larger than the limit alone must still find room, or its lane would wait for ever.
    if (this.#total <= writesMax && (this.#bytes <= bytesMax || this.#total === 1)) return;
    throw new WmbError(
      'PARKING_FULL',
      `the parking lot holds ${this.#total - 1} write requests with ${this.#bytes - write.payload.length} bytes and takes at most ${writesMax} with ` +
        `${bytesMax}: there is no room for ${formatPosition(position)} (${it.code}); its lane waits and loses nothing, the others go on`,
    );
  }

  /** One row per key, read from an index: no payload is touched. */
  keys(lane: number): { key: string; seq: number; index: number }[] {
    // A place fits 24 bits: a frame is at most 16 MiB.
    const rows = this.#file.read(
      `SELECT key, at >> 24 AS seq, at & 16777215 AS place
       FROM (SELECT key, min(seq << 24 | place) AS at FROM parked WHERE lane = ? GROUP BY key)`,
      lane,
    );
    return rows.map((row) => ({ key: String(row['key']), seq: Number(row['seq']), index: Number(row['place']) }));
  }

  list(after: string, limit: number): ParkedWrite[] {
    const from = this.#idOf(after);
    return this.#file.guarded(() => {
      const writes: ParkedWrite[] = [];
      let bytes = 0;
      for (const row of this.#file.sql(`${SELECT_PARKED} WHERE parked.id > ? ORDER BY parked.id LIMIT ?`).iterate(from, limit)) {
        const write = parkedOf(row);
        bytes += write.write.payload.length;
        if (bytes > LIST_BYTES_MAX && writes.length > 0) break;
        writes.push(write);
      }
      return writes;
    });
  }

  /** Of one that has left since: of those before it in its lane, the one that was parked last. */
  #idOf(name: string): number {
    const position = parsePosition(name);
    const lane = position === undefined ? undefined : this.#file.findLane(position);
    if (position === undefined || lane === undefined) return 0;
    const { seq, index } = position;
    const found = this.#file.read('SELECT id FROM parked WHERE lane = ? AND seq = ? AND place = ?', lane, seq, index)[0];
    if (found !== undefined) return Number(found['id']);
    return this.#file.number('SELECT max(id) AS n FROM parked WHERE lane = ? AND (seq, place) <= (?, ?)', lane, seq, index);
  }

  page(after: string, limit: number): ParkedPlace[] {
    const position = parsePosition(after);
    const lane = position === undefined ? undefined : this.#file.findLane(position);
    const from = lane === undefined || position === undefined ? [0, 0, 0] : [lane, position.seq, position.index];
    const sql = `${SELECT_PLACES} WHERE (parked.lane, parked.seq, place) > (?, ?, ?) ORDER BY parked.lane, parked.seq, place LIMIT ?`;
    return this.#file.read(sql, ...from, limit).map(placeOf);
  }

  select(names: readonly string[]): ParkedPlace[] {
    const rows = names.flatMap((name) => this.#selectOne(name));
    rows.sort(
      (a, b) => Number(a['lane']) - Number(b['lane']) || Number(a['seq']) - Number(b['seq']) || Number(a['place']) - Number(b['place']),
    );
    return rows.map(placeOf);
  }

  #selectOne(name: string): Row[] {
    const position = parsePosition(name);
    if (position === undefined) return this.#file.read(`${SELECT_PLACES} WHERE request_id = ?`, name);
    const lane = this.#file.findLane(position);
    return lane === undefined
      ? []
      : this.#file.read(`${SELECT_PLACES} WHERE parked.lane = ? AND parked.seq = ? AND place = ?`, lane, position.seq, position.index);
  }

  find({ seq, index, ...lane }: Position): ParkedWrite | undefined {
    const id = this.#file.findLane(lane);
    if (id === undefined) return undefined;
    return this.#file.read(`${SELECT_PARKED} WHERE parked.lane = ? AND parked.seq = ? AND place = ?`, id, seq, index).map(parkedOf)[0];
  }

  firstOfKey(lane: number, key: string): ParkedWrite | undefined {
    const sql = `${SELECT_PARKED} WHERE parked.lane = ? AND key = ? ORDER BY parked.seq, place LIMIT 1`;
    return this.#file.read(sql, lane, key).map(parkedOf)[0];
  }

  due(nowMs: number, limit: number): ParkedPlace[] {
    return this.#file.read(`${SELECT_PLACES} WHERE retry_ms <= ? ORDER BY retry_ms LIMIT ?`, nowMs, limit).map(placeOf);
  }

  /** Within a transaction. */
  failAgain(lane: number, it: ParkedWrite): void {
    const { seq, index } = it.position;
    this.#file
      .sql('UPDATE parked SET code = ?, message = ?, attempts = ?, retry_ms = ?, in_database = ? WHERE lane = ? AND seq = ? AND place = ?')
      .run(it.code, it.message, it.attempts, it.retryMs ?? null, it.inDatabase ? 1 : 0, lane, seq, index);
  }

  /** Within a transaction. */
  leave(lane: number, { seq, index }: Position, effects: RetriedEffects | undefined): void {
    if (effects !== undefined) this.#keep(lane, { seq, index }, effects);
    const gone = this.#file.sql('DELETE FROM parked WHERE lane = ? AND seq = ? AND place = ? RETURNING length(payload) AS bytes');
    const row = gone.get(lane, seq, index);
    if (row === undefined) return;
    this.#total -= 1;
    this.#bytes -= Number(row['bytes']);
  }

  #keep(lane: number, place: { readonly seq: number; readonly index: number }, { commands, cacheMark, nowMs }: RetriedEffects): void {
    this.#file
      .sql(
        `INSERT INTO retried (${PARKED_COLUMNS}, commands, cache_epoch, cache_seq, retried_ms)
         SELECT ${PARKED_COLUMNS}, ?, ?, ?, ? FROM parked WHERE lane = ? AND seq = ? AND place = ?`,
      )
      .run(JSON.stringify(commands), cacheMark.epoch, cacheMark.seq, nowMs, lane, place.seq, place.index);
    this.#keepWithinLimits(nowMs);
  }

  /** Within a transaction. */
  forgetRetried(upTo: Stamp): void {
    this.#file.sql('DELETE FROM retried WHERE stamp <= ?').run(upTo);
  }

  /** The newest rows within the limits stay. */
  #keepWithinLimits(nowMs: number): void {
    const { writesMax, bytesMax, ageMsMax } = this.#retried;
    this.#file.sql('DELETE FROM retried WHERE retried_ms < ? OR id <= (SELECT max(id) FROM retried) - ?').run(nowMs - ageMsMax, writesMax);
    const size = this.#file.sql('SELECT coalesce(sum(length(payload)), 0) AS bytes FROM retried').get();
    let bytes = Number(size?.['bytes']);
    while (bytes > bytesMax) {
      const row = this.#file.sql('DELETE FROM retried WHERE id = (SELECT min(id) FROM retried) RETURNING length(payload) AS bytes').get();
      if (row === undefined) return;
      bytes -= Number(row['bytes']);
    }
  }

  /** Within a transaction. */
  parkAgain(
    lane: number,
    retried: RetriedWrite,
    why: { readonly code: ErrorCode; readonly message: string; readonly nowMs: number },
  ): void {
    const row = this.#file.sql(
      `SELECT retried.*, log, origin, partition, epoch FROM retried JOIN lanes ON lanes.id = lane WHERE retried.id = ?`,
    );
    const found = row.get(retried.id);
    if (found === undefined) return;
    const { code, message, nowMs } = why;
    const parked = parkedOf({ ...found, code, message, attempts: 1, parked_ms: nowMs, retry_ms: null, in_database: 1 });
    this.#file.sql('DELETE FROM retried WHERE id = ?').run(retried.id);
    this.park(lane, { ...parked, position: retried.position });
  }

  /** What a cache with this mark may lack. */
  retried(lane: EpochLane, cacheSeq: number, after: number, limit: number): RetriedWrite[] {
    const rows = this.#file.read(
      `SELECT retried.id, retried.seq, place, request_id, stamp, commands, cache_seq, log, origin, partition, epoch
       FROM retried JOIN lanes ON lanes.id = retried.lane
       WHERE log = ? AND origin = ? AND partition = ? AND cache_epoch = ? AND cache_seq >= ? AND retried.id > ? ORDER BY retried.id LIMIT ?`,
      lane.log,
      lane.origin,
      lane.partition,
      lane.epoch,
      cacheSeq,
      after,
      limit,
    );
    return rows.map((row) => ({
      id: Number(row['id']),
      position: { ...laneOf(row), seq: Number(row['seq']), index: Number(row['place']) },
      requestId: String(row['request_id']),
      stamp: String(row['stamp']),
      commands: JSON.parse(String(row['commands'])) as string[][],
      cacheSeq: Number(row['cache_seq']),
    }));
  }
}

function placeOf(row: Row): ParkedPlace {
  const position = { ...laneOf(row), seq: Number(row['seq']), index: Number(row['place']) };
  return { position, requestId: String(row['request_id']), key: String(row['key']) };
}

function parkedOf(row: Row): ParkedWrite {
  return {
    position: { ...laneOf(row), seq: Number(row['seq']), index: Number(row['place']) },
    write: {
      requestId: String(row['request_id']),
      kind: String(row['kind']),
      key: String(row['key']),
      stamp: String(row['stamp']),
      trace: String(row['trace']),
      payload: row['payload'] as Uint8Array,
    },
    code: row['code'] as ErrorCode,
    message: String(row['message']),
    attempts: Number(row['attempts']),
    parkedMs: Number(row['parked_ms']),
    retryMs: row['retry_ms'] === null ? undefined : Number(row['retry_ms']),
    inDatabase: row['in_database'] === 1,
  };
}
