/** What a process uses, from Linux' /proc. Elsewhere the rows that need it say 0. */
import { readFileSync } from 'node:fs';

/** Between two looks: what the machine did for others than this process, the children of it that have ended, and whom `more` counts, in cores. */
export class Others {
  readonly #more: () => number;
  readonly #busySeconds: number;
  readonly #startedMs = performance.now();

  constructor(more = () => 0) {
    this.#more = more;
    this.#busySeconds = this.#seconds();
  }

  cores(): number {
    const seconds = (performance.now() - this.#startedMs) / 1000;
    return Math.max(0, this.#seconds() - this.#busySeconds) / seconds;
  }

  #seconds(): number {
    return busySeconds() - ownSeconds() - this.#more();
  }
}

const TICKS_PER_SECOND = 100;
const PAGE_BYTES = 4096;

export interface Usage {
  /** User and system time since the process began. */
  readonly cpuSeconds: number;
  readonly residentBytes: number;
}

export function usageOf(pid: number | undefined): Usage {
  try {
    const fields = readFileSync(`/proc/${pid}/stat`, 'latin1').split(') ')[1]?.split(' ') ?? [];
    return {
      cpuSeconds: (Number(fields[11]) + Number(fields[12])) / TICKS_PER_SECOND,
      residentBytes: Number(fields[21]) * PAGE_BYTES,
    };
  } catch {
    return { cpuSeconds: 0, residentBytes: 0 };
  }
}

/** Of all cores; all but idle and waiting for the disk. */
function busySeconds(): number {
  const [user = 0, nice = 0, system = 0, , , irq = 0, softirq = 0, steal = 0] = ticks('/proc/stat', (text) =>
    text.split('\n')[0]?.split(/\s+/).slice(1),
  );
  return (user + nice + system + irq + softirq + steal) / TICKS_PER_SECOND;
}

function ownSeconds(): number {
  const own = ticks('/proc/self/stat', (text) => text.split(') ')[1]?.split(' ').slice(11, 15));
  return own.reduce((sum, each) => sum + each, 0) / TICKS_PER_SECOND;
}

function ticks(file: string, pick: (text: string) => readonly string[] | undefined): readonly number[] {
  try {
    return pick(readFileSync(file, 'latin1'))?.map(Number) ?? [];
  } catch {
    return [];
  }
}
