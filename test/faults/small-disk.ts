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

  /** Takes all the space that is left. */
  fill(): void {
    const { bavail, bsize } = statfsSync(this.#directory);
    writeFileSync(join(this.#directory, FILLER), Buffer.alloc(bavail * bsize));
  }

  free(): void {
    rmSync(join(this.#directory, FILLER));
  }

  unmount(): void {
    execFileSync('umount', [this.#directory]);
  }
}
