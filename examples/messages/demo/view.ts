/** The live view of the demo: what each room has taken, how far its peers are behind, and what its links are doing. */
import type { CollectorStatus, ReshipStatus } from '../../../proto/gen/wmb/v1/admin.ts';
import type { RoomClients } from '../../../test/harness/clients.ts';
import type { Submitter } from './submit.ts';

const REFRESH_MS = 250;
/** Where the output is no terminal, one summary line this often. */
const LINE_MS = 3000;

export interface ViewOptions {
  readonly clients: readonly RoomClients[];
  readonly submitters: readonly Submitter[];
  readonly output: NodeJS.WriteStream;
}

interface Snapshot {
  readonly room: string;
  readonly reship: ReshipStatus | undefined;
  readonly collector: CollectorStatus | undefined;
}

export class LiveView {
  readonly #options: ViewOptions;
  readonly #startedMs = performance.now();
  #news: string[] = [];
  #drawnLines = 0;
  #lastLineMs = Number.NEGATIVE_INFINITY;
  #stopped = false;
  #running: Promise<void> | undefined;

  constructor(options: ViewOptions) {
    this.#options = options;
  }

  start(): void {
    this.#running = this.#loop();
  }

  /** A line that stays. */
  say(text: string): void {
    this.#news.push(`${this.#seconds().padStart(6)} s  ${text}`);
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    await this.#running;
    this.#flush([]);
  }

  #seconds(): string {
    return ((performance.now() - this.#startedMs) / 1000).toFixed(1);
  }

  async #loop(): Promise<void> {
    while (!this.#stopped) {
      const snapshots = await Promise.all(this.#options.clients.map(snapshot));
      this.#draw(snapshots);
      await new Promise((resolve) => setTimeout(resolve, REFRESH_MS));
    }
  }

  #draw(snapshots: readonly Snapshot[]): void {
    const done = this.#options.submitters.reduce((sum, submitter) => sum + submitter.done, 0);
    const total = this.#options.submitters.reduce((sum, submitter) => sum + submitter.total, 0);
    const rate = Math.round(done / ((performance.now() - this.#startedMs) / 1000));
    const progress = `${bar(done / Math.max(total, 1), 30)} ${done}/${total} messages, ${rate}/s`;
    if (this.#options.output.isTTY) {
      this.#flush([progress, ...snapshots.flatMap((one) => linkLines(one, snapshots))]);
    } else if (performance.now() - this.#lastLineMs > LINE_MS) {
      this.#lastLineMs = performance.now();
      this.#news.push(
        `${this.#seconds().padStart(6)} s  ${done}/${total} messages, ${rate}/s; ${snapshots.flatMap((one) => linkLines(one, snapshots)).join('; ')}`,
      );
      this.#flush([]);
    } else {
      this.#flush([]);
    }
  }

  /** Prints the news above and the live lines in the place of the previous ones. */
  #flush(live: readonly string[]): void {
    const { output } = this.#options;
    const up = this.#drawnLines > 0 ? `\x1b[${this.#drawnLines}A\x1b[J` : '';
    const text = [...this.#news, ...live].map((line) => `${line}\n`).join('');
    if (up !== '' || text !== '') output.write(up + text);
    this.#news = [];
    this.#drawnLines = live.length;
  }
}

async function snapshot(clients: RoomClients): Promise<Snapshot> {
  const [reship, collector] = await Promise.all([
    clients.reshipStatus().catch(() => undefined),
    clients.collectorStatus().catch(() => undefined),
  ]);
  return { room: clients.room.id, reship, collector };
}

/** One line per link out of the room: how its lanes stand in the peer, and how far the peer is behind by what it has acked here. */
function linkLines({ room, reship }: Snapshot, all: readonly Snapshot[]): string[] {
  if (reship === undefined) return [`${room}: reship does not answer`];
  return reship.peers
    .filter((peer) => peer.room !== room && peer.lanes.length > 0)
    .map((peer) => {
      const writes = peer.lanes.reduce((sum, lane) => sum + lane.lagWrites, 0);
      const ms = Math.max(...peer.lanes.map((lane) => lane.lagMs));
      const link = all.find((other) => other.room === peer.room)?.collector?.links.find((candidate) => candidate.origin === room);
      return `${room} → ${peer.room}: ${link === undefined ? 'collector does not answer' : states(link.lanes.map((lane) => lane.state))}, lag ${writes} writes, ${ms} ms`;
    });
}

function states(list: readonly string[]): string {
  if (list.length === 0) return 'connecting';
  const counts = new Map<string, number>();
  for (const state of list) counts.set(state, (counts.get(state) ?? 0) + 1);
  return [...counts].map(([state, count]) => (counts.size === 1 ? state : `${count} ${state}`)).join(', ');
}

function bar(share: number, width: number): string {
  const full = Math.round(share * width);
  return '█'.repeat(full) + '░'.repeat(width - full);
}
