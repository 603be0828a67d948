/**
 * How much memory V8 may take before it tidies up. Left alone, its young generation grows with all that ever survived in it, to 128 MiB on a machine
 * with much memory, and what a garbage collection of the young would free lies about for so long: in a daemon that hands bytes on, mostly
 * buffers. 16 MiB and few buffers in them collected less in all than 8, and with shorter stops than 32; with 32 daemons also took more than 300 MiB (docs/benchmarks.md).
 *
 * V8 takes the limit itself at its start only, from whoever starts it. But it looks at the factor of growth each time that it would grow.
 */
import { PerformanceObserver } from 'node:perf_hooks';
import { getHeapSpaceStatistics, setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';

/** Both halves of it. */
const YOUNG_BYTES_MAX = 16 * 1024 * 1024;
/** V8 collects the young when the buffers in it have 4 times this many MiB, in place of 128 MiB. */
const YOUNG_BUFFERS_MIB = 4;
/**
 * The old generation is collected when it holds so much more than was left of it. After a collection of everything, as below, V8 takes a heap for one that shall
 * stay small and lets it grow by a fifth: then a busy reship collects it every two seconds, and each time holds up what comes within 40 ms (docs/adr/0008).
 */
const OLD_GROWTH_PERCENT = 100;

/** Call it once, when everything is loaded: what loading left behind goes at once. */
export function keepHeapSmall(): void {
  collectAll();
  let grows = true;
  const adjust = () => {
    const wanted = 2 * youngBytes() <= YOUNG_BYTES_MAX;
    if (wanted === grows) return;
    grows = wanted;
    setFlagsFromString(`--semi-space-growth-factor=${grows ? 2 : 1}`);
  };
  adjust();
  new PerformanceObserver(adjust).observe({ entryTypes: ['gc'] });
  setFlagsFromString(`--heap-growing-percent=${OLD_GROWTH_PERCENT}`);
  setFlagsFromString(`--scavenger-max-new-space-capacity-mb=${YOUNG_BUFFERS_MIB}`);
}

/** Loading a daemon leaves some 60 MiB, most of it in a young generation that has grown meanwhile and that only this makes smaller again. */
function collectAll(): void {
  setFlagsFromString('--expose-gc');
  const gc = runInNewContext('gc') as (options: object) => void;
  gc({ type: 'major', execution: 'sync', flavor: 'last-resort' });
  setFlagsFromString('--no-expose-gc');
}

function youngBytes(): number {
  return getHeapSpaceStatistics().find((space) => space.space_name === 'new_space')?.space_size ?? 0;
}
