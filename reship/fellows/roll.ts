/**
 * Who of the room's reships is there, and what each said last: what they say in one order, put together. All of them come to the same, each when it has heard so far.
 */
import { holds, overlaps } from '../../core/share.ts';
import { leastStamp, NO_STAMP, type Stamp } from '../../core/stamp.ts';
import type { Seq } from '../../core/words.ts';
import type { PeerAck, PeerSessionName } from '../ship/peer-ack.ts';
import type { GivenUp, Said, TopicTaken } from './said.ts';

/** What is settled is of use where the log is known so far; more of it than this is not kept. */
const PENDING_MAX = 64;

/** What a process has sent to Kafka arrives also when it is dead by then: it counts for so long after somebody else has its seat. */
const LINGER_MS = 3_000;

/** How far a log is known here: by partition, the seq behind its last frame. */
type Extents = (partition: number) => Seq;

interface Fellow {
  readonly name: string;
  readonly seat: string;
  readonly address: string;
  readonly joinedAt: number;
  /** Where its last word stands. */
  lastAt: number;
  /** Monotonic: when it was heard of last. */
  heardMs: number;
  heardTo: number;
  settled: Stamp;
  waits: boolean;
  topics: readonly TopicTaken[];
  /** It is dead; this is when it ends to count. */
  lingersToMs?: number;
  /** What was settled where the log was known so far here. */
  usable: Stamp;
  /** In the order in which it was said. */
  pending: { readonly settled: Stamp; readonly ends: readonly Seq[]; readonly acks: readonly PeerAck[] }[];
}

interface Placed extends PeerSessionName {
  readonly name: string;
}

export interface FellowView {
  readonly name: string;
  readonly address: string;
  readonly heardMs: number;
  readonly sessions: readonly PeerSessionName[];
  readonly topics: readonly TopicTaken[];
}

/** What follows from a record for the one who keeps this roll. */
export interface News {
  /** Sessions of its own that a newer one elsewhere has taken the place of. */
  readonly ended: readonly string[];
  /** The others take it for gone. */
  readonly isGone: boolean;
}

const NOTHING_NEW: News = { ended: [], isGone: false };

export class Roll {
  readonly #self: Pick<Said, 'name' | 'seat'>;
  /** They have left, are gone, or somebody else has their seat: what they may still say counts no more. */
  readonly #over = new Set<string>();
  /** In the order in which they joined; without this one. */
  #fellows: Fellow[] = [];
  /** They are over; what they have appended may not be known here yet. */
  #leaving: Fellow[] = [];
  #joinedAt: number | undefined;
  /** Where this one's last word stands that was heard. */
  #lastAt = -1;
  /** The newest of every share of every peer, wherever it is. */
  #sessions: Placed[] = [];
  /** By name, what it said last to have, whether or not it has it still. */
  readonly #listed = new Map<string, ReadonlySet<string>>();

  constructor(self: Pick<Said, 'name' | 'seat'>) {
    this.#self = self;
  }

  /** Takes what was said at a place in the order. */
  take(at: number, said: Said, nowMs: number): News {
    if (this.#over.has(said.name)) return NOTHING_NEW;
    const gone = said.gone.filter((each) => this.#isStill(each));
    for (const { name } of gone) this.#remove(name);
    // Whoever had the seat before is dead: the next one has its lock.
    if (said.how === 'joins')
      for (const fellow of this.#living) if (fellow.seat === said.seat && fellow.name !== said.name) this.#outlive(fellow, nowMs);
    const isOwn = said.name === this.#self.name;
    const isGone =
      gone.some(({ name }) => name === this.#self.name) || (!isOwn && said.seat === this.#self.seat && this.#joinedAt !== undefined);
    const ended = this.#place(said);
    if (isOwn) this.#hearItself(at);
    else this.#hear(at, said, nowMs);
    return { ended, isGone };
  }

  #hearItself(at: number): void {
    this.#joinedAt ??= at;
    this.#lastAt = at;
  }

  /** Whether it has said nothing since. */
  #isStill({ name, at }: GivenUp): boolean {
    if (name === this.#self.name) return at === this.#lastAt;
    return this.#fellows.some((fellow) => fellow.name === name && fellow.lastAt === at);
  }

  /** Whether this one has heard itself. */
  get hasJoined(): boolean {
    return this.#joinedAt !== undefined;
  }

  get isAlone(): boolean {
    return this.#fellows.length === 0;
  }

  get isWaitedFor(): boolean {
    return this.#living.some(({ waits }) => waits);
  }

  /** Up to here every write request of the others is in the log before whatever is appended from now on. */
  get settled(): Stamp {
    return leastStamp(this.#fellows.map(({ settled }) => settled));
  }

  /** The same for what is known of the log here: what the others have durable up to there is known. */
  get settledHere(): Stamp {
    return leastStamp([...this.#fellows, ...this.#leaving].map(({ usable }) => usable));
  }

  /** Whether nobody else counts for what is claimed here. */
  get isWholeHere(): boolean {
    return this.#fellows.length + this.#leaving.length === 0;
  }

  get leaving(): readonly string[] {
    return this.#leaving.map(({ name }) => name);
  }

  /** All that these have appended is known here. */
  release(names: readonly string[]): void {
    this.#leaving = this.#leaving.filter(({ name }) => !names.includes(name));
  }

  /** Those who may have claimed something before they heard that this one joined. */
  unaware(): readonly FellowView[] {
    const at = this.#joinedAt ?? Number.POSITIVE_INFINITY;
    return this.#living.filter(({ heardTo }) => heardTo < at).map((fellow) => this.#view(fellow));
  }

  /** Those who were heard of since, and this one, in the order in which they joined. */
  awake(sinceMs: number): readonly string[] {
    const others = this.#living.filter(({ heardMs }) => heardMs >= sinceMs);
    const self = this.#joinedAt === undefined ? [] : [{ name: this.#self.name, joinedAt: this.#joinedAt }];
    return [...others, ...self].sort((a, b) => a.joinedAt - b.joinedAt).map(({ name }) => name);
  }

  silent(sinceMs: number): readonly GivenUp[] {
    return this.#living.filter(({ heardMs }) => heardMs < sinceMs).map(({ name, lastAt }) => ({ name, at: lastAt }));
  }

  /** Those who lingered for long enough count no more. */
  expire(nowMs: number): void {
    for (const { name, lingersToMs } of this.#fellows) if (lingersToMs !== undefined && lingersToMs <= nowMs) this.#remove(name);
  }

  /** Silence counts from now on: nobody could be heard. */
  excuse(nowMs: number): void {
    for (const fellow of this.#fellows) fellow.heardMs = nowMs;
  }

  /** The log is known further: what was said with regard to it counts now. Returns the acks. */
  advance(extents: Extents): readonly PeerAck[] {
    const acks: PeerAck[] = [];
    for (const fellow of this.#fellows) {
      while (fellow.pending[0]?.ends.every((next, partition) => extents(partition) >= next)) {
        const reached = fellow.pending.shift();
        if (reached === undefined) break;
        fellow.usable = reached.settled;
        acks.push(...reached.acks.filter((ack) => this.#has(fellow.name, ack)));
      }
    }
    return acks;
  }

  views(): readonly FellowView[] {
    return this.#living.map((fellow) => this.#view(fellow));
  }

  #view({ name, address, heardMs, topics }: Fellow): FellowView {
    return { name, address, heardMs, topics, sessions: this.#sessions.filter((session) => session.name === name) };
  }

  get #living(): readonly Fellow[] {
    return this.#fellows.filter(({ lingersToMs }) => lingersToMs === undefined);
  }

  #outlive(fellow: Fellow, nowMs: number): void {
    fellow.lingersToMs = nowMs + LINGER_MS;
    this.#over.add(fellow.name);
    this.#sessions = this.#sessions.filter(({ name }) => name !== fellow.name);
  }

  #hear(at: number, said: Said, nowMs: number): void {
    if (said.how === 'leaves') {
      this.#remove(said.name);
      return;
    }
    let fellow = this.#fellows.find(({ name }) => name === said.name);
    if (fellow === undefined) {
      const { name, seat, address } = said;
      fellow = {
        ...{ name, seat, address },
        joinedAt: at,
        lastAt: at,
        heardMs: nowMs,
        heardTo: -1,
        settled: NO_STAMP,
        waits: false,
        topics: [],
        usable: NO_STAMP,
        pending: [],
      };
      this.#fellows.push(fellow);
    }
    fellow.lastAt = at;
    fellow.heardMs = nowMs;
    fellow.heardTo = said.heardTo;
    fellow.settled = said.settled;
    fellow.waits = said.waits;
    fellow.topics = said.topics ?? [];
    const { settled, ends, acks } = said;
    const merged = fellow.pending.length < PENDING_MAX ? undefined : fellow.pending.pop();
    fellow.pending.push({ settled, ends, acks: [...(merged?.acks ?? []), ...acks] });
  }

  #remove(name: string): void {
    this.#over.add(name);
    this.#listed.delete(name);
    this.#leaving.push(...this.#fellows.filter((fellow) => fellow.name === name));
    this.#fellows = this.#fellows.filter((fellow) => fellow.name !== name);
    this.#sessions = this.#sessions.filter((session) => session.name !== name);
  }

  /** Returns this one's sessions that are over with it. */
  #place({ name, sessions }: Said): string[] {
    this.#sessions = this.#sessions.filter((known) => known.name !== name || sessions.some(({ id }) => id === known.id));
    const ended: string[] = [];
    const before = this.#listed.get(name);
    this.#listed.set(name, new Set(sessions.map(({ id }) => id)));
    for (const session of sessions) {
      if (before?.has(session.id)) continue;
      const isOver = ({ peer, share }: Placed) => peer === session.peer && overlaps(share, session.share);
      for (const over of this.#sessions.filter(isOver)) if (over.name === this.#self.name && name !== this.#self.name) ended.push(over.id);
      this.#sessions = [...this.#sessions.filter((known) => !isOver(known)), { ...session, name }];
    }
    return ended;
  }

  /** Another one's acks for a partition may be older. */
  #has(name: string, { room, partition }: PeerAck): boolean {
    return this.#sessions.some((session) => session.name === name && session.peer === room && holds(session.share, partition));
  }
}
