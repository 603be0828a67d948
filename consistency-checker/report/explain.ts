/**
 * From a confirmed difference to a drift record: which side is wrong and why, the write request behind it with its way through the rooms, the cause, and the repair with
 * what it would change. Every statement stands on something that was read just now; where nothing tells, the record says that.
 */
import { stateDigest, visibleOf } from '../../core/converge/state.ts';
import { type Stamp, versionOf } from '../../core/stamp.ts';
import { formatPosition, type RoomId } from '../../core/words.ts';
import type { ConfirmedKey } from '../cache/comparison.ts';
import { type Drift, driftId, type ElementDifference, type RepairPlan, type WriteTimeline } from '../drift.ts';
import type { ConfirmedReceipt } from '../messages/comparison.ts';
import type { LaneAlarm } from '../messages/lanes.ts';
import { planKey } from '../repair/plan.ts';
import { planLost } from '../repair/plan-lost.ts';
import type { FoundWrite } from '../room.ts';
import { Examiner } from './examine.ts';
import { type KeyVerdict, partsOf } from './key-verdict.ts';
import { plainText, plural, writeName } from './phrases.ts';
import { judgeReceipt, type ReceiptVerdict } from './receipt-verdict.ts';
import { keySide, receiptShows } from './sides-of-key.ts';
import { type Findings, type SourceOptions, Sources } from './sources.ts';
import { timelineOf } from './timeline.ts';

export class Explainer {
  readonly options: SourceOptions;
  readonly #sources: Sources;
  readonly #examiner: Examiner;

  constructor(options: SourceOptions) {
    this.options = options;
    this.#sources = new Sources(options);
    this.#examiner = new Examiner(this.#sources);
  }

  /** As {@link Examiner.lookUp}. */
  lookUp(all: readonly ConfirmedKey[]): Promise<Findings> {
    return this.#examiner.lookUp(all);
  }

  /** Undefined: it is no drift of the key; see {@link Examiner.examine}. */
  async key(confirmed: ConfirmedKey, peer: RoomId, findings?: Findings): Promise<Drift | undefined> {
    const verdict = await this.#examiner.examine(confirmed, peer, findings);
    return verdict && (await this.#keyDrift(verdict, confirmed.firstSeenMs));
  }

  examine(confirmed: ConfirmedKey, peer: RoomId): Promise<KeyVerdict | undefined> {
    return this.#examiner.examine(confirmed, peer);
  }

  /** Undefined: it is no drift; see {@link judgeReceipt}. One of which nothing is to be made good is closed already, and says so. */
  async receipt(confirmed: ConfirmedReceipt, peer: RoomId): Promise<Drift | undefined> {
    const verdict = await judgeReceipt(confirmed, peer, this.#sources);
    return verdict && (await this.#receiptDrift(verdict));
  }

  /** Undefined: nothing of it is to be made good. */
  async judge(confirmed: ConfirmedReceipt, peer: RoomId): Promise<ReceiptVerdict | undefined> {
    const verdict = await judgeReceipt(confirmed, peer, this.#sources);
    return verdict?.madeGood === '' ? verdict : undefined;
  }

  /** `about`: the room at the other end of what stands still. */
  alarm({ lane, level, text, sinceMs }: LaneAlarm, about: RoomId): Drift {
    const { own, runtime } = this.options;
    const subject = { type: 'lane', name: lane } as const;
    const id = driftId([own, about], subject);
    const side = (room: RoomId) => ({
      room,
      shows: room === own ? text : 'see the room itself',
      version: '',
      hash: '',
      bytes: 0,
      expireAtMs: 0,
    });
    return {
      ...{ id, level, kind: 'stuck', subject, elements: [], wrong: '', cause: 'path', causeText: text, write: undefined },
      sides: inOrder([side(own), side(about)]),
      why: 'an alarm, not a difference: nothing is known to be wrong in a room, but what is stuck cannot be verified',
      repair: nothingToDo(whatToDo(lane, text, { own, about })),
      ...open(sinceMs, runtime.nowMs()),
    };
  }

  timeline(found: FoundWrite): Promise<WriteTimeline> {
    return timelineOf(found, this.options);
  }

  /** The way of the write request with this stamp; undefined where no log tells of it. */
  async stamped(stamp: Stamp): Promise<WriteTimeline | undefined> {
    if (stamp === '') return undefined;
    const finding = [...(await this.#sources.find([versionOf(stamp, 0)])).values()][0];
    return finding?.status === 'found' ? await this.timeline(finding.found) : undefined;
  }

  async #keyDrift(verdict: KeyVerdict, firstSeenMs: number): Promise<Drift> {
    const { key, rooms, parts, main, cause, nowMs } = verdict;
    const { topology } = this.options;
    const subject = { type: 'key', name: key } as const;
    const id = driftId(rooms, subject);
    const elements = parts.filter(({ apart }) => !apart).map(({ difference }) => difference);
    const sides = ([0, 1] as const).map((side) =>
      keySide({ room: rooms[side], answer: verdict.answers[side], side, elements, nowMs, topology }),
    );
    const [mine, theirs] = sides as [(typeof sides)[number], (typeof sides)[number]];
    const isSwapped = rooms[0] > rooms[1];
    return {
      ...{ id, level: main.kind === 'value' ? 'L3' : 'L2', kind: main.kind, subject },
      sides: inOrder([mine, theirs]),
      elements: isSwapped ? elements.map(swapped) : elements,
      ...{ wrong: main.wrong === undefined ? '' : rooms[main.wrong], why: whyOf(verdict), cause: cause.cause, causeText: cause.text },
      write: main.write && (await this.timeline(main.write)),
      repair: keyRepair(verdict, id, topology),
      ...open(firstSeenMs, nowMs),
    };
  }

  async #receiptDrift(verdict: ReceiptVerdict): Promise<Drift> {
    const { confirmed, rooms, kind, wrong, why, cause, found, madeGood } = verdict;
    const nowMs = this.options.runtime.nowMs();
    const subject = { type: 'write', name: formatPosition(confirmed.position) } as const;
    const id = driftId(rooms, subject);
    const side = (index: 0 | 1) => {
      const shows = receiptShows(index === 0 ? confirmed.mine : confirmed.theirs, nowMs);
      return { room: rooms[index], shows, version: '', hash: '', bytes: 0, expireAtMs: 0 };
    };
    return {
      ...{
        id,
        level: 'L1',
        kind,
        subject,
        elements: [],
        wrong: wrong === undefined ? '' : rooms[wrong],
        why,
        cause: cause.cause,
        causeText: cause.text,
      },
      sides: inOrder([side(0), side(1)]),
      write: found && (await this.timeline(found)),
      repair: receiptRepair(verdict, id, nowMs),
      ...open(confirmed.firstSeenMs, nowMs),
      ...(madeGood === '' ? {} : { status: 'healed', closedMs: nowMs, note: madeGood }),
    };
  }
}

function open(firstSeenMs: number, nowMs: number): Pick<Drift, 'status' | 'firstSeenMs' | 'confirmedMs' | 'closedMs' | 'note'> {
  return { status: 'open', firstSeenMs, confirmedMs: nowMs, closedMs: 0, note: '' };
}

function inOrder([mine, theirs]: Drift['sides']): Drift['sides'] {
  return mine.room > theirs.room ? [theirs, mine] : [mine, theirs];
}

function swapped({ name, versions, values }: ElementDifference): ElementDifference {
  return { name, versions: [versions[1], versions[0]], values: [values[1], values[0]] };
}

// ── why ──

function whyOf(verdict: KeyVerdict): string {
  const { main, parts, rooms, unjudged } = verdict;
  if (main.wrong === undefined) return main.why;
  const [here, there] = [partsOf(verdict, main.wrong).length - 1, partsOf(verdict, main.wrong === 0 ? 1 : 0).length];
  const undecided = parts.filter((part) => !part.apart && !part.follows && part.wrong === undefined).length;
  const notes = [
    here > 0 ? `${plural(here, 'more part')} of the key ${here === 1 ? 'is' : 'are'} wrong there` : '',
    there > 0
      ? `${plural(there, 'part')} ${there === 1 ? 'is' : 'are'} wrong in ${rooms[main.wrong === 0 ? 1 : 0]} and will be reported when this is put right`
      : '',
    undecided > 0 ? `of ${plural(undecided, 'part')} it cannot be told` : '',
    unjudged > 0 ? `${plural(unjudged, 'part')} were not looked into one by one` : '',
  ].filter((note) => note !== '');
  return [main.why, ...notes].join('; ');
}

// ── repairs ──

function nothingToDo(text: string): RepairPlan {
  return { action: 'none', from: '', to: '', diff: [], command: '', text };
}

function keyRepair(verdict: KeyVerdict, id: string, topology: SourceOptions['topology']): RepairPlan {
  const { main, rooms, key, answers, nowMs } = verdict;
  const { wrong } = main;
  if (wrong === undefined) {
    // What neither room shows as it was made can only be written anew.
    const isNeither = main.write !== undefined;
    const text = isNeither
      ? `neither room has what ${writeName(main.write?.write.requestId ?? '', main.write?.position ?? NOWHERE)} made of ${plainText(key)}: write it anew, or take one room as right with --from ROOM`
      : `name the room that is right: ${rooms.map((room) => `\`wmb repair ${id} --from ${room} --apply\``).join(' or ')}`;
    return { action: 'push', from: '', to: '', diff: [], command: `wmb repair ${id} --from ROOM --apply`, text };
  }
  const to = rooms[wrong];
  const from = rooms[wrong === 0 ? 1 : 0];
  const { repair, diff, text } = planKey({ verdict, wrong, topology, whole: false });
  const isGone = stateDigest(answers[wrong].state) === '' && visibleOf(answers[wrong === 0 ? 1 : 0].state, nowMs) === undefined;
  if (repair === undefined || isGone) return { ...nothingToDo(text), from, to };
  return { action: repair.action, from, to, diff, command: `wmb repair ${id} --apply`, text };
}

const NOWHERE = { log: 'writes', origin: '', partition: 0, epoch: '', seq: 0, index: 0 } as const;

function receiptRepair(verdict: ReceiptVerdict, id: string, nowMs: number): RepairPlan {
  const { kind, wrong, rooms, confirmed, requestId, madeGood } = verdict;
  const command = `wmb repair ${id} --apply`;
  const [to, from] = wrong === undefined ? ['', ''] : [rooms[wrong], rooms[wrong === 0 ? 1 : 0]];
  if (madeGood !== '') return { ...nothingToDo(madeGood), from, to };
  if (kind === 'duplicated')
    return {
      ...nothingToDo('nothing by itself: its keys are compared as all others are, and where they differ that is a drift of its own'),
      from,
      to,
    };
  if (kind === 'parked' && wrong !== undefined) {
    const name = requestId || formatPosition(confirmed.position);
    const side = wrong === 0 ? confirmed.mine : confirmed.theirs;
    const diff = [`- ${plainText(name)} ${receiptShows(side, nowMs)}`, `+ ${plainText(name)} applied`];
    const text = `retries it in ${to}, once what it failed on (${side.code || 'see wmb parked show'}) is corrected; \`wmb parked discard\` gives it up instead`;
    return { action: 'retry', from: '', to, diff, command, text };
  }
  const plan = planLost(verdict, nowMs);
  if (plan.repairs.length === 0) return { ...nothingToDo(plan.text), from, to };
  return { action: 'resend', from, to, diff: plan.diff, command, text: plan.text };
}

function whatToDo(lane: string, text: string, { own, about }: { readonly own: RoomId; readonly about: RoomId }): string {
  if (lane.startsWith('checker/'))
    return `see that the checker of ${about} runs, is reachable from ${own}, and is of the same version and topology`;
  if (lane.startsWith('collector/')) return `see that the collector of ${own} runs`;
  if (text.includes('link is paused')) return `it was paused by an operator: \`wmb link resume ${about} ${own}\` lets it go on`;
  if (text.includes('link is stopped-on-gap'))
    return `somebody must decide: see \`wmb status\` and docs/links.md, then \`wmb link resume ${about} ${own}\` or \`wmb link skip ${about} ${own}\``;
  return `see \`wmb status\` for the link from ${about} to ${own}; it closes by itself when the lane goes on`;
}
