/**
 * Tells one origin how far this room is in that origin's logs, over whatever session there is: everything at connect, and after that what
 * changed, gathered over one turn of the event loop.
 */
import type { Runtime } from '../../core/runtime.ts';
import type { RoomId } from '../../core/words.ts';
import type { LinkSession } from '../../link/link.ts';
import type { AckBoard } from '../lane.ts';

export class AckSender {
  readonly #board: AckBoard;
  readonly #origin: RoomId;
  readonly #runtime: Runtime;
  readonly #unsubscribe: () => void;
  #session: LinkSession | undefined;
  #scheduled = false;

  constructor(board: AckBoard, origin: RoomId, runtime: Runtime) {
    this.#board = board;
    this.#origin = origin;
    this.#runtime = runtime;
    this.#unsubscribe = board.onChange(origin, () => this.#schedule());
  }

  attach(session: LinkSession): void {
    this.#session = session;
    for (const ack of this.#board.takeAll(this.#origin)) session.send({ type: 'ack', ...ack });
  }

  /** What changes while there is no session stays on the board. */
  detach(): void {
    this.#session = undefined;
  }

  flush(): void {
    if (this.#session === undefined) return;
    for (const ack of this.#board.take(this.#origin)) this.#session.send({ type: 'ack', ...ack });
  }

  stop(): void {
    this.#unsubscribe();
  }

  #schedule(): void {
    if (this.#scheduled) return;
    this.#scheduled = true;
    void this.#runtime.turn().then(() => {
      this.#scheduled = false;
      this.flush();
    });
  }
}
