/**
 * Whether tests on real servers can run here. They need a Docker engine; where none answers they are skipped, visibly, unless WMB_REQUIRE_DOCKER=1 makes
 * that a failure. Images are pulled, or built before by `.ci/images/ensure`: the tests do not care which.
 */
import { hostname } from 'node:os';
import { type ContainerRuntimeClient, getContainerRuntimeClient } from 'testcontainers';

// The reaper of testcontainers is one image more to pull. What it is for is done here: containers are removed by the tests' own teardown, and what a killed
// test left behind by the next one that starts a container.
process.env['TESTCONTAINERS_RYUK_DISABLED'] ??= 'true';

export const NO_ENGINE = 'no Docker engine answers here';
const OWNER_LABEL = 'wmb.test.owner';

let client: Promise<ContainerRuntimeClient | undefined> | undefined;

/** Asked once in a process. */
function engine(): Promise<ContainerRuntimeClient | undefined> {
  client ??= getContainerRuntimeClient().catch(() => undefined);
  return client;
}

/** False: skip with the reason `NO_ENGINE`. With WMB_REQUIRE_DOCKER=1 a missing engine is an error instead. */
export async function containersAvailable(): Promise<boolean> {
  if ((await engine()) !== undefined) return true;
  if (process.env['WMB_REQUIRE_DOCKER'] === '1') throw new Error(`${NO_ENGINE}, and WMB_REQUIRE_DOCKER=1 asks for one`);
  return false;
}

export async function requiredEngine(): Promise<ContainerRuntimeClient> {
  const found = await engine();
  if (found === undefined) throw new Error(`${NO_ENGINE}: .ci/images/ensure starts one`);
  return found;
}

/** Written on every container of this process. */
export function ownerLabels(): Readonly<Record<string, string>> {
  return { [OWNER_LABEL]: `${hostname()}/${process.pid}` };
}

let swept: Promise<void> | undefined;

/** Removes the containers of processes of this machine that are no more. Once in a process. */
export function sweep(): Promise<void> {
  swept ??= removeOrphans();
  return swept;
}

async function removeOrphans(): Promise<void> {
  const { container } = await requiredEngine();
  const all = await container.dockerode.listContainers({ all: true, filters: { label: [OWNER_LABEL] } });
  const orphans = all.filter(({ Labels }) => isOrphan(Labels[OWNER_LABEL] ?? ''));
  // Another process may be sweeping the same one.
  await Promise.all(
    orphans.map(({ Id }) =>
      container
        .getById(Id)
        .remove({ force: true, v: true })
        .catch(() => {}),
    ),
  );
}

/** Whether the process that `owner` names ran on this machine and has ended. */
export function isOrphan(owner: string): boolean {
  const [host, pid] = owner.split('/');
  if (host !== hostname() || !/^[1-9]\d*$/.test(pid ?? '')) return false;
  try {
    process.kill(Number(pid), 0);
    return false;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'ESRCH';
  }
}
