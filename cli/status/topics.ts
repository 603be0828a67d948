/** Topics of Kafka that rooms take in, as a table for people. */
import type { IntakeTopicPartitionStatus, IntakeTopicStatus } from '../../proto/gen/wmb/v1/admin.ts';
import { formatTable, shorten } from '../table.ts';
import type { TopologyStatus } from './read.ts';

const REASON_COLUMNS_MAX = 200;

/** Empty where no room has any. */
export function topicsTable({ rooms }: TopologyStatus, columnsMax: number): string {
  const rows = rooms.flatMap(({ room, reship }) => ('error' in reship ? [] : reship.topics.map((topic) => [room, ...topicCells(topic)])));
  if (rows.length === 0) return '';
  return formatTable({ head: ['ROOM', 'TOPIC', 'PARTITIONS', 'STATE', 'LAG', 'REASON'], rows, right: [2, 4], columnsMax, flexible: [1] });
}

function topicCells({ topic, partitions, trouble }: IntakeTopicStatus): string[] {
  const stopped = partitions.filter((one) => one.stopped !== '');
  const reason = stopped[0]?.stopped ?? trouble;
  return [
    topic,
    String(partitions.length),
    state(partitions.length, stopped.length, trouble),
    lag(partitions),
    shorten(reason, REASON_COLUMNS_MAX),
  ];
}

/** `taking`, `stopped 1, taking 2`; `idle` where other instances have all partitions. */
function state(partitions: number, stopped: number, trouble: string): string {
  if (trouble !== '') return 'in trouble';
  if (partitions === 0) return 'idle';
  if (stopped === 0) return 'taking';
  return stopped === partitions ? 'stopped' : `stopped ${stopped}, taking ${partitions - stopped}`;
}

function lag(partitions: readonly IntakeTopicPartitionStatus[]): string {
  const known = partitions.flatMap(({ lagWrites }) => (lagWrites === undefined ? [] : [lagWrites]));
  return known.length === 0 ? '' : String(known.reduce((sum, one) => sum + one, 0));
}
