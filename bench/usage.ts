/** What a process uses, from Linux' /proc. Elsewhere the rows that need it say 0. */
import { readFileSync } from 'node:fs';

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
