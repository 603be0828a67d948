/** What is the same in the main of every daemon: logger, metrics, readiness, then the services that its wiring makes. */
import type { Config } from '../core/config/types.ts';
import type { Logger } from '../core/logger.ts';
import type { Runtime } from '../core/runtime.ts';
import { exitForStart, runDaemon } from './daemon.ts';
import { keepHeapSmall } from './heap.ts';
import { createLogger } from './logger.ts';
import { PrometheusMetrics } from './metrics.ts';
import { Readiness } from './readiness.ts';
import type { Service } from './service.ts';

export interface DaemonParts {
  readonly config: Config;
  readonly runtime: Runtime;
  readonly logger: Logger;
  readonly metrics: PrometheusMetrics;
  readonly readiness: Readiness;
}

export interface ProcessOptions {
  readonly name: string;
  readonly config: Config;
  readonly runtime: Runtime;
  readonly wire: (parts: DaemonParts) => Promise<readonly Service[]>;
}

/** Never returns before the process ends. What the wiring rejects with ends it like a service that cannot start. */
export async function runProcess({ name, config, runtime, wire }: ProcessOptions): Promise<void> {
  const logger = createLogger({ name, level: config.room.logLevel, fields: { room: config.room.id } });
  const parts: DaemonParts = {
    config,
    runtime,
    logger,
    metrics: new PrometheusMetrics({ room: config.room.id, daemon: name }),
    readiness: new Readiness(),
  };
  const services = await wire(parts).catch((error: unknown) => exitForStart(error, { name, logger }));
  keepHeapSmall();
  await runDaemon({ name, services, readiness: parts.readiness, runtime, logger, drainMsMax: config.room.drainMsMax });
}
