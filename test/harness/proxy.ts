/**
 * A TCP proxy of the tests' own, because the network of one machine neither delays nor breaks: it stands at the address that the
 * topology publishes, in front of the daemon, and cuts, holds, heals or delays what passes.
 */
import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net';

export class TcpProxy {
  readonly #target: { readonly host: string; readonly port: number };
  readonly #pairs = new Set<readonly [Socket, Socket]>();
  #server: Server | undefined;
  #cut = false;
  #held = false;
  #delayMs = 0;

  constructor(target: { readonly host: string; readonly port: number }) {
    this.#target = target;
  }

  /** Listens on `port` of 127.0.0.1 (0: any) and returns the port. */
  async listen(port = 0): Promise<number> {
    const server = createServer((near) => this.#accept(near));
    server.listen(port, '127.0.0.1');
    await once(server, 'listening');
    this.#server = server;
    return (server.address() as AddressInfo).port;
  }

  /** Breaks every connection and refuses new ones until `heal`. */
  cut(): void {
    this.#cut = true;
    for (const [near, far] of this.#pairs) {
      near.destroy();
      far.destroy();
    }
  }

  /** Lets nothing through, each way, until `heal`: what is open stays open and silent. */
  hold(): void {
    this.#held = true;
    for (const pair of this.#pairs) for (const socket of pair) socket.pause();
  }

  heal(): void {
    this.#cut = false;
    this.#held = false;
    for (const pair of this.#pairs) for (const socket of pair) socket.resume();
  }

  /** Holds every chunk back for this long, each way. */
  delay(ms: number): void {
    this.#delayMs = ms;
  }

  async close(): Promise<void> {
    this.cut();
    this.#server?.close();
  }

  #accept(near: Socket): void {
    if (this.#cut) {
      near.destroy();
      return;
    }
    const far = connect(this.#target);
    const pair = [near, far] as const;
    this.#pairs.add(pair);
    this.#pipe(near, far);
    this.#pipe(far, near);
    if (this.#held) for (const socket of pair) socket.pause();
    const end = () => {
      this.#pairs.delete(pair);
      near.destroy();
      far.destroy();
    };
    for (const socket of pair) {
      socket.setNoDelay(true);
      socket.on('error', end);
      socket.on('close', end);
    }
  }

  #pipe(from: Socket, to: Socket): void {
    from.on('data', (chunk) => {
      const pass = () => {
        if (!to.write(chunk)) from.pause();
      };
      if (this.#delayMs === 0) pass();
      else setTimeout(pass, this.#delayMs);
    });
    to.on('drain', () => {
      if (!this.#held) from.resume();
    });
    from.on('end', () => to.end());
  }
}

/** Below the range from which connections get their own ports: the port of a daemon that is down for a moment stays free. */
const PORTS = { from: 10_000, count: 20_000 } as const;

/** `count` ports of 127.0.0.1 that were free a moment ago. */
export async function freePorts(count: number): Promise<number[]> {
  const ports: number[] = [];
  for (let port = PORTS.from + Math.floor(Math.random() * PORTS.count); ports.length < count; port += 1)
    if (await isFree(port)) ports.push(port);
  return ports;
}

async function isFree(port: number): Promise<boolean> {
  const server = createServer().listen(port, '127.0.0.1');
  const free = await once(server, 'listening').then(
    () => true,
    () => false,
  );
  if (free) await new Promise((resolve) => server.close(resolve));
  return free;
}
