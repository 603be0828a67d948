/** Drifts of all rooms as they come. A checker that goes away is waited for, and it is said. */
import type { Drift } from '../../consistency-checker/drift.ts';
import { asWmbError, type WmbError } from '../../core/errors.ts';
import { backoffMs } from '../../core/flow/backoff.ts';
import { sleep } from '../../core/runtime.ts';
import type { RoomId } from '../../core/words.ts';
import type { CheckerStatus } from '../../proto/gen/wmb/v1/checker.ts';
import type { Clients } from '../clients.ts';
import type { Context } from '../context.ts';
import { printable, shorten } from '../table.ts';
import { askRooms, needAnswer, noteSilent } from './checkers.ts';
import { iso } from './detail.ts';
import { mergeDrifts, type Told } from './read.ts';
import { driftFromWire } from './wire.ts';

export interface WatchParts {
  readonly clients: Clients;
  readonly rooms: readonly RoomId[];
  readonly json: boolean;
  readonly ending: AbortSignal;
}

const AGAIN = { msMin: 500, msMax: 10_000 };
/** Drifts that are remembered; the one told of first is forgotten first, and is news when it is told of again. */
const TOLD_MAX = 10_000;

/** Until `ending` aborts. Rejects where no checker answers at first. */
export async function watchDrifts(context: Context, parts: WatchParts): Promise<void> {
  const { clients, rooms } = parts;
  const answers = await askRooms(rooms, (room) => askStatus(clients, room));
  needAnswer(answers);
  noteSilent(
    context,
    answers.silent.filter(({ error }) => error.code === 'CHECKER_ABSENT'),
  );
  const having = rooms.filter((room) => !answers.silent.some((silent) => silent.room === room && silent.error.code === 'CHECKER_ABSENT'));
  const news = new News();
  await Promise.all(having.map((room) => watchRoom(context, { ...parts, room, news })));
}

function askStatus(clients: Clients, room: RoomId): Promise<CheckerStatus> {
  return clients.checker<CheckerStatus>(room, (client, ...rest) => client.getStatus({}, ...rest));
}

async function watchRoom(context: Context, parts: WatchParts & { readonly room: RoomId; readonly news: News }): Promise<void> {
  const { clients, room, json, ending, news } = parts;
  for (let attempt = 0; !ending.aborted; attempt += 1) {
    let away: WmbError | undefined;
    try {
      if (attempt > 0) {
        await askStatus(clients, room);
        context.note(`the checker of ${room} answers again`);
        attempt = 0;
      }
      for await (const report of clients.checkerStream(room, (client) => client.watchDrifts({}), ending)) {
        const drift = news.take({ by: room, drift: driftFromWire(report) });
        if (drift !== undefined) context.print(json ? JSON.stringify(drift) : watchLine(drift, context.columns));
      }
    } catch (error) {
      away = asWmbError(error);
    }
    if (ending.aborted) return;
    if (attempt === 0)
      context.note(
        `wmb: ${away === undefined ? `the checker of ${room} has ended` : `${away.code}: ${away.message}`}; it is asked again until it answers`,
      );
    await sleep(context.runtime, backoffMs(attempt, AGAIN, context.runtime.random()), ending);
  }
}

/** Both rooms' checkers tell of a drift: what the second one says of it is news only where it says something else. */
class News {
  readonly #told = new Map<string, Told[]>();
  readonly #printed = new Map<string, string>();

  take(told: Told): Drift | undefined {
    const { id } = told.drift;
    const others = (this.#told.get(id) ?? []).filter(({ by }) => by !== told.by);
    this.#told.set(id, [...others, told]);
    if (this.#told.size > TOLD_MAX) this.#forgetFirst();
    const [drift] = mergeDrifts([...others, told]);
    if (drift === undefined) return undefined;
    const { status, kind, wrong, cause, note } = drift;
    const text = JSON.stringify([status, kind, wrong, cause, note]);
    if (this.#printed.get(id) === text) return undefined;
    this.#printed.set(id, text);
    return drift;
  }

  #forgetFirst(): void {
    const [first = ''] = this.#told.keys();
    this.#told.delete(first);
    this.#printed.delete(first);
  }
}

function watchLine(drift: Drift, columns: number): string {
  const { id, status, kind, subject, wrong, cause, confirmedMs, closedMs, note } = drift;
  const at = iso(Math.max(confirmedMs, closedMs)).replace(/\.\d+/, '');
  const front = `${at}  ${id}  ${status.padEnd(8)}  ${kind.padEnd(7)}  `;
  const why = status === 'open' ? `${wrong === '' ? '' : `wrong in ${wrong}, `}${cause}` : note;
  const text = `${subject.name}${why === '' ? '' : `: ${why}`}`;
  return front + shorten(printable(text), Math.max(20, columns - front.length));
}
