/** A talk in memory, for tests: what is said is heard when the next turn comes, or as late as `delayMs` says. */
import { Wakeup } from '../../core/flow/wakeup.ts';
import { type Runtime, sleep } from '../../core/runtime.ts';
import type { Heard, Talk } from '../talk.ts';

/** What is said by all. */
export class MemoryTalkTopic {
  readonly records: Uint8Array[] = [];
  /** What was said before is gone. */
  first = 0;
  readonly listeners = new Set<() => void>();
}

export interface MemoryTalkOptions {
  readonly topic: MemoryTalkTopic;
  readonly runtime: Runtime;
  /** How long saying or hearing takes; asked for each time. */
  readonly delayMs: () => number;
}

export class MemoryTalk implements Talk {
  readonly #options: MemoryTalkOptions;

  constructor(options: MemoryTalkOptions) {
    this.#options = options;
  }

  async say(value: Uint8Array): Promise<void> {
    const { topic, runtime, delayMs } = this.#options;
    await sleep(runtime, delayMs());
    topic.records.push(value);
    for (const listener of topic.listeners) listener();
    await sleep(runtime, delayMs());
  }

  async *hear(after: number, over: AbortSignal): AsyncGenerator<readonly Heard[]> {
    const { topic, runtime, delayMs } = this.#options;
    const news = new Wakeup();
    const wake = () => news.wake();
    topic.listeners.add(wake);
    over.addEventListener('abort', wake);
    try {
      for (let next = after + 1; !over.aborted; ) {
        next = Math.max(next, topic.first);
        const heard = topic.records.slice(next).map((value, index) => ({ at: next + index, value }));
        next += heard.length;
        yield heard;
        if (topic.records.length === next) await news.wait();
        await sleep(runtime, delayMs(), over);
      }
    } finally {
      topic.listeners.delete(wake);
    }
  }

  async forget(at: number): Promise<void> {
    this.#options.topic.first = Math.max(this.#options.topic.first, at);
  }

  close(): void {}
}
