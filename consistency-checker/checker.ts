/**
 * The checker's loop. For each peer a round after the other (peer-rounds.ts); beside them a look at this room's own lanes, from which nothing but alarms comes: of lanes that stand still, of
 * peers' checkers that are silent or answer what cannot be, and of this room's own collector, without which nothing can be said at all.
 */
import type { CheckerConfig, Topology } from '../core/config/types.ts';
import { asWmbError, WmbError } from '../core/errors.ts';
import type { Logger } from '../core/logger.ts';
import { type Runtime, sleep } from '../core/runtime.ts';
import { stampMs } from '../core/stamp.ts';
import { roomEntry } from '../core/topology.ts';
import type { RoomId } from '../core/words.ts';
import type { Service } from '../daemon/service.ts';
import type { ConfirmedKey } from './cache/comparison.ts';
import type { Drift } from './drift.ts';
import type { ConfirmedReceipt } from './messages/comparison.ts';
import type { InheritedAlarm, LaneAlarm, LaneWatch } from './messages/lanes.ts';
import type { RoundMeters } from './meters.ts';
import { isBetween, type PeerRounds, type PeerState } from './peer-rounds.ts';
import type { CacheCopy } from './repair/copy.ts';
import type { WatchedBook } from './report/watched-book.ts';
import type { Horizon, RoomView } from './room.ts';

export interface CheckerOptions {
  readonly own: RoomView;
  readonly topology: Topology;
  readonly settings: CheckerConfig;
  readonly lanes: LaneWatch;
  /** Of a peer's cache, where lanes of this room stand on a gap that its own has. */
  readonly copy: Pick<CacheCopy, 'look' | 'stop'>;
  /** The keeper of the digest tree, the canaries: started and stopped with the rounds. */
  readonly background: readonly { start(): void; stop(): void | Promise<void> }[];
  /** By peer with a checker. */
  readonly rounds: ReadonlyMap<RoomId, PeerRounds>;
  readonly alarmOf: (alarm: LaneAlarm, about: RoomId) => Drift;
  readonly book: WatchedBook;
  readonly meters: RoundMeters;
  readonly runtime: Runtime;
  readonly logger: Logger;
}

/** How this room stands with one peer; of a peer without a checker nothing but that is known. */
export interface PeerVerification extends PeerState {
  readonly open: number;
  readonly canaryAgeMs: number;
}

export class Checker implements Service {
  readonly name = 'checker';
  readonly #options: CheckerOptions;
  readonly #stopped = new AbortController();
  #running: Promise<void> = Promise.resolve();
  #horizon: { readonly horizon: Horizon; readonly readMs: number } | undefined;
  #ownFailing: { readonly since: number; readonly sinceMs: number; readonly error: WmbError } | undefined;

  constructor(options: CheckerOptions) {
    this.#options = options;
  }

  async start(): Promise<void> {
    const { background, rounds, lanes, book } = this.#options;
    lanes.inherit([...book.openDrifts.values()].flatMap(laneAlarmOf));
    for (const part of background) part.start();
    for (const each of rounds.values()) each.start();
    this.#running = this.#run();
  }

  /** Rounds under way are finished, and none is begun. */
  async drain(): Promise<void> {
    this.#stopped.abort();
    await Promise.all([this.#running, this.#options.copy.stop(), ...[...this.#options.rounds.values()].map((each) => each.stop())]);
  }

  async stop(): Promise<void> {
    this.#stopped.abort();
    for (const part of [...this.#options.background].reverse()) await part.stop();
  }

  /** Why nothing can be verified, whoever the peer is. */
  unready(): string | undefined {
    if (this.#ownFailing !== undefined) return this.#ownFailing.error.message;
    return this.#horizon === undefined ? 'this room’s collector has not answered yet' : undefined;
  }

  /** One for every other room of the topology. */
  peers(): readonly PeerVerification[] {
    const { own, topology, rounds, book } = this.#options;
    const ages = this.canaryAges();
    return topology.rooms
      .filter(({ id }) => id !== own.room)
      .map(({ id }) => ({
        ...(rounds.get(id)?.state ?? withoutChecker(topology, own.room, id)),
        open: countIf(book.openDrifts.values(), (drift) => isBetween(drift, [own.room, id])),
        canaryAgeMs: ages.get(id) ?? 0,
      }));
  }

  /** By origin: how old what came last through its slowest lane is now. */
  canaryAges(): ReadonlyMap<RoomId, number> {
    const ages = new Map<RoomId, number>();
    if (this.#horizon === undefined) return ages;
    const { horizon, readMs } = this.#horizon;
    const nowMs = horizon.nowMs + this.#options.runtime.monotonicMs() - readMs;
    for (const { origin, seen } of horizon.lanes) {
      if (seen !== '') ages.set(origin, Math.round(Math.max(0, ages.get(origin) ?? 0, nowMs - stampMs(seen))));
    }
    return ages;
  }

  /** Both sides of a drift, read now; undefined: they agree. */
  async differs(drift: Drift): Promise<ConfirmedKey | ConfirmedReceipt | undefined> {
    const { own, rounds } = this.#options;
    const peer = drift.sides.find(({ room }) => room !== own.room)?.room ?? '';
    const pair = rounds.get(peer);
    if (pair === undefined)
      throw new WmbError('ROOM_UNKNOWN', `drift ${drift.id} is with room ${peer || own.room}, whose checker cannot be asked`);
    return pair.differs(drift);
  }

  async #run(): Promise<void> {
    const { settings, runtime, logger } = this.#options;
    const { signal } = this.#stopped;
    while (!signal.aborted) {
      try {
        await this.#lookAround();
      } catch (cause) {
        logger.error({ err: cause }, 'alarms could not be recorded');
      }
      await sleep(runtime, settings.roundMs, signal);
    }
  }

  async #lookAround(): Promise<void> {
    const { own, lanes, copy, rounds } = this.#options;
    const horizon = await this.#readHorizon();
    if (this.#stopped.signal.aborted) return;
    // What a silent collector says nothing of stays as it is.
    if (horizon !== undefined) {
      copy.look(horizon);
      const alarms = lanes.look(horizon).map((alarm) => this.#options.alarmOf(alarm, alarm.origin));
      await this.#settle('lane', alarms, () => true);
    }
    await this.#settle('collector', this.#ownAlarms(own.room), () => this.#ownFailing === undefined);
    // No silence is not an answer: this checker may have just begun to ask, or cannot ask while its own collector is away.
    await this.#settle('checker', this.#peerAlarms(), (peer) => rounds.get(peer)?.state.answered ?? true);
  }

  async #readHorizon(): Promise<Horizon | undefined> {
    const { own, runtime, logger } = this.#options;
    try {
      const horizon = await own.horizon();
      this.#horizon = { horizon, readMs: runtime.monotonicMs() };
      if (this.#ownFailing !== undefined) logger.info({}, 'this room’s collector answers again');
      this.#ownFailing = undefined;
      return horizon;
    } catch (cause) {
      const error = asWmbError(cause);
      if (this.#ownFailing === undefined) logger.warn({ code: error.code, error: error.message }, 'this room’s collector does not answer');
      const { since, sinceMs } = this.#ownFailing ?? { since: runtime.monotonicMs(), sinceMs: runtime.nowMs() };
      this.#ownFailing = { since, sinceMs, error };
      return undefined;
    }
  }

  #ownAlarms(room: RoomId): readonly Drift[] {
    const { settings, runtime, alarmOf } = this.#options;
    const failing = this.#ownFailing;
    if (failing === undefined || runtime.monotonicMs() - failing.since <= settings.silenceMsMax) return [];
    const text = `the checker of ${room} cannot ask its own collector: ${failing.error.message}`;
    return [alarmOf({ lane: `collector/${room}`, origin: room, level: 'L0', text, sinceMs: failing.sinceMs }, room)];
  }

  #peerAlarms(): readonly Drift[] {
    const { settings, rounds, alarmOf } = this.#options;
    return [...rounds.values()].flatMap(({ state: { room, silence } }) => {
      if (silence === undefined || silence.forMs <= settings.silenceMsMax) return [];
      const text = `the checker of ${room} cannot be compared with: ${silence.error.code}: ${silence.error.message}`;
      return [alarmOf({ lane: `checker/${room}`, origin: room, level: 'L0', text, sinceMs: silence.sinceMs }, room)];
    });
  }

  /** Records the alarms that there are now, and closes those of the same source that are over; `goesOn`: whether the room of a source is known to. */
  async #settle(source: AlarmSource, alarms: readonly Drift[], goesOn: (room: RoomId) => boolean): Promise<void> {
    const { book, meters, runtime, logger } = this.#options;
    const current = new Set(alarms.map(({ id }) => id));
    for (const alarm of alarms) {
      if (isSameAlarm(book.openDrifts.get(alarm.id), alarm) || !(await book.found(alarm))) continue;
      meters.found(alarm);
      logger.warn({ drift: alarm.id, lane: alarm.subject.name, reason: alarm.causeText }, 'alarm');
    }
    const isOver = (drift: Drift) =>
      sourceOf(drift) === source && !current.has(drift.id) && goesOn(drift.subject.name.replace(/^.*\//, ''));
    const over = [...book.openDrifts.values()].filter(isOver);
    for (const { id, kind, subject } of over) {
      if (!(await book.settle(id, { status: 'healed', closedMs: runtime.nowMs(), note: 'it goes on again' }))) continue;
      meters.closed({ kind, status: 'healed' });
      logger.info({ drift: id, lane: subject.name }, 'an alarm is over');
    }
  }
}

/** Their texts tell how long it lasts already: that alone is no news. */
function isSameAlarm(known: Drift | undefined, alarm: Drift): boolean {
  const plain = (text: string) => text.replace(/\d+/g, '#');
  return known !== undefined && known.level === alarm.level && plain(known.causeText) === plain(alarm.causeText);
}

type AlarmSource = 'lane' | 'collector' | 'checker';

/** Undefined of a drift that is no alarm. */
function sourceOf({ kind, subject }: Drift): AlarmSource | undefined {
  if (kind !== 'stuck') return undefined;
  if (subject.name.startsWith('checker/')) return 'checker';
  return subject.name.startsWith('collector/') ? 'collector' : 'lane';
}

/** Of a drift that is an alarm about a lane. */
function laneAlarmOf(drift: Drift): readonly InheritedAlarm[] {
  const { subject, level, firstSeenMs } = drift;
  return sourceOf(drift) !== 'lane' ? [] : [{ lane: subject.name, level: level === 'L1' ? 'L1' : 'L0', sinceMs: firstSeenMs }];
}

function withoutChecker(topology: Topology, own: RoomId, room: RoomId): PeerState {
  const bare = roomEntry(topology, room)?.checker === undefined ? room : own;
  const reason = `CHECKER_ABSENT: room ${bare} has no checker in the topology`;
  return { room, verifiedMs: 0, reason, suspects: 0, rounds: 0, roundBytes: 0, roundMs: 0, answered: false, silence: undefined };
}

function countIf<T>(items: Iterable<T>, wanted: (item: T) => boolean): number {
  let count = 0;
  for (const item of items) if (wanted(item)) count += 1;
  return count;
}
