/**
 * Finds the leaves in which two rooms differ: from the sixteen nodes at the top down, only where they differ. A round follows a bounded number of nodes; the
 * next one goes on behind the last leaf that was looked at, so that leaves which differ for long (open drifts, constant traffic) keep
 * no other from its turn.
 */
import { BUCKETS } from '../../core/converge/bucket.ts';
import { WmbError } from '../../core/errors.ts';
import type { NodeDigests } from '../room.ts';
import { FAN_OUT, LEAF_LEVEL, nodeAbove, nodesOf } from './tree.ts';

/** Nodes followed at each level. */
const FOLLOWED_MAX = 32;
/** Of those above the leaves, each with sixteen leaves, so many are asked for at once. */
const LOOKED_AT_ONCE = 4;

export interface NodeSource {
  nodes(query: { readonly level: number; readonly parents: readonly number[] }): Promise<NodeDigests>;
}

/** What a round has seen of the tree. */
export class Descent {
  readonly #mine: NodeSource;
  readonly #theirs: NodeSource;
  readonly #cursor: number;
  /** By level: what was compared, and whether it was equal. */
  readonly #equal: readonly Map<number, boolean>[] = Array.from({ length: LEAF_LEVEL + 1 }, () => new Map());
  #built = 1;
  #left: number[] = [];
  #cut = false;

  constructor(rooms: { readonly mine: NodeSource; readonly theirs: NodeSource; readonly cursor: number }) {
    this.#mine = rooms.mine;
    this.#theirs = rooms.theirs;
    this.#cursor = rooms.cursor;
  }

  /** Everything that differs was looked at, and both trees are whole. */
  get complete(): boolean {
    return !this.#cut && this.#left.length === 0 && this.#built === 1;
  }

  /** Both rooms had the same in this bucket when it was last computed. */
  isEqual(bucket: number): boolean {
    if (this.#built < 1) return false;
    return this.#equal.some((nodes, level) => nodes.get(nodeAbove(bucket, level)) === true);
  }

  /** Down to the nodes above the leaves. */
  async begin(): Promise<void> {
    let parents: readonly number[] = [0];
    for (let level = 0; level < LEAF_LEVEL && parents.length > 0; level += 1) {
      const all = await this.#differing(level, parents);
      // Of the node that the cursor is in, what lies behind the cursor would be looked at last and set the cursor back to where it is, again and again.
      const differing = this.#cut ? all.filter((node) => !this.#isBehindCursor(node, level)) : all;
      this.#cut ||= differing.length > FOLLOWED_MAX;
      parents = differing.slice(0, FOLLOWED_MAX);
    }
    this.#left = [...parents];
  }

  /** The leaves that differ among the next ones, and where the next round goes on if this is the last call. Undefined: there are no more. */
  async next(): Promise<{ readonly leaves: readonly number[]; readonly cursor: number } | undefined> {
    const parents = this.#left.slice(0, LOOKED_AT_ONCE);
    const last = parents.at(-1);
    if (last === undefined) return undefined;
    const leaves = await this.#differing(LEAF_LEVEL, parents);
    this.#left = this.#left.slice(LOOKED_AT_ONCE);
    return { leaves, cursor: ((last + 1) * FAN_OUT) % BUCKETS };
  }

  /** In the same node of the level above as the cursor, and before it. */
  #isBehindCursor(node: number, level: number): boolean {
    const start = nodeAbove(this.#cursor, level);
    return node < start && Math.floor(node / FAN_OUT) === Math.floor(start / FAN_OUT);
  }

  /** Children that differ, in the order of the leaves from the cursor on. */
  async #differing(level: number, parents: readonly number[]): Promise<number[]> {
    const [mine, theirs] = await Promise.all([this.#mine.nodes({ level, parents }), this.#theirs.nodes({ level, parents })]);
    this.#built = Math.min(this.#built, mine.built, theirs.built);
    const digests = [mine, theirs].map((answer) => checked(answer, parents.length)) as [DataView, DataView];
    const differing: number[] = [];
    parents.forEach((parent, at) => {
      for (let child = 0; child < FAN_OUT; child += 1) {
        const equal = sameDigest(digests, (at * FAN_OUT + child) * 8);
        this.#equal[level]?.set(parent * FAN_OUT + child, equal);
        if (!equal) differing.push(parent * FAN_OUT + child);
      }
    });
    const start = nodeAbove(this.#cursor, level);
    const order = (node: number) => (node - start + nodesOf(level)) % nodesOf(level);
    return differing.sort((a, b) => order(a) - order(b));
  }
}

function checked({ digests }: NodeDigests, parents: number): DataView {
  const bytes = parents * FAN_OUT * 8;
  if (digests.length !== bytes) throw new WmbError('PEER_GARBAGE', `${digests.length} bytes of node digests where ${bytes} were asked for`);
  return new DataView(digests.buffer, digests.byteOffset, digests.length);
}

function sameDigest([mine, theirs]: readonly [DataView, DataView], at: number): boolean {
  return mine.getUint32(at) === theirs.getUint32(at) && mine.getUint32(at + 4) === theirs.getUint32(at + 4);
}
