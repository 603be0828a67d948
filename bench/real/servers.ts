/** The servers of the bench, in this machine’s network. What they cost is counted when they go, because they are nobody’s children. */
import type { ServerContainer } from '../../test/containers/server.ts';

let goneCpuSeconds = 0;

/** Processor time of all servers that have been removed. */
export function removedCpuSeconds(): number {
  return goneCpuSeconds;
}

export interface Server {
  readonly container: ServerContainer;
  remove(): Promise<void>;
}

export async function removeAll(servers: readonly Server[]): Promise<void> {
  for (const { container, remove } of servers) {
    goneCpuSeconds += await container.cpuSeconds().catch(() => 0);
    await remove();
  }
}

export function cpuSecondsOf(servers: readonly Server[]): Promise<number[]> {
  return Promise.all(servers.map(({ container }) => container.cpuSeconds()));
}
