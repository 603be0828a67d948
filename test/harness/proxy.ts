/**
 * A TCP proxy of the tests' own, because the network of one machine neither delays nor breaks: it stands at the address that the
 * topology publishes, in front of the daemon (or of a server), and cuts, holds, resets, delays or narrows what passes, in one direction or in both.
 */
import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net';
import { type Line, Pipe } from './pipe.ts';

/** `there`: from who connects to the target; `back`: the answers. */
export type Direction = 'there' | 'back';
const BOTH: readonly Direction[] = ['there', 'back'];

/** Which packet, from who connects to the target, is meant. */
export type Packet = (chunk: Buffer) => boolean;

interface Target {
  readonly host: string;
  readonly port: number;
}

interface Pair {
  readonly near: Socket;
  readonly far: Socket;
  readonly pipes: Readonly<Record<Direction, Pipe>>;
}

export class TcpProxy {
  /** Each connection goes to the next one in turn, or to one after it that takes it. */
  readonly #targets: Target[];
  #turn = 0;
  readonly #pairs = new Set<Pair>();
  readonly #lines: Readonly<Record<Direction, Line>> = { there: openLine(), back: openLine() };
  #server: Server | undefined;
  #cut = false;
  #unanswered: Packet | undefined;
  #torn: Packet | undefined;
  #broken = 0;

  constructor(...targets: readonly Target[]) {
    this.#targets = [...targets];
  }

  /** Leads there too from now on. */
  alsoTo(target: Target): void {
    this.#targets.push(target);
  }

  /** Listens on `port` of 127.0.0.1 (0: any) and returns the port. */
  async listen(port = 0): Promise<number> {
    // Each side may end before the other: what is still under way the other way arrives.
    const server = createServer({ allowHalfOpen: true }, (near) => this.#accept(near));
    server.listen(port, '127.0.0.1');
    await once(server, 'listening');
    this.#server = server;
    return (server.address() as AddressInfo).port;
  }

  /** Breaks every connection and refuses new ones until `heal`. */
  cut(): void {
    this.#cut = true;
    for (const pair of this.#pairs) destroy(pair);
  }

  /** Breaks every connection by RST; new ones are taken. */
  reset(): void {
    for (const { near, far } of this.#pairs) for (const socket of [near, far]) socket.resetAndDestroy();
  }

  /** Lets nothing through until `heal`: what is open stays open and silent, and new connections are accepted and never answered. */
  hold(direction?: Direction): void {
    this.#change(direction, (line) => {
      line.held = true;
    });
  }

  /** Ends `cut` and `hold`. Delay and bandwidth stay as they are. */
  heal(): void {
    this.#cut = false;
    this.#change(undefined, (line) => {
      line.held = false;
    });
  }

  /** Everything arrives so much later; the order stays. */
  delay(delayMs: number, direction?: Direction): void {
    this.#change(direction, (line) => {
      line.delayMs = delayMs;
    });
  }

  /** At most so much passes, for each connection; Infinity: no limit. */
  bandwidth(bytesPerSecond: number, direction?: Direction): void {
    this.#change(direction, (line) => {
      line.bytesPerSecond = bytesPerSecond;
    });
  }

  /** The next such packet is delivered, and its connection broken when the answer comes: the caller cannot know what became of it. Once. */
  loseAnswerTo(packet: Packet): void {
    this.#unanswered = packet;
  }

  /** Of the next such packet the first half is delivered, and its connection is broken. Once. */
  tear(packet: Packet): void {
    this.#torn = packet;
  }

  /** Connections that `loseAnswerTo` and `tear` have broken so far. */
  get broken(): number {
    return this.#broken;
  }

  async close(): Promise<void> {
    this.cut();
    this.#server?.close();
  }

  #change(direction: Direction | undefined, change: (line: Line) => void): void {
    for (const way of direction === undefined ? BOTH : [direction]) {
      change(this.#lines[way]);
      for (const { pipes } of this.#pairs) pipes[way].pump();
    }
  }

  #accept(near: Socket): void {
    if (this.#cut) {
      near.destroy();
      return;
    }
    near.on('error', () => near.destroy());
    this.#dial(near, this.#targets.length);
  }

  #dial(near: Socket, left: number): void {
    const target = this.#targets[this.#turn % this.#targets.length];
    this.#turn += 1;
    const far = connect({ ...target, allowHalfOpen: true, port: target?.port ?? 0 });
    const refused = () => (left > 1 && !near.destroyed ? this.#dial(near, left - 1) : near.destroy());
    far.once('error', refused);
    far.once('connect', () => {
      far.off('error', refused);
      if (near.destroyed || this.#cut) return void [near, far].map((socket) => socket.destroy());
      this.#join(near, far);
    });
  }

  #join(near: Socket, far: Socket): void {
    this.#watch(near, far);
    const { there, back } = this.#lines;
    const pair = {
      near,
      far,
      pipes: {
        there: new Pipe({ from: near, to: far, line: there, isTorn: (chunk) => this.#isTorn(chunk) }),
        back: new Pipe({ from: far, to: near, line: back }),
      },
    };
    this.#pairs.add(pair);
    for (const socket of [near, far]) {
      socket.setNoDelay(true);
      socket.on('error', () => destroy(pair));
      socket.on('close', () => {
        if (near.destroyed && far.destroyed) this.#pairs.delete(pair);
      });
    }
  }

  #isTorn(chunk: Buffer): boolean {
    if (!this.#torn?.(chunk)) return false;
    this.#torn = undefined;
    this.#broken += 1;
    return true;
  }

  #watch(near: Socket, far: Socket): void {
    near.on('data', (chunk) => {
      if (!this.#unanswered?.(chunk)) return;
      this.#unanswered = undefined;
      // Before the pipe, which would send it on.
      far.prependOnceListener('data', () => {
        this.#broken += 1;
        near.destroy();
        far.destroy();
      });
    });
  }
}

function openLine(): Line {
  return { delayMs: 0, bytesPerSecond: Number.POSITIVE_INFINITY, held: false };
}

function destroy({ near, far }: Pair): void {
  near.destroy();
  far.destroy();
}

/** Below the range from which connections get their own ports: the port of a daemon that is down for a moment stays free. */
const PORTS = { from: 10_000, count: 20_000 } as const;
/** Of test files that run at once each has blocks of its own: otherwise one could get what another has and does not listen on yet. */
const BLOCK = 100;

/** What is left of this process' newest block. */
let [next, end] = [0, 0];

let turn: Promise<unknown> = Promise.resolve();

/** `count` ports of 127.0.0.1 that were free a moment ago, and that nobody else gets while this process lives. */
export function freePorts(count: number): Promise<number[]> {
  // One after the other: at the end of a block each would take a new one.
  const ports = turn.then(() => takePorts(count));
  turn = ports.catch(() => {});
  return ports;
}

async function takePorts(count: number): Promise<number[]> {
  const ports: number[] = [];
  while (ports.length < count) {
    if (next === end) [next, end] = await takeBlock();
    const port = next;
    next += 1;
    if (await isFree(port)) ports.push(port);
  }
  return ports;
}

/** Whoever listens on the first port of a block has it. */
async function takeBlock(): Promise<[next: number, end: number]> {
  const blocks = PORTS.count / BLOCK;
  const begin = Math.floor(Math.random() * blocks);
  for (let tried = 0; tried < blocks; tried += 1) {
    const first = PORTS.from + BLOCK * ((begin + tried) % blocks);
    const guard = await listenOn(first);
    guard?.unref();
    if (guard !== undefined) return [first + 1, first + BLOCK];
  }
  throw new Error('all ports are taken by other tests');
}

async function isFree(port: number): Promise<boolean> {
  const server = await listenOn(port);
  if (server !== undefined) await new Promise((resolve) => server.close(resolve));
  return server !== undefined;
}

/** Undefined: somebody else does. */
async function listenOn(port: number): Promise<Server | undefined> {
  const server = createServer().listen(port, '127.0.0.1');
  const listens = await once(server, 'listening').then(
    () => true,
    () => false,
  );
  return listens ? server : undefined;
}
