/** Questions to the checkers of several rooms at once: who answered what, and who did not answer and why. */
import { asWmbError, WmbError } from '../../core/errors.ts';
import type { RoomId } from '../../core/words.ts';
import type { Context } from '../context.ts';

export interface Answered<T> {
  readonly room: RoomId;
  readonly answer: T;
}

export interface Silent {
  readonly room: RoomId;
  readonly error: WmbError;
}

export interface Answers<T> {
  readonly answered: readonly Answered<T>[];
  readonly silent: readonly Silent[];
}

/** Asks all rooms at the same time. Never rejects: a room that does not answer is part of the answer. */
export async function askRooms<T>(rooms: readonly RoomId[], ask: (room: RoomId) => Promise<T>): Promise<Answers<T>> {
  const answered: Answered<T>[] = [];
  const silent: Silent[] = [];
  const order = ({ room }: { readonly room: RoomId }) => rooms.indexOf(room);
  await Promise.all(
    rooms.map(async (room) => {
      try {
        answered.push({ room, answer: await ask(room) });
      } catch (error) {
        silent.push({ room, error: asWmbError(error) });
      }
    }),
  );
  return { answered: answered.sort((a, b) => order(a) - order(b)), silent: silent.sort((a, b) => order(a) - order(b)) };
}

/** Where no room answered: CHECKER_ABSENT when none has a checker, otherwise why the first one that has did not answer. */
export function needAnswer({ answered, silent }: Answers<unknown>): void {
  if (answered.length > 0) return;
  const away = silent.filter(({ error }) => error.code !== 'CHECKER_ABSENT');
  const [first] = away;
  if (first === undefined) throw new WmbError('CHECKER_ABSENT', noChecker(silent.map(({ room }) => room)));
  if (away.length === 1) throw first.error;
  throw new WmbError(first.error.code, `no checker answers; ${away.map(({ error }) => error.message).join('; ')}`);
}

function noChecker(rooms: readonly RoomId[]): string {
  return rooms.length === 1
    ? `room ${rooms[0]} has no checker in the topology`
    : `none of ${rooms.join(', ')} has a checker in the topology`;
}

/** Said on stderr: the result is short of what these rooms know. */
export function noteSilent(context: Context, silent: readonly Silent[]): void {
  for (const { error } of silent) context.note(`wmb: ${error.code}: ${error.message}`);
}
