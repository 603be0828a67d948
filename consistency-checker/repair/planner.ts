/** From an open drift to what is to be done about it now: both sides are read and judged anew. */

import type { Topology } from '../../core/config/types.ts';
import { stateDigest } from '../../core/converge/state.ts';
import type { Position, RoomId } from '../../core/words.ts';
import type { CacheRepair } from '../../store/inspection.ts';
import type { DifferingRow } from '../../store/row-comparison.ts';
import type { ConfirmedKey } from '../cache/comparison.ts';
import type { Drift, RepairPlan } from '../drift.ts';
import type { ConfirmedReceipt } from '../messages/comparison.ts';
import type { Explainer } from '../report/explain.ts';
import type { KeyVerdict, PartVerdict } from '../report/key-verdict.ts';
import { type FoundRow, judgeRow, rowDiff, rowRepairText } from '../report/row.ts';
import type { SideIndex } from '../report/verdict.ts';
import type { RoomView } from '../room.ts';
import { planKey } from './plan.ts';
import { planLost } from './plan-lost.ts';

/** Either what is to be done, or the end of it. */
export type Prepared =
  | {
      readonly action: RepairPlan['action'];
      readonly repairs: readonly CacheRepair[];
      /** Of what is to be retried, and then there are no repairs; as with a row, which is to be written anew. */
      readonly position: Position | undefined;
      readonly row: DifferingRow | undefined;
      readonly keys: number;
      readonly diff: readonly string[];
      readonly text: string;
      /** Parts of the key that will be right. */
      readonly parts: readonly PartVerdict[];
    }
  | { readonly action: RepairPlan['action']; readonly result: 'unchanged' | 'refused'; readonly detail: string };

/** Both sides of a drift, read now; undefined: they agree. */
export type Differs = ConfirmedKey | ConfirmedReceipt | FoundRow | undefined;

export interface PlannerOptions {
  readonly own: RoomView;
  readonly explainer: Explainer;
  readonly differs: (drift: Drift) => Promise<Differs>;
}

export class Planner {
  readonly #options: PlannerOptions;

  constructor(options: PlannerOptions) {
    this.#options = options;
  }

  async prepare(drift: Drift, { peer, from }: { readonly peer: RoomId; readonly from: RoomId | '' }): Promise<Prepared> {
    const { differs, own } = this.#options;
    if (from !== '' && from !== own.room && from !== peer)
      return refused(drift, `--from ${from} is neither of the two rooms: ${own.room} and ${peer}`);
    const now = await differs(drift);
    if (now === undefined) return unchanged(drift, 'both rooms show the same by now');
    if ('row' in now) return this.#row(drift, now, { peer, from });
    return 'position' in now ? await this.#receipt(drift, now, peer) : await this.#key(drift, now, { peer, from });
  }

  /** As {@link Repairer} verifies: undefined, `others`, or what differs. */
  async leftOf(drift: Drift, done: Extract<Prepared, { keys: number }>, peer: RoomId): Promise<string | undefined> {
    const now = await this.#options.differs(drift);
    if (now === undefined) return undefined;
    if ('row' in now) return 'the row is not as the master’s still';
    if ('position' in now) return await this.#leftOfReceipt(now, done, peer);
    const verdict = await this.#options.explainer.examine(now, peer);
    if (verdict === undefined) return undefined;
    const same = (a: PartVerdict, b: PartVerdict) => a.part === b.part && a.difference.name === b.difference.name;
    const still = verdict.parts.filter((part) => !part.apart && done.parts.some((it) => same(it, part)));
    return still[0] === undefined ? 'others' : still[0].why || 'it shows another value';
  }

  /** The receipt of what was retried has changed; that of what was resent never does: its effects are what counts. */
  async #leftOfReceipt(
    now: ConfirmedReceipt,
    { position }: { readonly position: Position | undefined },
    peer: RoomId,
  ): Promise<string | undefined> {
    if (position !== undefined) return now.mine.outcome === 'parked' ? 'it is parked still' : 'others';
    return (await this.#options.explainer.judge(now, peer))?.why;
  }

  async explain(drift: Drift, peer: RoomId): Promise<Drift | undefined> {
    const { differs, explainer } = this.#options;
    const now = await differs(drift);
    if (now === undefined || 'row' in now) return undefined;
    return 'position' in now ? await explainer.receipt(now, peer) : await explainer.key(now, peer);
  }

  async #key(drift: Drift, now: ConfirmedKey, { peer, from }: { readonly peer: RoomId; readonly from: RoomId | '' }): Promise<Prepared> {
    const { own, explainer } = this.#options;
    const verdict = await explainer.examine(now, peer);
    if (verdict === undefined)
      return unchanged(drift, 'what differs is no drift of the key: its write requests are parked, or not for one of the rooms');
    const why = whyNot(verdict, { own: own.room, peer, from, id: drift.id });
    if (why !== undefined) return refused(drift, why);
    const topology: Topology = explainer.options.topology;
    const wrong: SideIndex = 0;
    const whole = from !== '' && !verdict.certain;
    const { repair, diff, text, parts } = planKey({ verdict: await this.#freshened(drift, verdict), wrong, topology, whole });
    if (repair === undefined) return refused(drift, text);
    return { ...NOTHING_ELSE, action: repair.action, repairs: [repair], diff, text, parts };
  }

  /**
   * Judging may take long, and the horizons of before are old then: the room would have settled beyond them. What was judged holds for the same states, whenever
   * they are read.
   */
  async #freshened(drift: Drift, verdict: KeyVerdict): Promise<KeyVerdict> {
    const now = await this.#options.differs(drift);
    if (now === undefined || !('key' in now)) return verdict;
    const isSame = [now.mine, now.theirs].every(
      ({ state }, side) => stateDigest(state) === stateDigest(verdict.answers[side as SideIndex].state),
    );
    return isSame ? { ...verdict, answers: [now.mine, now.theirs], horizons: now.horizons } : verdict;
  }

  /** What the master has is never written with what a slave has, whoever is told to be right. */
  #row(drift: Drift, found: FoundRow, { peer, from }: { readonly peer: RoomId; readonly from: RoomId | '' }): Prepared {
    const slave = this.#options.own.room;
    const rooms = { master: peer, slave };
    if (from === slave)
      return refused(drift, `--from ${slave} would write into the master what a slave has: write it there by a write request`);
    const { wrong, why } = judgeRow(found, rooms);
    if (wrong !== slave && from === '')
      return refused(drift, `${why}. Where what ${peer} has is right: \`wmb repair ${drift.id} --from ${peer}\``);
    if (found.refusal !== '') return refused(drift, found.refusal);
    return { ...NOTHING_ELSE, action: 'rewrite', row: found.row, diff: rowDiff(found), text: rowRepairText(found, rooms) };
  }

  async #receipt(drift: Drift, now: ConfirmedReceipt, peer: RoomId): Promise<Prepared> {
    const { own, explainer } = this.#options;
    const verdict = await explainer.judge(now, peer);
    if (verdict === undefined) return unchanged(drift, 'nothing of it is missing by now');
    if (verdict.kind === 'duplicated') return refused(drift, drift.repair.text);
    if (verdict.wrong !== 0) return refused(drift, elsewhere(verdict.wrong === undefined ? '' : peer, own.room));
    if (verdict.kind === 'parked') {
      const { diff, text } = drift.repair;
      return { ...NOTHING_ELSE, action: 'retry', position: now.position, diff, text };
    }
    const { repairs, diff, text } = planLost(verdict, explainer.options.runtime.nowMs());
    if (repairs.length === 0) return refused(drift, text);
    return { ...NOTHING_ELSE, action: 'resend', repairs, keys: repairs.length, diff, text };
  }
}

const NOTHING_ELSE = { repairs: [], position: undefined, row: undefined, keys: 1, parts: [] } as const;

/** Undefined: this room is the one to be repaired. */
function whyNot(
  verdict: KeyVerdict,
  of: { readonly own: RoomId; readonly peer: RoomId; readonly from: RoomId | ''; readonly id: string },
): string | undefined {
  const { own, peer, from, id } = of;
  const { wrong, why } = verdict.main;
  if (from === own) return `--from ${own} would change ${peer}: its own checker does that (a checker never writes into another room)`;
  if (from === '' && wrong === undefined) {
    return `which room is right cannot be told: ${why}. Name it: \`wmb repair ${id} --from ${own}\` or \`wmb repair ${id} --from ${peer}\``;
  }
  if (from === '' && wrong === 1) return elsewhere(peer, own);
  if (from === peer && wrong === 1 && verdict.certain) return `--from ${peer} would copy what is wrong: ${why}`;
  return undefined;
}

function elsewhere(wrong: RoomId | '', own: RoomId): string {
  return wrong === '' ? 'which room is wrong cannot be told' : `${wrong} is the wrong side now, not ${own}: its own checker repairs it`;
}

function unchanged({ repair }: Drift, detail: string): Prepared {
  return { action: repair.action, result: 'unchanged', detail };
}

function refused({ repair }: Drift, detail: string): Prepared {
  return { action: repair.action, result: 'refused', detail };
}
