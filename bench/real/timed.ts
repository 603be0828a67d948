/** What some work on a server takes: how fast it is, and the processor time of the server and of this process. */
import type { Row } from '../report.ts';
import type { Server } from './servers.ts';

export interface Measured {
  readonly perSecond: number;
  readonly serverMicros: number;
  readonly clientMicros: number;
}

/** `count` pieces of work. */
export async function timed(server: Server, count: number, work: () => Promise<unknown>): Promise<Measured> {
  const serverBefore = await server.container.cpuSeconds();
  const clientBefore = process.cpuUsage();
  const startedMs = performance.now();
  await work();
  const ms = performance.now() - startedMs;
  const { user, system } = process.cpuUsage(clientBefore);
  const serverSeconds = (await server.container.cpuSeconds()) - serverBefore;
  return { perSecond: (count / ms) * 1_000, serverMicros: (serverSeconds * 1e6) / count, clientMicros: (user + system) / count };
}

/** The round whose speed is in the middle. */
export function median<Round>(rounds: readonly Round[], speed: (round: Round) => number): Round {
  return [...rounds].sort((a, b) => speed(a) - speed(b))[Math.floor(rounds.length / 2)] as Round;
}

export const perSecond = (round: Measured): number => round.perSecond;

/** `piece`: of work, in the singular. */
export function usageRows(what: string, measured: Measured, piece: string): Row[] {
  const { serverMicros, clientMicros } = measured;
  return [
    { what, value: measured.perSecond, unit: `${piece}s/s` },
    { what: '  CPU of the server', value: serverMicros, unit: `µs / ${piece}` },
    { what: '  CPU of the client', value: clientMicros, unit: `µs / ${piece}` },
  ];
}
