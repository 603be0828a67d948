/**
 * Every failure that a person or a program may meet has a code in this one table. The docs page (docs/errors.md), the
 * exit codes, the gRPC statuses and the HTTP statuses are all read from it.
 */

/** Whether the same call may succeed: at once, after a while or a repair, or never as it stands. */
export type Retry = 'now' | 'later' | 'never';

export type GrpcStatus =
  | 'INVALID_ARGUMENT'
  | 'NOT_FOUND'
  | 'ALREADY_EXISTS'
  | 'PERMISSION_DENIED'
  | 'UNAUTHENTICATED'
  | 'RESOURCE_EXHAUSTED'
  | 'FAILED_PRECONDITION'
  | 'OUT_OF_RANGE'
  | 'DEADLINE_EXCEEDED'
  | 'UNAVAILABLE'
  | 'DATA_LOSS'
  | 'INTERNAL'
  | 'UNIMPLEMENTED';

/** Exit codes of every command. */
export const EXIT = {
  ok: 0,
  /** A defect of WMB itself. */
  internal: 1,
  /** The command line is wrong. */
  usage: 2,
  /** A configuration file is wrong. */
  config: 3,
  /** A daemon, peer or server cannot be reached, or a deadline passed. */
  unavailable: 4,
  /** The other side understood and refused. */
  refused: 5,
  /** A disk, directory or port of this machine stands in the way. */
  environment: 6,
  /** A comparison found a difference, or a check failed. */
  difference: 7,
} as const;

export interface ErrorSpec {
  readonly retry: Retry;
  readonly grpc: GrpcStatus;
  readonly http: number;
  readonly exit: number;
  /** What it means. */
  readonly means: string;
  /** What to do. */
  readonly remedy: string;
}

const spec = (retry: Retry, grpc: GrpcStatus, http: number, exit: number, means: string, remedy: string): ErrorSpec => ({
  retry,
  grpc,
  http,
  exit,
  means,
  remedy,
});

// biome-ignore format: a table reads best with one row a line.
export const ERRORS = {
  // configuration
  CONFIG_INVALID: spec('never', 'FAILED_PRECONDITION', 500, EXIT.config, 'A configuration file has errors; each is named with file, line, column and path.', 'Correct the named places; `wmb config check` shows all of them at once.'),
  CONFIG_UNREADABLE: spec('never', 'FAILED_PRECONDITION', 500, EXIT.config, 'A configuration file, or a file it names, cannot be read.', 'Check the path and its permissions.'),
  USAGE: spec('never', 'INVALID_ARGUMENT', 400, EXIT.usage, 'The command line is wrong.', 'See `wmb COMMAND --help`.'),
  // intake
  WRITE_INVALID: spec('never', 'INVALID_ARGUMENT', 400, EXIT.refused, 'A write request is malformed: a field is missing, empty, of the wrong type or not parseable.', 'Correct the named field. The other write requests of the same call are unaffected.'),
  WRITE_TOO_LARGE: spec('never', 'INVALID_ARGUMENT', 413, EXIT.refused, 'A write request, or one of its fields, is over its size limit.', 'Split it, or raise `limits` in the topology in every room.'),
  KIND_UNKNOWN: spec('never', 'INVALID_ARGUMENT', 400, EXIT.refused, 'No such kind in the topology.', 'Use a kind of the topology, or add it there in every room.'),
  COMMAND_UNSUPPORTED: spec('never', 'INVALID_ARGUMENT', 400, EXIT.refused, 'A cache command that cannot converge, or that does not exist.', 'Use what the message names instead.'),
  OVERLOADED: spec('later', 'RESOURCE_EXHAUSTED', 429, EXIT.unavailable, 'Intake holds as many write requests or bytes as it may.', 'Retry after the hint with the same request id.'),
  DRAINING: spec('later', 'UNAVAILABLE', 503, EXIT.unavailable, 'The daemon is shutting down and takes no new work.', 'Retry with the same request id, at another instance or after the restart.'),
  CLOCK_AHEAD: spec('later', 'UNAVAILABLE', 503, EXIT.unavailable, 'The stamps already given are so far ahead of this machine’s clock that further ones would be parked by every peer.', 'Correct the clock (NTP); intake resumes when the clock catches up.'),
  WAIT_TIMEOUT: spec('later', 'DEADLINE_EXCEEDED', 504, EXIT.unavailable, 'The write request is durable in the write log, but what the caller waited for did not happen before the deadline.', 'Nothing is lost: it is applied later. Look at `wmb status` for the lagging lane.'),
  // topics of Kafka as intake
  RECORD_REFUSED: spec('never', 'INVALID_ARGUMENT', 400, EXIT.refused, 'A record of an intake topic is no write request that this room takes: it cannot be parsed, is too large, or names no known kind. Topic, partition and offset are named.', 'Correct the application and let it produce the record anew as it should be; then `wmb parked discard` this one, in every room.'),
  TOPIC_UNAVAILABLE: spec('later', 'UNAVAILABLE', 503, EXIT.unavailable, 'The Kafka of an intake topic cannot be reached, or cannot answer now.', 'It is tried again by itself; nothing is lost. See the cause.'),
  TOPIC_MISSING: spec('later', 'NOT_FOUND', 404, EXIT.config, 'Kafka has no intake topic of this name.', 'Make the topic, or correct `intake.topics` in the room’s file.'),
  TOPIC_DENIED: spec('later', 'PERMISSION_DENIED', 403, EXIT.config, 'Kafka refuses the user of an intake topic: wrong name or password, or a missing right.', 'Correct the user or its password in the room’s file, or grant what the message names.'),
  TOPIC_UNFIT: spec('never', 'FAILED_PRECONDITION', 500, EXIT.config, 'An intake topic, its group or its Kafka is not as WMB needs it: another program is in the group, Kafka is too old, or records are damaged or compressed in a way that is not known here. The partition stops; nothing is passed over.', 'Do what the message says.'),
  TOPIC_GAP: spec('never', 'OUT_OF_RANGE', 409, EXIT.refused, 'Records of an intake topic are gone before they were taken: by the topic’s retention, or because it lost its end. The partition stops; the range is named.', 'Stop the room’s reships, accept the loss with `kafka-consumer-groups.sh --reset-offsets` for the group, and start them again; give the topic a longer retention.'),
  // write log
  LOG_LOCKED: spec('later', 'FAILED_PRECONDITION', 503, EXIT.environment, 'Another process has the log directory open for writing.', 'Stop the process that is named, or give this room another directory.'),
  LOG_FOREIGN: spec('never', 'FAILED_PRECONDITION', 500, EXIT.config, 'The directory, or the topic, holds data of another room, of another partition count or of a newer WMB.', 'Point the room at its own directory, or its own Kafka; how many partitions a log has stays as it is.'),
  LOG_FULL: spec('later', 'RESOURCE_EXHAUSTED', 507, EXIT.environment, 'No space is left for the log. Nothing was acked that is not durable.', 'Free space; intake resumes by itself.'),
  LOG_READONLY: spec('never', 'FAILED_PRECONDITION', 500, EXIT.environment, 'The data directory cannot be written.', 'Check permissions and mount options.'),
  LOG_CORRUPT: spec('never', 'DATA_LOSS', 500, EXIT.environment, 'A stored frame does not match its checksum; its position is named.', 'Restore the log from a copy, or let the checker resend from a peer; nothing after the frame is shipped until then.'),
  LOG_GAP: spec('never', 'OUT_OF_RANGE', 409, EXIT.refused, 'A range of frames that is needed is no longer in the log (purged, reset, lost tail or other epoch). The partition stops; the range is named.', 'Where only the cache lacks it, the checker copies a peer’s cache by itself, and `wmb status` says how far it is. Otherwise put the log back from a copy, or accept the loss with `wmb link skip ORIGIN PEER` (docs/links.md).'),
  LOG_DENIED: spec('never', 'FAILED_PRECONDITION', 500, EXIT.config, 'Kafka refuses the user of the log: wrong name or password, or a missing right.', 'Correct the user or its password in the configuration, or grant what the message names.'),
  LOG_UNFIT: spec('never', 'FAILED_PRECONDITION', 500, EXIT.config, 'Kafka is too old for a log, or a topic of it has a setting with which WMB cannot keep its promises.', 'Do what the message says; the setting and its value are named.'),
  LOG_UNPREPARED: spec('never', 'FAILED_PRECONDITION', 500, EXIT.config, 'Kafka has no topics of this log.', 'Run `wmb log init`.'),
  LOG_GIVEN_UP: spec('later', 'UNAVAILABLE', 503, EXIT.unavailable, 'The other reships of the room have given this one up: they did not hear of it for too long, or another process has its directory or a copy of it. It appends nothing any more, and ends.', 'Start it again, or let its supervisor do it. What was not acked is sent again, to any reship of the room.'),
  LOG_UNAVAILABLE: spec('later', 'UNAVAILABLE', 503, EXIT.unavailable, 'The log cannot be reached or failed to answer.', 'It is retried; see the cause.'),
  // frames and links
  FRAME_CORRUPT: spec('now', 'DATA_LOSS', 500, EXIT.refused, 'A frame does not match its checksum or cannot be decoded.', 'It is fetched again; if it persists, the origin’s log is damaged: see LOG_CORRUPT there.'),
  FRAME_VERSION: spec('never', 'UNIMPLEMENTED', 501, EXIT.refused, 'A frame was written by a newer WMB.', 'Upgrade this room first.'),
  PROTOCOL_VERSION: spec('never', 'FAILED_PRECONDITION', 400, EXIT.refused, 'The two rooms speak different link protocol versions.', 'Upgrade the older room; both versions are named.'),
  ROOM_UNKNOWN: spec('never', 'PERMISSION_DENIED', 403, EXIT.refused, 'A room that is not in the topology, or that has no link here, tried to connect or was named.', 'Check the topology and the address book.'),
  IDENTITY_REFUSED: spec('never', 'UNAUTHENTICATED', 401, EXIT.refused, 'The peer could not prove that it is the room it claims to be.', 'Give both rooms the same link secret, and certificates that name their rooms; check that their clocks agree to the minute.'),
  TOPOLOGY_STALE: spec('later', 'FAILED_PRECONDITION', 409, EXIT.refused, 'The two rooms hold topologies of different epochs.', 'Roll the newer topology out to the room that is named.'),
  PEER_UNREACHABLE: spec('later', 'UNAVAILABLE', 503, EXIT.unavailable, 'The peer does not answer.', 'It is retried with backoff; check the address, the network and the peer’s daemons.'),
  PEER_GARBAGE: spec('later', 'INTERNAL', 502, EXIT.unavailable, 'The peer answered something that is not the link protocol.', 'Check that the address is a WMB reship.'),
  INBOX_UNAVAILABLE: spec('later', 'UNAVAILABLE', 503, EXIT.unavailable, 'The Kafka of an inbox cannot be reached or failed to answer. The link over mq waits.', 'It is retried; see the cause.'),
  INBOX_DENIED: spec('never', 'FAILED_PRECONDITION', 500, EXIT.config, 'Kafka refuses the user of an inbox: wrong name or password, or a missing right.', 'Correct the user or its password in the configuration, or grant what the message names.'),
  INBOX_UNFIT: spec('never', 'FAILED_PRECONDITION', 500, EXIT.config, 'Kafka is too old for an inbox, or a topic of it has a setting with which WMB cannot keep its promises.', 'Do what the message says; the setting and its value are named.'),
  INBOX_UNPREPARED: spec('never', 'FAILED_PRECONDITION', 500, EXIT.config, 'Kafka has no topics of this inbox, or the room has no Kafka for inboxes.', 'Name the Kafka in the room’s file (`inbox`), and run `wmb link init` in the room that takes the frames.'),
  INBOX_FOREIGN: spec('never', 'FAILED_PRECONDITION', 500, EXIT.config, 'The inbox is used by other rooms.', 'Give each room a Kafka of its own; check `inbox` and `peers` in the files of the rooms that are named.'),
  LINK_PAUSED: spec('later', 'UNAVAILABLE', 503, EXIT.refused, 'The link is paused by an operator.', '`wmb link resume ORIGIN PEER`.'),
  // apply
  STAMP_FUTURE: spec('later', 'OUT_OF_RANGE', 409, EXIT.refused, 'The stamp of a write request is further ahead of this room’s clock than allowed.', 'Correct the clock of the origin that is named, then `wmb parked retry`.'),
  WRITE_LATE: spec('never', 'OUT_OF_RANGE', 409, EXIT.refused, 'A write request is older than what this room still remembers deletes for.', 'Compare the key in both rooms before retrying or discarding it.'),
  PROCESSOR_FAILED: spec('never', 'INTERNAL', 500, EXIT.refused, 'The processor threw, or returned something that is not a result.', 'Correct the processor, then `wmb parked retry`; or discard the write request.'),
  PROCESSOR_TIMEOUT: spec('later', 'DEADLINE_EXCEEDED', 504, EXIT.refused, 'The processor did not answer in time.', 'It is parked; `wmb parked retry` after the processor is healthy.'),
  PROCESSOR_UNAVAILABLE: spec('later', 'UNAVAILABLE', 503, EXIT.unavailable, 'The processor service cannot be reached. Its lanes wait; nothing is parked for it.', 'Start the processor service.'),
  PROCESSOR_MODULE: spec('never', 'FAILED_PRECONDITION', 500, EXIT.config, 'A processor module cannot be loaded or does not export what it must.', 'Correct the module that is named.'),
  STATEMENT_FAILED: spec('never', 'FAILED_PRECONDITION', 409, EXIT.refused, 'The database refused a statement of a write request.', 'Correct the data or the processor, then `wmb parked retry`.'),
  BEHIND_PARKED: spec('later', 'FAILED_PRECONDITION', 409, EXIT.refused, 'An earlier write request of the same key is parked.', 'Retry or discard the earlier one; this one follows by itself.'),
  RETRY_BEGUN: spec('later', 'UNAVAILABLE', 503, EXIT.refused, 'A retry of a parked write request began and did not finish; a store of this room, or a slave room, may have it already.', 'Correct what the retry failed on; it is finished by itself, or by `wmb parked retry`. It cannot be discarded any more.'),
  LANE_BEHIND: spec('later', 'UNAVAILABLE', 503, EXIT.refused, 'A parked write request stands ahead of the mark of its lane: its frame is going to be taken again.', 'Wait until its lane has gone on (`wmb status`), then retry or discard it.'),
  PARKING_FULL: spec('later', 'RESOURCE_EXHAUSTED', 507, EXIT.unavailable, 'The parking lot holds as many write requests or bytes as it may. A lane that would have to park one more waits, in order; nothing is lost.', 'Correct what parks them, then `wmb parked retry --all`, or `wmb parked discard`; the lanes go on by themselves.'),
  // stores
  STORE_LOCKED: spec('later', 'FAILED_PRECONDITION', 503, EXIT.environment, 'Another process has the store open.', 'Stop the process that is named.'),
  STORE_FOREIGN: spec('never', 'FAILED_PRECONDITION', 500, EXIT.config, 'The store holds data of another room or of a newer WMB.', 'Point the room at its own store.'),
  STORE_FULL: spec('later', 'RESOURCE_EXHAUSTED', 507, EXIT.environment, 'No space is left for the store. The lanes wait.', 'Free space; work resumes by itself.'),
  STORE_UNAVAILABLE: spec('later', 'UNAVAILABLE', 503, EXIT.unavailable, 'The store cannot be reached or failed to answer. The lanes wait.', 'It is retried; see the cause.'),
  STORE_READONLY: spec('never', 'FAILED_PRECONDITION', 500, EXIT.environment, 'The store’s directory or file cannot be written.', 'Check permissions and mount options.'),
  STORE_CORRUPT: spec('never', 'DATA_LOSS', 500, EXIT.environment, 'The store’s file is damaged.', 'Restore the store from a copy; the lanes replay from the marks in it.'),
  STORE_DENIED: spec('never', 'FAILED_PRECONDITION', 500, EXIT.config, 'The store’s server refuses the user: wrong name or password, or a missing privilege.', 'Correct the user or its password in the configuration, or grant what the message names.'),
  STORE_UNFIT: spec('never', 'FAILED_PRECONDITION', 500, EXIT.config, 'The store’s server is too old, or has a setting with which WMB cannot keep its promises.', 'Do what the message says: upgrade the server, or change the setting.'),
  STORE_UNPREPARED: spec('never', 'FAILED_PRECONDITION', 500, EXIT.config, 'The database has no schema of this name, or none of WMB’s own tables.', 'Run `wmb db init` in the master room; in a slave room `wmb db replicate --apply`.'),
  REPLICA_DIVERGED: spec('never', 'FAILED_PRECONDITION', 409, EXIT.refused, 'A slave’s database server has what the master’s does not have, or lacks what it no longer has: replication cannot make them equal.', 'Do what the message says; docs/mysql.md, “When a slave has diverged”, has the steps.'),
  SCHEMA_INVALID: spec('never', 'FAILED_PRECONDITION', 500, EXIT.config, 'The schema file of the database has an error, or a table in it cannot be replicated; file, line and table are named.', 'Correct the named statement.'),
  MARK_MOVED: spec('later', 'FAILED_PRECONDITION', 409, EXIT.refused, 'The stored mark is not the expected one: another collector owns the lane, or the store came back from an older copy.', 'Nothing: work resumes from the stored mark.'),
  CHANGES_CONFLICT: spec('never', 'FAILED_PRECONDITION', 409, EXIT.refused, 'A row of this slave database is not what the master’s change expects: it was changed here by hand or by another program.', 'Restore the slave database from the master.'),
  // checker
  CHECKER_ABSENT: spec('never', 'FAILED_PRECONDITION', 409, EXIT.config, 'A room has no checker in the topology: nothing verifies it.', 'Add `checker: { grpc: HOST:PORT, http: HOST:PORT }` to the room in the topology, in every room’s copy, and start it with `wmb up` or `wmb checker`.'),
  REPAIR_LIMIT: spec('never', 'RESOURCE_EXHAUSTED', 409, EXIT.refused, 'A repair would change more keys and write requests than it may at once. Nothing was changed beyond what it said before.', 'Look at the report first: so many drifts have one cause. Then repair some of them by their ids, or raise the limit for this once with `--limit N`.'),
  // lookups and environment
  NOT_FOUND: spec('never', 'NOT_FOUND', 404, EXIT.refused, 'What was asked for does not exist.', 'Check the spelling.'),
  PORT_IN_USE: spec('later', 'FAILED_PRECONDITION', 500, EXIT.environment, 'An address to listen on is taken.', 'Stop the other program or choose another address.'),
  UNREACHABLE: spec('later', 'UNAVAILABLE', 503, EXIT.unavailable, 'A daemon does not answer the command.', 'Is it running? Start it with `wmb up --config …`.'),
  DIFFERENCE: spec('never', 'FAILED_PRECONDITION', 409, EXIT.difference, 'A comparison found a difference.', 'See the report.'),
  INTERNAL: spec('never', 'INTERNAL', 500, EXIT.internal, 'A defect of WMB.', 'Please report it with the log.'),
} as const satisfies Record<string, ErrorSpec>;

export type ErrorCode = keyof typeof ERRORS;

/** The one error class. `message` says what was wrong, where, and (with the code's remedy) what to do. */
export class WmbError extends Error {
  readonly code: ErrorCode;
  /** Hint for the caller, milliseconds. */
  readonly retryAfterMs: number | undefined;

  constructor(code: ErrorCode, message: string, options: { cause?: unknown; retryAfterMs?: number } = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.name = 'WmbError';
    this.code = code;
    this.retryAfterMs = options.retryAfterMs;
  }

  /** Code and message in one line: a reason that stands in a status. */
  get told(): string {
    return `${this.code}: ${this.message}`;
  }

  get retry(): Retry {
    return ERRORS[this.code].retry;
  }
}

/** `cause` itself when it is a WmbError, otherwise an INTERNAL one around it. */
export function asWmbError(cause: unknown, code: ErrorCode = 'INTERNAL'): WmbError {
  if (cause instanceof WmbError) return cause;
  return new WmbError(code, cause instanceof Error ? cause.message : String(cause), { cause });
}
