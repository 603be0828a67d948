/** Drifts and verification as all rooms' checkers know them, put together. */
import type { Drift, DriftStatus } from '../../consistency-checker/drift.ts';
import { type PairView, pairViews } from '../../consistency-checker/report/pair.ts';
import { WmbError } from '../../core/errors.ts';
import type { RoomId } from '../../core/words.ts';
import type { CheckerStatus, ListDriftsResponse } from '../../proto/gen/wmb/v1/checker.ts';
import { CALL_MS_MAX, type Clients } from '../clients.ts';
import { type Answers, askRooms, needAnswer, type Silent } from './checkers.ts';
import { driftFromWire } from './wire.ts';

export type StatusFilter = DriftStatus | 'all';

/** Open ones beyond this are counted and not listed. */
const OPEN_MAX = 10_000;
/** Both rooms' checkers keep a record of a drift; where one says open and the other nothing, the other is asked, for this many at most. */
const ONE_SIDED_MAX = 200;

/** A record, and the room whose checker gave it. */
export interface Told {
  readonly by: RoomId;
  readonly drift: Drift;
}

export interface DriftView {
  readonly pairs: readonly PairView[];
  /** How slave rooms' databases on servers stand with the master's. */
  readonly databases: readonly { readonly room: RoomId; readonly text: string }[];
  /** Newest confirmed first. */
  readonly open: readonly Drift[];
  /** Open ones that are not in `open`. */
  readonly unlisted: number;
  readonly silent: readonly Silent[];
}

export interface RoomDrifts {
  readonly status: CheckerStatus;
  readonly drifts: readonly Drift[];
  readonly total: number;
}

/** What is open, and how the pairs of rooms stand. Never rejects: see {@link needAnswer}. */
export async function readOpen(
  clients: Clients,
  rooms: readonly RoomId[],
  { msMax = CALL_MS_MAX, limit = OPEN_MAX }: { readonly msMax?: number; readonly limit?: number } = {},
): Promise<Answers<RoomDrifts> & { readonly view: DriftView }> {
  const answers = await askRooms(rooms, async (room): Promise<RoomDrifts> => {
    const [status, listed] = await Promise.all([
      clients.checker<CheckerStatus>(room, (client, ...rest) => client.getStatus({}, ...rest), msMax),
      listDrifts(clients, room, { status: 'open', limit, id: '' }, msMax),
    ]);
    return { status, ...listed };
  });
  const known = answers.answered.flatMap(({ room, answer }) => answer.drifts.map((drift) => ({ by: room, drift })));
  const open = mergeDrifts([...known, ...(await otherSides(clients, answers, known))]).filter(({ status }) => status === 'open');
  const unlisted = Math.max(0, ...answers.answered.map(({ answer }) => answer.total - answer.drifts.length));
  const pairs = viewPairs(clients, rooms, answers, open);
  const databases = answers.answered.flatMap(({ room, answer: { status } }) =>
    status.database === '' ? [] : [{ room, text: status.database }],
  );
  return { ...answers, view: { pairs, databases, open, unlisted, silent: answers.silent } };
}

function viewPairs(clients: Clients, rooms: readonly RoomId[], answers: Answers<RoomDrifts>, open: readonly Drift[]): readonly PairView[] {
  const pairs = pairViews({
    rooms: clients.config.topology.rooms.map(({ id }) => id),
    reports: answers.answered.map(({ room, answer: { status } }) => ({ ...status, room })),
    silent: new Map(answers.silent.map(({ room, error }) => [room, whyText(error)])),
    open,
  });
  return pairs.filter((pair) => pair.rooms.some((room) => rooms.includes(room)));
}

export function whyText(error: WmbError): string {
  return error.code === 'CHECKER_ABSENT' ? error.message : `${error.code} ${error.message}`;
}

/** A drift that its other room's checker does not list as open may be repaired already, and only that checker knows. */
async function otherSides(clients: Clients, { answered }: Answers<unknown>, known: readonly Told[]): Promise<readonly Told[]> {
  const here = answered.map(({ room }) => room);
  const toldBy = new Set(known.map(({ by, drift }) => `${by} ${drift.id}`));
  const missing = known.flatMap(({ drift: { id, sides } }) =>
    sides.flatMap(({ room }) => (here.includes(room) && !toldBy.has(`${room} ${id}`) ? [{ room, id }] : [])),
  );
  const asked = missing.slice(0, ONE_SIDED_MAX).map(async ({ room, id }): Promise<readonly Told[]> => {
    const { drifts } = await listDrifts(clients, room, { status: 'all', limit: 1, id });
    return drifts.map((drift) => ({ by: room, drift }));
  });
  // What one checker knows stands, whatever becomes of the second question.
  return (await Promise.allSettled(asked)).flatMap((told) => (told.status === 'fulfilled' ? told.value : []));
}

interface ListQuery {
  readonly status: StatusFilter;
  readonly limit: number;
  readonly id: string;
}

async function listDrifts(
  clients: Clients,
  room: RoomId,
  query: ListQuery,
  msMax = CALL_MS_MAX,
): Promise<{ drifts: readonly Drift[]; total: number }> {
  const { drifts, total } = await clients.checker<ListDriftsResponse>(room, (client, ...rest) => client.listDrifts(query, ...rest), msMax);
  return { drifts: drifts.map(driftFromWire), total };
}

/** Drifts of any status as all of `rooms` know them; newest confirmed first. */
export async function readDrifts(
  clients: Clients,
  rooms: readonly RoomId[],
  query: { readonly status: StatusFilter; readonly limit: number; readonly id?: string },
): Promise<Answers<unknown> & { readonly drifts: readonly Drift[] }> {
  const answers = await askRooms(rooms, (room) => listDrifts(clients, room, { id: '', ...query }));
  const told = answers.answered.flatMap(({ room, answer }) => answer.drifts.map((drift) => ({ by: room, drift })));
  return { ...answers, drifts: mergeDrifts(told) };
}

/** One record for each id. */
export function mergeDrifts(told: readonly Told[]): readonly Drift[] {
  const best = new Map<string, Told>();
  for (const one of told) {
    const known = best.get(one.drift.id);
    if (known === undefined || knowsBetter(one, known)) best.set(one.drift.id, one);
  }
  const drifts = [...best.values()].map(({ drift }) => drift);
  return sinceFirst(drifts, told).sort((a, b) => b.confirmedMs - a.confirmedMs || (a.id < b.id ? -1 : 1));
}

/** What is open has been so since the first of both checkers found it: one that was away meanwhile has found it later. */
function sinceFirst(drifts: readonly Drift[], told: readonly Told[]): Drift[] {
  const open = Map.groupBy(
    told.filter(({ drift }) => drift.status === 'open'),
    ({ drift }) => drift.id,
  );
  return drifts.map((drift) => {
    if (drift.status !== 'open') return drift;
    const all = (open.get(drift.id) ?? []).map((one) => one.drift);
    const firstSeenMs = Math.min(drift.firstSeenMs, ...all.map((one) => one.firstSeenMs));
    return { ...drift, firstSeenMs, confirmedMs: Math.min(drift.confirmedMs, ...all.map((one) => one.confirmedMs)) };
  });
}

/** The checker of the wrong room does the repair, so it knows first what became of it; then who knows a wrong side at all; then the later one. */
function knowsBetter(one: Told, other: Told): boolean {
  const rank = ({ by, drift: { wrong } }: Told) => (wrong === by ? 2 : wrong === '' ? 0 : 1);
  return rank(one) - rank(other) > 0 || (rank(one) === rank(other) && one.drift.confirmedMs > other.drift.confirmedMs);
}

/** The drift whose id begins with `prefix`, of any status. NOT_FOUND where there is none, USAGE where several begin so. */
export async function findDrift(
  clients: Clients,
  rooms: readonly RoomId[],
  prefix: string,
): Promise<{ readonly drift: Drift; readonly silent: readonly Silent[] }> {
  const whole = /^[0-9a-f]{8}$/.test(prefix);
  const found = await readDrifts(clients, rooms, { status: 'all', limit: whole ? 1 : OPEN_MAX, id: whole ? prefix : '' });
  needAnswer(found);
  return { drift: theOne(found.drifts, prefix, found.silent), silent: found.silent };
}

/** The one drift whose id begins with `prefix`. */
export function theOne(drifts: readonly Drift[], prefix: string, silent: readonly Silent[] = []): Drift {
  const matching = prefix === '' ? [] : drifts.filter(({ id }) => id.startsWith(prefix));
  const [first, ...others] = matching;
  if (first === undefined)
    throw new WmbError(
      'NOT_FOUND',
      `no drift has the id “${prefix}”${awayText(silent)}; \`wmb drift list --status all\` shows what there is`,
    );
  if (others.length === 0) return first;
  const ids = matching.slice(0, 5).map(({ id }) => id);
  const more = matching.length > ids.length ? ', …' : '';
  throw new WmbError('USAGE', `${matching.length} drifts begin with “${prefix}”: ${ids.join(', ')}${more}`);
}

/** What was not found may be where nobody answered. */
export function awayText(silent: readonly Silent[]): string {
  const away = silent.map(({ room }) => room);
  return away.length === 0 ? '' : ` (${away.join(', ')} could not be asked)`;
}
