/** `GET /drifts` (JSON) and `GET /drifts.html`: what this room's checker has found, for people and for monitoring. */
import type { FastifyInstance } from 'fastify';
import { WmbError } from '../core/errors.ts';
import type { Drift, DriftStatus } from './drift.ts';
import { reportPage } from './report/html.ts';
import { pairViews } from './report/pair.ts';
import { type StatusSource, statusOf } from './status.ts';

const LIST_MAX = 1_000;
const STATUSES: readonly string[] = ['open', 'repaired', 'healed', 'all'] satisfies readonly (DriftStatus | 'all')[];

/** `?status=open|repaired|healed|all`, default open; the newest 1,000. */
export function addReportRoutes(app: FastifyInstance, source: StatusSource): void {
  app.get<{ Querystring: { status?: string } }>('/drifts', async ({ query }) => {
    const drifts = await listed(source, query.status);
    return { status: await statusOf(source), drifts };
  });
  app.get<{ Querystring: { status?: string } }>('/drifts.html', async ({ query }, reply) => {
    reply.type('text/html; charset=utf-8').send(await page(source, await listed(source, query.status)));
    return reply;
  });
}

async function listed({ book }: StatusSource, status = 'open'): Promise<readonly Drift[]> {
  if (!STATUSES.includes(status)) throw new WmbError('USAGE', `there are no ${status} drifts; allowed: ${STATUSES.join(', ')}`);
  return book.list({ status: status as DriftStatus | 'all', limit: LIST_MAX });
}

async function page(source: StatusSource, drifts: readonly Drift[]): Promise<string> {
  const { config, book, runtime } = source;
  const status = await statusOf(source);
  const own = config.room.id;
  const rooms = config.topology.rooms.map(({ id }) => id);
  const open = [...book.openDrifts.values()];
  const pairs = pairViews({ rooms, reports: [status], silent: new Map(), open }).filter((pair) => pair.rooms.includes(own));
  const notes = drifts.length < LIST_MAX ? [] : [`Only the newest ${LIST_MAX} are shown.`];
  const databases = status.database === '' ? [] : [{ room: own, text: status.database }];
  return reportPage({ madeMs: runtime.nowMs(), pairs, databases, drifts, notes });
}
