/**
 * The requests of a consumer group (Kafka's own, of protocol type `consumer`), as they are sent to its coordinator. An answer says its error by Kafka's number;
 * 0 is none. What the members say of themselves and are given has the form that all clients use, so that Kafka's tools can show it:
 *
 *     subscription   version (2), [topic], user data (bytes), [topic, [partition (4)]]: what the member has had until now
 *     assignment     version (2), [topic, [partition (4)]], user data (bytes)
 */
import type { Exchange } from './exchange.ts';
import { type Api, exchangeOf, WireReader, WireWriter } from './wire.ts';

const FIND_COORDINATOR: Api = { name: 'FindCoordinator', key: 10, version: 2 };
const JOIN_GROUP: Api = { name: 'JoinGroup', key: 11, version: 4 };
const HEARTBEAT: Api = { name: 'Heartbeat', key: 12, version: 2 };
const LEAVE_GROUP: Api = { name: 'LeaveGroup', key: 13, version: 2 };
const SYNC_GROUP: Api = { name: 'SyncGroup', key: 14, version: 2 };
const OFFSET_COMMIT: Api = { name: 'OffsetCommit', key: 8, version: 6 };
const OFFSET_FETCH: Api = { name: 'OffsetFetch', key: 9, version: 5 };

const PROTOCOL_TYPE = 'consumer';
const GROUP_KEY = 0;

/** One member of a group, in one of its generations. */
export interface Membership {
  readonly group: string;
  /** Empty before the coordinator has given one. */
  readonly member: string;
  readonly generation: number;
}

export interface JoinAnswer {
  readonly error: number;
  readonly generation: number;
  readonly leader: string;
  readonly member: string;
  /** For the leader, who divides the partitions; empty for the others. */
  readonly members: readonly { readonly member: string; readonly subscription: Buffer }[];
}

/** An offset that a group has committed, with what was noted beside it. */
export interface GroupOffset {
  readonly partition: number;
  /** Of the first record that has not been taken; -1 where nothing was ever committed. */
  readonly offset: number;
  readonly note: string;
}

interface FetchedOffsets {
  readonly error: number;
  readonly offsets: readonly GroupOffset[];
}

export function findCoordinator(group: string): Exchange<{ readonly error: number; readonly node: number }> {
  return exchangeOf(
    FIND_COORDINATOR,
    (target) => target.text(group).int8(GROUP_KEY),
    (source) => {
      const error = source.int16();
      source.text();
      return { error, node: source.int32() };
    },
  );
}

/** Answered when all members have come, or when those that have not are given up. */
export function joinGroup(options: {
  readonly group: string;
  readonly member: string;
  readonly sessionMs: number;
  readonly rebalanceMs: number;
  readonly protocol: string;
  readonly subscription: Uint8Array;
}): Exchange<JoinAnswer> {
  const { group, member, sessionMs, rebalanceMs, protocol, subscription } = options;
  return exchangeOf<JoinAnswer>(
    JOIN_GROUP,
    (target) => {
      target.text(group).int32(sessionMs).int32(rebalanceMs).text(member).text(PROTOCOL_TYPE);
      target.list([protocol], (name) => target.text(name).blob(subscription));
    },
    (source) => {
      const error = source.int16();
      const generation = source.int32();
      source.text();
      const [leader, own] = [source.text(), source.text()];
      return {
        error,
        generation,
        leader,
        member: own,
        members: source.list(() => ({ member: source.text(), subscription: source.blob() })),
      };
    },
    rebalanceMs,
  );
}

/** The leader brings what it has decided, the others nothing; each is told its part. */
export function syncGroup(
  membership: Membership,
  assignments: ReadonlyMap<string, Uint8Array>,
  rebalanceMs: number,
): Exchange<{ readonly error: number; readonly assignment: Buffer }> {
  return exchangeOf(
    SYNC_GROUP,
    (target) => {
      writeMembership(target, membership);
      target.list([...assignments], ([member, assignment]) => target.text(member).blob(assignment));
    },
    (source) => ({ error: source.int16(), assignment: source.blob() }),
    rebalanceMs,
  );
}

export function heartbeat(membership: Membership): Exchange<number> {
  return exchangeOf(
    HEARTBEAT,
    (target) => writeMembership(target, membership),
    (source) => source.int16(),
  );
}

export function leaveGroup({ group, member }: Membership): Exchange<number> {
  return exchangeOf(
    LEAVE_GROUP,
    (target) => target.text(group).text(member),
    (source) => source.int16(),
  );
}

/** Answers with the error of each partition. */
export function commitOffsets(membership: Membership, topic: string, offsets: readonly GroupOffset[]): Exchange<readonly number[]> {
  return exchangeOf<readonly number[]>(
    OFFSET_COMMIT,
    (target) => {
      writeMembership(target, membership);
      target.list([topic], (name) => {
        target.text(name).list(offsets, ({ partition, offset, note }) => target.int32(partition).int64(offset).int32(-1).text(note));
      });
    },
    (source) => topicPartitions(source, () => source.int16()).map(([, error]) => error),
  );
}

export function fetchOffsets(group: string, topic: string, partitions: readonly number[]): Exchange<FetchedOffsets> {
  return exchangeOf<FetchedOffsets>(
    OFFSET_FETCH,
    (target) => target.text(group).list([topic], (name) => target.text(name).list(partitions, (partition) => target.int32(partition))),
    (source) => {
      let failure = 0;
      const offsets = topicPartitions(source, () => {
        const offset = source.int64();
        source.int32();
        const note = source.text();
        failure ||= source.int16();
        return { offset, note };
      }).map(([partition, found]) => ({ partition, ...found }));
      return { error: source.int16() || failure, offsets };
    },
  );
}

function writeMembership(target: WireWriter, { group, generation, member }: Membership): void {
  target.text(group).int32(generation).text(member);
}

/** Over all topics of the answer: there is one. */
function topicPartitions<T>(source: WireReader, read: () => T): (readonly [partition: number, value: T])[] {
  return source
    .list(() => {
      source.text();
      return source.list(() => [source.int32(), read()] as const);
    })
    .flat();
}

// ── what members say and are given ─────────────────────────────────────────────────────────────────────────────────

export function encodeSubscription(topic: string, owned: readonly number[]): Buffer {
  const target = new WireWriter().int16(1);
  target.list([topic], (name) => target.text(name)).blob(new Uint8Array(0));
  writePartitions(target, topic, owned);
  return target.bytes();
}

export function encodeAssignment(topic: string, partitions: readonly number[]): Buffer {
  const target = new WireWriter().int16(0);
  writePartitions(target, topic, partitions);
  return target.blob(new Uint8Array(0)).bytes();
}

export interface Subscription {
  readonly topics: readonly string[];
  /** Of the topics in question, what the member has had until now. */
  readonly owned: readonly number[];
}

/** Of any client's: older ones do not say what they had. */
export function decodeSubscription(bytes: Buffer, topic: string): Subscription {
  const source = new WireReader(bytes);
  const version = source.int16();
  const topics = source.list(() => source.text());
  source.blob();
  return { topics, owned: version < 1 || source.isAtEnd ? [] : readPartitions(source, topic) };
}

/** None where the coordinator had nothing for the member. */
export function decodeAssignment(bytes: Buffer, topic: string): readonly number[] {
  if (bytes.length === 0) return [];
  const source = new WireReader(bytes);
  source.int16();
  return readPartitions(source, topic);
}

function writePartitions(target: WireWriter, topic: string, partitions: readonly number[]): void {
  target.list([topic], (name) => target.text(name).list(partitions, (partition) => target.int32(partition)));
}

function readPartitions(source: WireReader, topic: string): number[] {
  const found = source.list(() => ({ name: source.text(), partitions: source.list(() => source.int32()) }));
  return found.filter(({ name }) => name === topic).flatMap(({ partitions }) => partitions);
}
