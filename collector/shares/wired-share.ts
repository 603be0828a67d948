/** What works on one share, and answers for it. */
import type { CollectorServer } from '../../proto/gen/wmb/v1/admin.ts';
import type { InspectionServer } from '../../proto/gen/wmb/v1/inspection.ts';
import type { CacheStore } from '../../store/cache.ts';
import type { Applier } from '../admit/admit.ts';
import type { ShareWork } from './keeper.ts';

export interface WiredShare extends ShareWork {
  readonly cache: CacheStore;
  readonly applier: Applier;
  readonly admin: CollectorServer;
  readonly inspection: InspectionServer;
}
