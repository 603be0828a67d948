/**
 * One server: what is asked of it, and what this process remembers of it. Its answers come in the order of the calls, so what a call sees is what all
 * earlier ones left.
 */
import { BUCKETS } from '../../core/converge/bucket.ts';
import type { Effect } from '../../core/converge/effects.ts';
import { WmbError } from '../../core/errors.ts';
import type { Runtime } from '../../core/runtime.ts';
import type { Version } from '../../core/stamp.ts';
import { laneKey, type Mark, type RoomId } from '../../core/words.ts';
import { Connection, type RedisServer } from './connection.ts';
import { NEEDED } from './functions.ts';
import { EXPIRING, PLAIN, TOMBSTONE } from './head.ts';
import type { KeyChange } from './key-change.ts';
import { bucketKey, dataKey, revisionField, SCHEMA } from './layout.ts';
import { type LaneMove, readMarks } from './marks.ts';
import { Packer } from './packer.ts';
import { NodeReader } from './reader.ts';
import { isOther, type KnownRevision, type LeftRevision, Revisions } from './revisions.ts';
import { argumentBytes, checkServer, type ServerFacts } from './server.ts';

export interface NodeOptions {
  readonly server: RedisServer;
  readonly room: RoomId;
  readonly runtime: Runtime;
  /** How far the server's clock is taken to be ahead of the room's. */
  readonly shiftMs: number;
  /** Of several collectors that write to this server; undefined: it is the only one. */
  readonly share?: number | undefined;
}

/** A `set` or `del` that is decided in the server. */
export type HotEffect = Effect & { readonly op: 'set' | 'del' };

export interface Commit {
  readonly moves: readonly LaneMove[];
  /** '' where it stays. */
  readonly settled: Version;
  readonly dirty: readonly number[];
  readonly clean: readonly number[];
  /** Each of a key of its own, without expiry. */
  readonly plain: readonly HotEffect[];
  /** In the order of `plain`. */
  readonly plainBuckets: readonly number[];
  readonly mixed: readonly HotEffect[];
  readonly changes: readonly KeyChange[];
  /** What other writers must have left for `settled` to be true. */
  readonly restsOn?: readonly LeftRevision[] | undefined;
}

export const NOTHING_TO_COMMIT: Commit = {
  moves: [],
  settled: '',
  dirty: [],
  clean: [],
  plain: [],
  plainBuckets: [],
  mixed: [],
  changes: [],
};

export type CommitAnswer =
  /** A letter for each hot effect, those of `plain` first: a, s or d. */
  | { readonly is: 'done'; readonly outcomes: string }
  | { readonly is: 'other generation' }
  | { readonly is: 'other mark'; readonly move: number; readonly stored: Mark | undefined }
  /** Cells that are not as they were read, by their place in `changes`. */
  | { readonly is: 'stale' }
  /** Hot effects that need the rules, by their place in `plain`, then `mixed`. */
  | { readonly is: 'complex'; readonly hot: readonly number[] };

export class RedisNode {
  readonly place: string;
  readonly #options: NodeOptions;
  readonly #connection: Connection;
  readonly reader: NodeReader;
  readonly #packer = new Packer(256 * 1024);
  readonly #revisions: Revisions;
  readonly #field: string;
  /** Mirror of the server's: by lane. */
  marks: ReadonlyMap<string, Mark> = new Map();
  /** Effects up to this version may have been forgotten. */
  settled: Version = '';
  /** Mirror of the server's: 1 for every bucket that is marked already. All 0 where others write to the server too: they may take the marks. */
  readonly dirty = new Uint8Array(BUCKETS);
  /** From when on a floor may let something of a bucket be forgotten; 0: it is not known. */
  readonly dueMs = new Float64Array(BUCKETS);
  facts: ServerFacts | undefined;
  #adopting: Promise<void> | undefined;
  /** Answered ones that wrote something. */
  #commits = 0;
  /** By lane: which of them moved its mark last. */
  readonly #movedAt = new Map<string, number>();

  constructor(options: NodeOptions) {
    this.#options = options;
    this.#connection = new Connection(options.server);
    this.reader = new NodeReader(this.#connection);
    this.place = this.#connection.place;
    this.#revisions = new Revisions(options.runtime);
    this.#field = revisionField(options.share);
  }

  /** STORE_UNAVAILABLE, STORE_DENIED, STORE_UNFIT, STORE_FOREIGN. Makes what is missing. */
  async open(): Promise<void> {
    await this.#connection.open();
    try {
      this.facts = await checkServer(this.#connection);
      // Before anything is loaded: another room's server stays as it is.
      checkRoom(await this.reader.identity(), this.#options.room, this.place);
      await this.#connection.load();
      await this.#demandCommands();
      const { room } = await this.reader.look();
      checkRoom(room, this.#options.room, this.place);
      // One of several writers is named by its nonce, which has to stand there from the beginning.
      if (!room.has('schema') || this.#isShared) await this.#adopt(this.#revisionIn(room), undefined);
      else await this.#begin(room);
    } catch (cause) {
      this.close();
      throw cause;
    }
  }

  close(): void {
    this.#connection.close();
  }

  /** STORE_DENIED: what is missing would show itself with the first key of some type only. */
  async #demandCommands(): Promise<void> {
    const denied = (await this.reader.denied(NEEDED)).join(', ');
    if (denied === '') return;
    throw new WmbError('STORE_DENIED', `${this.place} does not let the user do what WMB needs: ${denied} (docs/redis.md, “Privileges”)`);
  }

  /** Reads the marks. Where another revision is found than was left, it is adopted. */
  async look(): Promise<void> {
    await this.#adopting;
    const { life } = this;
    const known = this.#revisions.known();
    const sentAt = this.#commits;
    const { room, marks } = await this.reader.look();
    if (life !== this.life) return;
    if (isOther(this.#revisionIn(room), known)) return this.adopt(life);
    const settled = room.get('settled') ?? '';
    if (settled > this.settled) this.settled = settled;
    // Where a later call has moved a mark and its answer was looked at before this one, that counts.
    const newer = [...this.marks].filter(([lane]) => (this.#movedAt.get(lane) ?? 0) > sentAt);
    this.marks = new Map([...marks, ...newer]);
  }

  /** Grows with every generation. */
  get life(): number {
    return this.#revisions.life;
  }

  /** 0 for the one in which it was opened. */
  get generation(): number {
    return Math.max(0, this.life - 1);
  }

  /** `life`: in which everything in it was read. */
  async commit(commit: Commit, life: number): Promise<CommitAnswer> {
    await this.#adopting;
    if (life !== this.life) return { is: 'other generation' };
    const known = this.#revisions.next();
    const argument = packCommit(this.#packer, { ...known, field: this.#field }, commit, this.#options.shiftMs);
    this.#demandFits(argument.length);
    const answer = await this.#connection.call('commit', argument);
    const is = String(answer[0]);
    if (is === 'G') return { is: 'other generation' };
    if (is === 'S') return { is: 'stale' };
    if (is === 'C') return { is: 'complex', hot: answer[1] as number[] };
    if (is === 'M') return this.#otherMark(commit, Number(answer[1]), String(answer[2]));
    this.#revisions.answered(known);
    if (life === this.life) this.#remember(commit);
    return { is: 'done', outcomes: String(answer[1]) };
  }

  /** The limit is asked for again, for the next try: somebody may do what the refusal says. Not before this one, which other calls would overtake. */
  #demandFits(bytes: number): void {
    const { facts } = this;
    if (facts === undefined || bytes <= facts.argumentBytesMax) return;
    argumentBytes(this.#connection).then(
      (argumentBytesMax) => {
        this.facts = { ...facts, argumentBytesMax };
      },
      () => {},
    );
    throw tooLarge(this.place, bytes, facts.argumentBytesMax);
  }

  /** Takes the server for what it is now, unless that was done since `life`. Every bucket may differ from what somebody has seen of it. */
  async adopt(life: number): Promise<void> {
    if (life !== this.life) return;
    this.#adopting ??= this.#adoptNow().finally(() => {
      this.#adopting = undefined;
    });
    return this.#adopting;
  }

  async #adoptNow(): Promise<void> {
    const { room } = await this.reader.look();
    checkRoom(room, this.#options.room, this.place);
    await this.#adopt(this.#revisionIn(room), ALL_DIRTY);
  }

  /** The revision of somebody who came in between is the next one to be found. */
  async #adopt(found: string, dirty: Buffer | undefined): Promise<void> {
    const packer = this.#packer;
    packer.array(6);
    const revision = this.#revisions.fresh();
    for (const text of [this.#field, found, revision, this.#options.room, String(SCHEMA)]) packer.text(text);
    packer.bytes(dirty ?? Buffer.alloc(0));
    await this.#connection.call('adopt', packer.take());
    await this.#begin((await this.reader.look()).room);
  }

  async #begin(room: ReadonlyMap<string, string>): Promise<void> {
    const { marks } = await this.reader.look();
    this.marks = marks;
    this.settled = room.get('settled') ?? '';
    this.dueMs.fill(0);
    if (!this.#isShared) for (const bucket of await this.dirtyBuckets()) this.dirty[bucket] = 1;
    this.#revisions.begin(this.#revisionIn(room));
  }

  /** As the server has them. */
  async dirtyBuckets(): Promise<readonly number[]> {
    const bits = (await this.#connection.command('GET', 'wmb:dirty')) as Buffer | null;
    const dirty: number[] = [];
    for (let bucket = 0; bucket < BUCKETS; bucket += 1)
      if ((((bits?.[bucket >> 3] ?? 0) >> (7 - (bucket & 7))) & 1) === 1) dirty.push(bucket);
    return dirty;
  }

  /** What this writer has left here for certain. */
  get left(): LeftRevision {
    const { nonce, answered } = this.#revisions.known();
    return { field: this.#field, nonce, count: answered };
  }

  get #isShared(): boolean {
    return this.#options.share !== undefined;
  }

  #revisionIn(room: ReadonlyMap<string, string>): string {
    return room.get(this.#field) ?? '';
  }

  #otherMark({ moves }: Commit, at: number, text: string): CommitAnswer {
    const move = moves[at];
    const stored = move && readMarks(new Map([[move.field, text]])).get(laneKey(move.lane));
    return { is: 'other mark', move: at, stored };
  }

  #remember({ moves, settled, dirty }: Commit): void {
    this.#commits += 1;
    if (settled > this.settled) this.settled = settled;
    if (!this.#isShared) for (const bucket of dirty) this.dirty[bucket] = 1;
    if (moves.length === 0) return;
    const marks = new Map(this.marks);
    for (const { lane, epoch, next } of moves) {
      const { log, origin, partition } = lane;
      if (next === undefined) continue;
      marks.set(laneKey(lane), { log, origin, partition, epoch, seq: next });
      this.#movedAt.set(laneKey(lane), this.#commits);
    }
    this.marks = marks;
  }
}

const ALL_DIRTY = Buffer.alloc(BUCKETS / 8, 0xff);

/** STORE_FOREIGN. */
export function checkRoom(room: ReadonlyMap<string, string>, own: RoomId, place: string): void {
  const [id, schema] = [room.get('id'), Number(room.get('schema') ?? 0)];
  if (id !== undefined && id !== own) {
    throw new WmbError(
      'STORE_FOREIGN',
      `${place} holds the cache of room ${id}, and this is ${own}; give this room a server, or a \`database\` number, of its own`,
    );
  }
  if (schema > SCHEMA)
    throw new WmbError(
      'STORE_FOREIGN',
      `${place} was written by a newer WMB (schema ${schema}; this one knows ${SCHEMA}); upgrade this one`,
    );
}

function tooLarge(place: string, bytes: number, bytesMax: number): WmbError {
  return new WmbError(
    'STORE_UNAVAILABLE',
    `${place} takes no argument of ${bytes} bytes, but ${bytesMax}, and a batch is one; raise its proto-max-bulk-len, or lower link.laneBytesMax`,
  );
}

function packCommit(packer: Packer, known: KnownRevision & { readonly field: string }, commit: Commit, shiftMs: number): Buffer {
  const { moves, settled, dirty, clean, plain, plainBuckets, mixed, changes, restsOn = [] } = commit;
  packer.array(10);
  packer.array(5 + restsOn.length * 3);
  for (const text of [known.nonce, String(known.answered), known.found, String(known.next), known.field]) packer.text(text);
  for (const { field, nonce, count } of restsOn) for (const text of [field, nonce, String(count)]) packer.text(text);
  packer.array(moves.length * 4);
  for (const move of moves) packMove(packer, move);
  packer.text(settled);
  for (const buckets of [dirty, clean]) {
    packer.array(buckets.length);
    for (const bucket of buckets) packer.number(bucket);
  }
  packPlain(packer, plain, plainBuckets);
  packer.array(mixed.length);
  for (const effect of mixed) packMixed(packer, effect, shiftMs);
  packer.array(changes.length);
  for (const change of changes) packChange(packer, change);
  return packer.take();
}

function packMove(packer: Packer, { field, epoch, expected, next }: LaneMove): void {
  packer.text(field);
  packer.text(`${epoch}:`);
  packer.text(String(expected));
  packer.text(next === undefined ? '' : String(next));
}

function packPlain(packer: Packer, plain: readonly HotEffect[], buckets: readonly number[]): void {
  packer.array(plain.length * 2);
  for (const effect of plain) {
    packer.text(effect.key);
    packer.text(effect.op === 'set' ? effect.value : '');
  }
  packer.array(plain.length);
  let at = 0;
  for (const effect of plain) packer.text(bucketKey(effect.key, buckets[at++]));
  packer.array(plain.length);
  for (const effect of plain) packer.head(PLAIN, effect.version, 0);
}

function packMixed(packer: Packer, effect: HotEffect, shiftMs: number): void {
  const isSet = effect.op === 'set';
  const atMs = isSet ? effect.expireAtMs : 0;
  packer.array(6);
  packer.text(isSet ? 's' : 'd');
  packer.text(bucketKey(effect.key));
  packer.text(effect.key);
  packer.head(isSet ? (atMs === 0 ? PLAIN : EXPIRING) : TOMBSTONE, effect.version, atMs);
  packer.text(isSet ? effect.value : '');
  packer.text(atMs === 0 ? '' : String(atMs + shiftMs));
}

function packChange(packer: Packer, { key, expected, type, head, commands }: KeyChange): void {
  packer.array(7);
  packer.text(bucketKey(key));
  packer.text(key);
  packer.bytes(expected);
  packer.text(type);
  packer.text(dataKey(key));
  if (head === undefined) packer.text('=');
  else packer.bytes(head);
  packer.array(commands.length);
  for (const command of commands) {
    packer.array(command.length);
    for (const argument of command) {
      if (typeof argument === 'string') packer.text(argument);
      else packer.bytes(argument);
    }
  }
}
