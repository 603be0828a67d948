/** A repair over several rooms: each drift goes to the checker of its wrong room, one room after another. */
import type { Drift } from '../../consistency-checker/drift.ts';
import { isAlarm } from '../../consistency-checker/report/pair.ts';
import { asWmbError, WmbError } from '../../core/errors.ts';
import type { RoomId } from '../../core/words.ts';
import type { RepairProgress } from '../../proto/gen/wmb/v1/checker.ts';
import type { Clients } from '../clients.ts';

/** What became of one drift. `skipped`: it was not asked for any more. */
export interface Step {
  readonly room: RoomId | '';
  readonly id: string;
  readonly subject: string;
  readonly action: string;
  /** As in RepairProgress; `closed`: it was repaired or healed before; `skipped`: the repair stopped before it. */
  readonly result: string;
  readonly detail: string;
  readonly diff: readonly string[];
}

/** Results that leave nothing to be done. */
const DONE: readonly string[] = ['planned', 'repaired', 'unchanged', 'closed'];
/** Results that count against the limit. */
const CHANGES: readonly string[] = ['planned', 'repaired'];

export function isDone({ result }: Step): boolean {
  return DONE.includes(result);
}

export interface RepairOrder {
  readonly drifts: readonly Drift[];
  readonly apply: boolean;
  /** Most that may be changed in all rooms together; 0: each room's own limit. */
  readonly limit: number;
  readonly from: RoomId | '';
  readonly by: string;
}

interface Batch {
  readonly room: RoomId;
  readonly drifts: readonly Drift[];
}

export interface RepairEnd {
  readonly steps: readonly Step[];
  /** What stopped it before its end. */
  readonly error: WmbError | undefined;
}

/**
 * Calls `onStep` for each step as it comes, with how many there will be. A room whose checker is away is passed over; a checker that refuses (the
 * selection is over its limit) stops the rest: nothing more is changed.
 */
export async function runRepair(
  clients: Clients,
  order: RepairOrder,
  { onStep, signal }: { readonly onStep: (step: Step, total: number) => void; readonly signal?: AbortSignal },
): Promise<RepairEnd> {
  const steps: Step[] = [];
  const add = (step: Step) => {
    steps.push(step);
    onStep(step, order.drifts.length);
  };
  const { batches, unfit } = route(order);
  for (const step of unfit) add(step);
  let stopped: WmbError | undefined;
  let first: WmbError | undefined;
  for (const batch of batches) {
    const limit = order.limit === 0 ? 0 : order.limit - steps.filter(({ result }) => CHANGES.includes(result)).length;
    const isSpent = order.limit > 0 && limit <= 0;
    const why =
      stopped ?? (isSpent ? limitReached(order.limit) : await repairRoom(clients, { batch, order: { ...order, limit }, signal, add }));
    first ??= why;
    if (why !== undefined && why.code !== 'UNREACHABLE') stopped = why;
    const told = new Set(steps.map(({ id }) => id));
    const text = signal?.aborted || why === undefined ? 'interrupted' : `${why.code}: ${why.message}`;
    for (const drift of batch.drifts) if (!told.has(drift.id)) add(ownStep(drift, batch.room, 'skipped', text));
  }
  return { steps, error: first };
}

function limitReached(limit: number): WmbError {
  return new WmbError('REPAIR_LIMIT', `the limit of ${limit} was reached; the others were not touched`);
}

interface RoomRepair {
  readonly batch: Batch;
  readonly order: RepairOrder;
  readonly signal: AbortSignal | undefined;
  readonly add: (step: Step) => void;
}

/** What stopped it, if something did. */
async function repairRoom(clients: Clients, { batch: { room, drifts }, order, signal, add }: RoomRepair): Promise<WmbError | undefined> {
  const { apply, limit, from, by } = order;
  const request = { ids: drifts.map(({ id }) => id), all: false, apply, limit, from, by };
  try {
    for await (const progress of clients.checkerStream<RepairProgress>(room, (client) => client.repair(request), signal))
      add(stepOf(room, progress));
    return undefined;
  } catch (cause) {
    return asWmbError(cause);
  }
}

/** By wrong room; and those of which nothing can be asked, with the reason. */
function route({ drifts, from }: RepairOrder): { readonly batches: readonly Batch[]; readonly unfit: readonly Step[] } {
  const unfit: Step[] = [];
  const byRoom = new Map<RoomId, Drift[]>();
  for (const drift of drifts) {
    const to = wrongRoom(drift, from);
    const step = unfitStep(drift, { to, from });
    if (step !== undefined) unfit.push(step);
    else byRoom.set(to, [...(byRoom.get(to) ?? []), drift]);
  }
  return { batches: [...byRoom].map(([room, some]) => ({ room, drifts: some })), unfit };
}

/** With `from` it is the other side of the two. */
function wrongRoom({ wrong, sides }: Drift, from: RoomId | ''): RoomId | '' {
  if (from === '') return wrong;
  return sides.some(({ room }) => room === from) ? (sides.find(({ room }) => room !== from)?.room ?? '') : '';
}

function unfitStep(drift: Drift, { to, from }: { readonly to: RoomId | ''; readonly from: RoomId | '' }): Step | undefined {
  const [a, b] = drift.sides.map(({ room }) => room);
  if (drift.status !== 'open') return ownStep(drift, '', 'closed', `${drift.status} already`);
  if (isAlarm(drift)) return ownStep(drift, '', 'refused', `an alarm is not repaired; it closes by itself. ${drift.repair.text}`.trim());
  if (to !== '') return undefined;
  if (from !== '') return ownStep(drift, '', 'refused', `${from} is no side of it; its sides are ${a} and ${b}`);
  return ownStep(drift, '', 'refused', `which side is wrong cannot be told: name the right one with --from ${a} or --from ${b}`);
}

function ownStep({ id, subject, repair }: Drift, room: RoomId | '', result: string, detail: string): Step {
  return { room, id, subject: subject.name, action: repair.action, result, detail, diff: [] };
}

function stepOf(room: RoomId, { id, subject, action, result, detail, diff }: RepairProgress): Step {
  return { room, id, subject, action, result, detail, diff };
}
