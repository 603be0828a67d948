/**
 * Reads the CollegeMsg format, one message a line, for `wmb replay CollegeMsg.txt --reader examples/messages/reader.ts`:
 *
 *     src dst time
 *     1 2 1082040961
 */

/** One write request as `POST /v1/writes` takes it. */
export interface MessageWrite {
  readonly requestId: string;
  readonly kind: 'message';
  readonly key: string;
  readonly payload: { readonly from: number; readonly to: number; readonly at: number };
}

const LINE = /^(\d+)[ \t]+(\d+)[ \t]+(\d+)\s*$/;

/**
 * The write request of one line; undefined for the header line and for blank ones. `lineNumber` counts from 1, the header included, and
 * makes the request id: replaying a file twice writes it once. Throws, naming the line, where it is none.
 */
export function read(line: string, lineNumber: number): MessageWrite | undefined {
  if (line.trim() === '' || (lineNumber === 1 && /^[a-z]/i.test(line))) return undefined;
  const match = LINE.exec(line);
  if (match === null) throw new Error(`line ${lineNumber}: “${line.slice(0, 60)}” is not “src dst unixtime”`);
  const [from = 0, to = 0, at = 0] = match.slice(1).map(Number);
  // Messages of one sender are processed in the order in which they were sent.
  return { requestId: `college-${lineNumber}`, kind: 'message', key: `user:${from}`, payload: { from, to, at } };
}

/** The room, from 0 to `rooms` - 1, in which a user writes. With two rooms: by the parity of the user's number. */
export function roomOfUser(user: number, rooms: number): number {
  return user % rooms;
}

/** The room in which `wmb replay` submits a message, of all rooms of the topology: where its sender lives. */
export function roomOf(write: MessageWrite, rooms: readonly string[]): string {
  return rooms[roomOfUser(write.payload.from, rooms.length)] ?? '';
}
