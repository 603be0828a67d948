/** A file system of a few megabytes in memory, which can be full. Mounting one takes root. */
import { execFileSync } from 'node:child_process';
import { mkdirSync, rmSync, statfsSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

const MEGABYTES = 24;
const FILLER = 'filler';

export class SmallDisk {
  readonly #directory: string;

  private constructor(directory: string) {
    this.#directory = directory;
  }

  static mount(directory: string): SmallDisk {
    mkdirSync(directory, { recursive: true });
    execFileSync('mount', ['-t', 'tmpfs', '-o', `size=${MEGABYTES}m,mode=0777`, 'tmpfs', directory]);
    return new SmallDisk(directory);
  }

  /** Takes all the space that is left, of which others take some at the same time. */
  fill(): void {
    const { bavail, bsize } = statfsSync(this.#directory);
    try {
      writeFileSync(join(this.#directory, FILLER), Buffer.alloc(bavail * bsize));
    } catch (cause) {
      if ((cause as NodeJS.ErrnoException).code !== 'ENOSPC') throw cause;
    }
  }

  free(): void {
    rmSync(join(this.#directory, FILLER));
  }

  unmount(): void {
    execFileSync('umount', [this.#directory]);
  }
}
