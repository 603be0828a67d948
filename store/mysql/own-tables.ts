/**
 * WMB's own tables. All of them are replicated to the slaves: there, the marks say which write requests have arrived, and the heartbeat how long
 * ago the master wrote what arrived last.
 */
import { WmbError } from '../../core/errors.ts';
import { type Lane, type LogName, laneKey, type Mark, type RoomId, type Seq } from '../../core/words.ts';
import type { MarkMove } from '../cache.ts';
import type { RecordRow } from '../request-record.ts';
import { isMissingTable } from './errors.ts';
import { text } from './literals.ts';
import type { CellRow, Session } from './session.ts';

/** Grows when a table below changes its shape. */
export const SCHEMA_VERSION = 1;

const ASCII = 'ENGINE = InnoDB DEFAULT CHARACTER SET ascii COLLATE ascii_bin';

/** `part`: PARTITION is a word of the server's own. */
export const OWN_TABLES: Readonly<Record<string, string>> = {
  wmb_identity: `(id TINYINT NOT NULL PRIMARY KEY, room VARCHAR(32) NOT NULL, version INT NOT NULL) ${ASCII}`,
  wmb_marks:
    '(log VARCHAR(8) NOT NULL, origin VARCHAR(32) NOT NULL, part SMALLINT UNSIGNED NOT NULL, epoch CHAR(16) NOT NULL, seq BIGINT NOT NULL, ' +
    `PRIMARY KEY (log, origin, part)) ${ASCII}`,
  wmb_requests:
    '(lane VARCHAR(64) NOT NULL, seq BIGINT NOT NULL, committed MEDIUMTEXT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL, ' +
    `refused MEDIUMTEXT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin, PRIMARY KEY (lane, seq)) ${ASCII}`,
  wmb_heartbeat: `(id TINYINT NOT NULL PRIMARY KEY, at_ms BIGINT NOT NULL) ${ASCII}`,
};

/** STORE_UNPREPARED where they were never made, STORE_FOREIGN where they are another's. `master`: the topology's master room. */
export async function checkIdentity(session: Session, master: RoomId, place: string, remedy: string): Promise<void> {
  const found = await readIdentity(session);
  if (found === undefined) throw new WmbError('STORE_UNPREPARED', `${place} has no tables of WMB’s: ${remedy}`);
  if (Number(found.version) > SCHEMA_VERSION) {
    throw new WmbError(
      'STORE_FOREIGN',
      `${place} was made by a newer WMB (version ${found.version}; here ${SCHEMA_VERSION}): upgrade this room`,
    );
  }
  if (found.room !== master) {
    throw new WmbError(
      'STORE_FOREIGN',
      `${place} holds the data of a topology whose master room is ${found.room}, not ${master}: point the room at its own schema`,
    );
  }
}

export async function readIdentity(session: Session): Promise<CellRow | undefined> {
  try {
    return (await session.rows('SELECT room, version FROM wmb_identity WHERE id = 1'))[0];
  } catch (cause) {
    if (isMissingTable(cause)) return undefined;
    throw cause;
  }
}

export async function readMarks(session: Session): Promise<readonly Mark[]> {
  return (await session.rows('SELECT log, origin, part, epoch, seq FROM wmb_marks ORDER BY log, origin, part')).map(toMark);
}

/** Of these lanes, by lane key, locked until the transaction ends. */
export async function lockMarks(session: Session, lanes: readonly Lane[]): Promise<Map<string, Mark>> {
  if (lanes.length === 0) return new Map();
  // Not (log, origin, part) IN (…): MariaDB would read all of them.
  const wanted = lanes.map(({ log, origin, partition }) => `log = ${text(log)} AND origin = ${text(origin)} AND part = ${partition}`);
  const rows = await session.rows(`SELECT log, origin, part, epoch, seq FROM wmb_marks WHERE ${wanted.join(' OR ')} FOR UPDATE`);
  return new Map(rows.map(toMark).map((mark) => [laneKey(mark), mark]));
}

function toMark(row: CellRow): Mark {
  return {
    log: row.log as LogName,
    origin: String(row.origin),
    partition: Number(row.part),
    epoch: String(row.epoch),
    seq: Number(row.seq),
  };
}

/** New ones with an INSERT that fails where another collector has made them meanwhile. */
export async function writeMarks(session: Session, moves: readonly { readonly move: MarkMove; readonly isNew: boolean }[]): Promise<void> {
  const row = ({ move }: { readonly move: MarkMove }) =>
    `(${text(move.log)},${text(move.origin)},${move.partition},${text(move.epoch)},${move.next})`;
  const made = moves.filter((it) => it.isNew);
  const moved = moves.filter((it) => !it.isNew);
  if (made.length > 0) await session.query(`INSERT INTO wmb_marks VALUES ${made.map(row).join(',')}`, true);
  if (moved.length > 0) await session.query(`REPLACE INTO wmb_marks VALUES ${moved.map(row).join(',')}`, true);
}

export interface FrameRecord {
  readonly lane: string;
  readonly seq: Seq;
  readonly committed: string;
  readonly refused: string | null;
}

/** By `lane seq`, locked until the transaction ends. */
export async function lockRecords(
  session: Session,
  frames: readonly { readonly lane: Lane; readonly seq: Seq }[],
): Promise<Map<string, RecordRow>> {
  if (frames.length === 0) return new Map();
  const wanted = frames.map(({ lane, seq }) => `lane = ${text(laneKey(lane))} AND seq = ${seq}`);
  const rows = await session.rows(`SELECT lane, seq, committed, refused FROM wmb_requests WHERE ${wanted.join(' OR ')} FOR UPDATE`);
  return new Map(rows.map((row) => [`${row.lane} ${row.seq}`, row]));
}

export async function readRecord(session: Session, lane: Lane, seq: Seq): Promise<RecordRow> {
  return (await session.rows(`SELECT committed, refused FROM wmb_requests WHERE lane = ${text(laneKey(lane))} AND seq = ${seq}`))[0];
}

export async function writeRecords(session: Session, records: readonly FrameRecord[]): Promise<void> {
  if (records.length === 0) return;
  const rows = records.map(
    ({ lane, seq, committed, refused }) => `(${text(lane)},${seq},${text(committed)},${refused === null ? 'NULL' : text(refused)})`,
  );
  await session.query(`REPLACE INTO wmb_requests VALUES ${rows.join(',')}`, true);
}

/** A new epoch of a lane counts its seqs from 0 again: the old ones' records would be mistaken for theirs. */
export async function forgetRecords(session: Session, lane: Lane): Promise<void> {
  await session.query(`DELETE FROM wmb_requests WHERE lane = ${text(laneKey(lane))}`, true);
}

/** Frames of a lane whose committed request ids are kept, and those with refused requests, which a cache restored from a copy needs. */
const FRAMES_KEPT = 16_384;
const REFUSED_FRAMES_KEPT = 1_048_576;
const TRIM_ROWS_MAX = 4_096;

/** Removes what is beyond retention behind a mark. */
export async function trimRecords(session: Session, { lane, seq }: { readonly lane: Lane; readonly seq: Seq }): Promise<void> {
  const name = text(laneKey(lane));
  const order = `ORDER BY seq LIMIT ${TRIM_ROWS_MAX}`;
  await session.query(`DELETE FROM wmb_requests WHERE lane = ${name} AND seq < ${seq - FRAMES_KEPT} AND refused IS NULL ${order}`, true);
  await session.query(`DELETE FROM wmb_requests WHERE lane = ${name} AND seq < ${seq - REFUSED_FRAMES_KEPT} ${order}`, true);
}
