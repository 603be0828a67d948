/** A journal in memory, for tests. */
import { WmbError } from '../../core/errors.ts';
import type { Journal, JournalRecord, Taken } from '../journal.ts';

/** What all have appended who took the journal one after the other. */
export class MemoryJournalTopic {
  records: JournalRecord[] = [];
  next = 0;
  isWhole = true;
  owner: MemoryJournal | undefined;
}

const TURN = new Uint8Array();

export class MemoryJournal implements Journal {
  readonly #topic: MemoryJournalTopic;

  constructor(topic: MemoryJournalTopic) {
    this.#topic = topic;
  }

  async take(): Promise<Taken> {
    const topic = this.#topic;
    topic.owner = this;
    const left = topic.records.filter(({ value }) => value !== TURN);
    return {
      isWhole: topic.isWhole,
      records: async function* () {
        yield* left;
      },
    };
  }

  async append(value: Uint8Array): Promise<number> {
    const topic = this.#topic;
    if (topic.owner !== this) throw new WmbError('STORE_LOCKED', 'the journal was taken by another process of the room');
    topic.records.push({ at: topic.next, value });
    topic.next += 1;
    return topic.next - 1;
  }

  async turn(): Promise<number> {
    return this.append(TURN);
  }

  async forget(before: number): Promise<void> {
    const topic = this.#topic;
    topic.records = topic.records.filter(({ at }) => at >= before);
    topic.isWhole = false;
  }

  close(): void {}
}
