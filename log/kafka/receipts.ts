/** Where the collectors of a room keep their receipts, and talk, if they have no files in common: beside the room's log in Kafka (docs/adr/0015). */
import type { KafkaLogConfig } from '../../core/config/types.ts';
import { WmbError } from '../../core/errors.ts';
import type { Logger } from '../../core/logger.ts';
import type { Runtime } from '../../core/runtime.ts';
import type { RoomId } from '../../core/words.ts';
import { KafkaCluster } from '../../kafka/cluster.ts';
import type { Journal } from '../journal.ts';
import type { Talk } from '../talk.ts';
import { untilLed } from './calls.ts';
import { KafkaJournal } from './journal.ts';
import { checkTopic } from './open.ts';
import { KafkaTalk } from './talk.ts';
import { receiptsTalkTopic, receiptsTopic } from './topics.ts';

const MISSING = 'where the receipts of the room are kept; make it with `wmb log init`';

export interface ReceiptsPlace {
  readonly kafka: KafkaLogConfig;
  readonly room: RoomId;
  readonly shares: number;
  /** Who takes the journals, for people. */
  readonly owner: string;
  readonly runtime: Runtime;
  readonly logger: Logger;
}

export interface KafkaReceipts {
  readonly talk: Talk;
  /** Of a share, not taken yet. */
  journal(share: number): Journal;
}

/** A Kafka that answers and says that it has no leader for a moment is waited for. LOG_UNPREPARED, LOG_UNFIT (also where the room has another number of shares), LOG_DENIED, LOG_UNAVAILABLE. */
export function openReceipts(place: ReceiptsPlace): Promise<KafkaReceipts> {
  const told = ({ code, message }: WmbError) =>
    place.logger.warn({ code, reason: message }, 'the receipts of the room cannot be looked for yet; it is tried again');
  return untilLed(place.runtime, told, () => openOnce(place));
}

async function openOnce(place: ReceiptsPlace): Promise<KafkaReceipts> {
  const { kafka, room, shares, owner, runtime } = place;
  const open = () => new KafkaCluster({ servers: kafka, clientId: `wmb-${room}`, runtime });
  const cluster = open();
  try {
    const topic = receiptsTopic(room);
    await cluster.watch(topic).catch(() => {});
    checkShares(cluster, place, topic);
    await checkTopic(cluster, { ...kafka, topic, partitions: shares }, runtime, MISSING);
    const talk = receiptsTalkTopic(room);
    await checkTopic(cluster, { ...kafka, topic: talk, partitions: 1 }, runtime, MISSING);
    return {
      talk: new KafkaTalk({ cluster, topic: talk, runtime }),
      journal: (share) => new KafkaJournal({ cluster: open(), topic, partition: share, owner, runtime }),
    };
  } catch (cause) {
    cluster.close();
    throw cause;
  }
}

/** LOG_UNFIT where the receipts that are there are of another number of shares. */
export function checkShares(cluster: KafkaCluster, { room, shares }: Pick<ReceiptsPlace, 'room' | 'shares'>, topic: string): void {
  const found = cluster.partitions(topic)?.length;
  if (found === undefined || found === shares) return;
  throw new WmbError(
    'LOG_UNFIT',
    `the topic ${topic} of ${cluster.place} has the receipts of ${found} shares, and collector.shares of room ${room} is ${shares}; receipts in Kafka cannot be divided anew: set it to ${found}`,
  );
}
