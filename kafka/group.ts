/**
 * One member of a consumer group that shares the partitions of one topic. It is told what it gets, says that it is alive, and commits offsets.
 *
 * Written here because the library's own consumer beats its heart only between two batches, so that a batch that waits (for a full log, say) costs it the
 * group; and because it cannot commit what it has when its partitions are taken from it. Members join anew at every change (the eager protocol): whoever has partitions
 * finishes what is in flight, commits, and joins again. Offsets are refused from a member that is no longer one, by the number of the group's generation.
 */
import type { Runtime } from '../core/runtime.ts';
import type { KafkaCluster } from './cluster.ts';
import { dividePartitions } from './division.ts';
import type { Exchange } from './exchange.ts';
import {
  commitOffsets,
  decodeAssignment,
  decodeSubscription,
  encodeAssignment,
  encodeSubscription,
  fetchOffsets,
  findCoordinator,
  type GroupOffset,
  heartbeat,
  type JoinAnswer,
  joinGroup,
  leaveGroup,
  type Membership,
  syncGroup,
} from './group-requests.ts';
import { LEADER_NOT_AVAILABLE, protocolError } from './library.ts';

/** How members divide the partitions; all members of a group must know it. */
const PROTOCOL = 'wmb-sticky';

const NONE = 0;
const ILLEGAL_GENERATION = 22;
const UNKNOWN_MEMBER = 25;
const REBALANCE = 27;
const MEMBER_ID_REQUIRED = 79;
/** The group does not know this member (any more) as one of its present generation. */
const LOST: readonly number[] = [ILLEGAL_GENERATION, UNKNOWN_MEMBER];

export interface GroupOptions {
  readonly cluster: KafkaCluster;
  readonly group: string;
  /** Watched by the cluster. */
  readonly topic: string;
  readonly runtime: Runtime;
  /** A member that is silent for so long is given up, milliseconds. */
  readonly sessionMs: number;
  /** How long members may take to finish what they have when the partitions are divided anew, milliseconds. */
  readonly rebalanceMs: number;
}

/** `over`: partitions are divided anew, finish and join again. `lost`: they have been, without this member. */
export type Standing = 'member' | 'over' | 'lost';

export class Group {
  readonly #options: GroupOptions;
  #coordinator: number | undefined;
  #member = '';
  #generation = -1;
  #owned: readonly number[] = [];
  #heardMs = 0;

  constructor(options: GroupOptions) {
    this.#options = options;
  }

  /** Joins, or joins again. Resolves with the partitions that are this member's from now on. What it rejects with is the library's, see trouble.ts. */
  async join(): Promise<readonly number[]> {
    await this.locate();
    for (;;) {
      const joined = await this.#ask(joinGroup(this.#joining()));
      if (joined.error === MEMBER_ID_REQUIRED) this.#member = joined.member;
      else if (LOST.includes(joined.error)) this.#forget();
      else if (joined.error !== NONE) throw protocolError(joined.error);
      else if (await this.#sync(joined)) return this.#owned;
    }
  }

  /** Tells the group that this member lives, and what has become of its membership. */
  async beat(): Promise<Standing> {
    const askedMs = this.#options.runtime.monotonicMs();
    const error = await this.#ask(heartbeat(this.#membership));
    if (error === NONE || error === REBALANCE) this.#heardMs = askedMs;
    if (error === NONE) return 'member';
    if (error === REBALANCE) return 'over';
    if (!LOST.includes(error)) throw protocolError(error);
    this.#forget();
    return 'lost';
  }

  /** For so long at least the partitions are nobody else's, milliseconds; below zero: they may be. */
  get heldMs(): number {
    return this.#heardMs + this.#options.sessionMs - this.#options.runtime.monotonicMs();
  }

  /** Offsets and notes are the group's from now on; `lost`: they are not. */
  async commit(offsets: readonly GroupOffset[]): Promise<Standing> {
    if (offsets.length === 0) return 'member';
    const errors = await this.#ask(commitOffsets(this.#membership, this.#options.topic, offsets));
    const error = errors.find((one) => one !== NONE);
    if (error === undefined) return 'member';
    if (error === REBALANCE) return 'over';
    if (LOST.includes(error)) return 'lost';
    throw protocolError(error);
  }

  /** What the group has committed, for each of the partitions. */
  async committed(partitions: readonly number[]): Promise<readonly GroupOffset[]> {
    if (partitions.length === 0) return [];
    const { error, offsets } = await this.#ask(fetchOffsets(this.#options.group, this.#options.topic, partitions));
    if (error !== NONE) throw protocolError(error);
    return offsets;
  }

  /** The others get the partitions at once, and not when the session is over. */
  async leave(): Promise<void> {
    if (this.#member !== '') await this.#ask(leaveGroup(this.#membership));
    this.#forget();
  }

  get #membership(): Membership {
    return { group: this.#options.group, member: this.#member, generation: this.#generation };
  }

  #joining() {
    const { group, topic, sessionMs, rebalanceMs } = this.#options;
    return {
      group,
      member: this.#member,
      sessionMs,
      rebalanceMs,
      protocol: PROTOCOL,
      subscription: encodeSubscription(topic, this.#owned),
    };
  }

  /** False where the partitions are divided anew already. */
  async #sync(joined: JoinAnswer): Promise<boolean> {
    const { topic, rebalanceMs, runtime } = this.#options;
    const askedMs = runtime.monotonicMs();
    this.#member = joined.member;
    this.#generation = joined.generation;
    const assignments = joined.leader === joined.member ? this.#divide(joined) : new Map<string, Uint8Array>();
    const { error, assignment } = await this.#ask(syncGroup(this.#membership, assignments, rebalanceMs));
    if (error === REBALANCE) return false;
    if (LOST.includes(error)) {
      this.#forget();
      return false;
    }
    if (error !== NONE) throw protocolError(error);
    this.#owned = decodeAssignment(assignment, topic);
    this.#heardMs = askedMs;
    return true;
  }

  #divide({ members }: JoinAnswer): ReadonlyMap<string, Uint8Array> {
    const { cluster, topic } = this.#options;
    const sharing = members.flatMap(({ member, subscription }) => {
      const { topics, owned } = decodeSubscription(subscription, topic);
      return topics.includes(topic) ? [{ member, owned }] : [];
    });
    const divided = dividePartitions(cluster.partitions(topic)?.length ?? 0, sharing);
    return new Map([...divided].map(([member, partitions]) => [member, encodeAssignment(topic, partitions)]));
  }

  #forget(): void {
    this.#member = '';
    this.#generation = -1;
    this.#owned = [];
  }

  /** Finds the broker that coordinates the group, which may be another one now. */
  async locate(): Promise<void> {
    const { cluster, group, topic } = this.#options;
    await cluster.refresh();
    const leader = cluster.partitions(topic)?.find((partition) => partition.leader !== undefined)?.leader;
    if (leader === undefined) throw protocolError(LEADER_NOT_AVAILABLE);
    const { error, node } = await cluster.send(leader, findCoordinator(group));
    if (error !== NONE) throw protocolError(error);
    this.#coordinator = node;
  }

  #ask<T>(exchange: Exchange<T>): Promise<T> {
    if (this.#coordinator === undefined) throw protocolError(LEADER_NOT_AVAILABLE);
    return this.#options.cluster.send(this.#coordinator, exchange);
  }
}
