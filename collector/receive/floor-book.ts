/** The floor of all origins: everything stamped up to it has been applied in every room. */
import { NO_STAMP, type Stamp } from '../../core/stamp.ts';
import type { RoomId } from '../../core/words.ts';
import type { FloorSource } from '../lane.ts';

export class FloorBook implements FloorSource {
  /** The newest pulse of each origin; '' until it has said something. An origin that is away keeps what it said last: it stays true. */
  readonly #floors: Map<RoomId, Stamp>;

  constructor(origins: readonly RoomId[]) {
    this.#floors = new Map(origins.map((origin) => [origin, NO_STAMP]));
  }

  set(origin: RoomId, floor: Stamp): void {
    this.#floors.set(origin, floor);
  }

  floor(): Stamp {
    let least: Stamp | undefined;
    for (const floor of this.#floors.values()) if (least === undefined || floor < least) least = floor;
    return least ?? NO_STAMP;
  }
}
