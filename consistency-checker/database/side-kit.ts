/** For tests of comparing databases: one side of it in memory. */
import { WmbError } from '../../core/errors.ts';
import type { Row } from '../../store/database.ts';
import type { ComparableDatabase, DifferingRow, RowKey, RowRange, RowRepair } from '../../store/row-comparison.ts';

/** A table `t` of numbers, whose hashes are the values; `position` counts changes. A value that is written anew in the master reaches the side that follows it. */
export class Side implements ComparableDatabase, RowRepair {
  readonly rowsById = new Map<number, string>();
  readonly stamps = new Map<number, string>();
  readonly follows: Side | undefined;
  follower: Side | undefined;
  names: readonly string[] = ['t'];
  /** By table; any that is not here has two columns. */
  readonly shapes = new Map<string, string>();
  /** Why rows of it cannot be written anew. */
  refusal = '';
  overwriting = true;
  /** Ranges that were digested. */
  digested = 0;
  /** Called before each read by key. */
  beforeLook: () => void = () => {};
  changes = 0;

  constructor(count: number, follows?: Side) {
    for (let id = 0; id < count; id += 1) this.rowsById.set(id, `v${id}`);
    this.follows = follows;
    if (follows !== undefined) follows.follower = this;
  }

  set(id: number, value: string): void {
    this.rowsById.set(id, value);
    this.changes += 1;
  }

  #in({ after, upTo }: Omit<RowRange, 'table'>) {
    const rows = [...this.rowsById].filter(
      ([id]) => (after === undefined || id > Number(after[0])) && (upTo === undefined || id <= Number(upTo[0])),
    );
    return rows.sort(([a], [b]) => a - b).map(([id, hash]) => ({ key: [id], hash }));
  }

  async tables() {
    return this.names;
  }
  async shape(table: string) {
    return this.shapes.get(table) ?? 'id, note; primary key id';
  }
  async boundary(_table: string, after: RowKey | undefined, rows: number) {
    return this.#in({ after, upTo: undefined })[rows - 1]?.key;
  }
  async digest(range: RowRange) {
    this.digested += 1;
    return JSON.stringify(this.#in(range));
  }
  async hashes(range: RowRange) {
    return this.#in(range);
  }
  async hashesOf(_table: string, keys: readonly RowKey[]) {
    this.beforeLook();
    return this.#in({ after: undefined, upTo: undefined }).filter(({ key }) => keys.some((wanted) => wanted[0] === key[0]));
  }
  async row(_table: string, [id]: RowKey): Promise<Row | undefined> {
    const note = this.rowsById.get(Number(id));
    return note === undefined ? undefined : { id: Number(id), note, wmb_stamp: this.stamps.get(Number(id)) ?? '' };
  }
  async repair({ key: [id] }: DifferingRow, _slaveRow: Row | undefined, dryRun: boolean) {
    if (this.refusal !== '') throw new WmbError('NOT_FOUND', this.refusal);
    const [place, note] = [Number(id), this.rowsById.get(Number(id))];
    if (!dryRun && note === undefined) this.follower?.rowsById.delete(place);
    else if (!dryRun && note !== undefined) this.follower?.rowsById.set(place, note);
    if (!dryRun) this.changes += 1;
    return [`WRITE ${place}`];
  }
  async position() {
    return String(this.changes);
  }
  async reaches() {
    return this.follows !== undefined;
  }
  async overwrites() {
    return this.overwriting;
  }
  async close() {}
}
