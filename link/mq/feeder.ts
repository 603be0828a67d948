/**
 * Puts frames into the inbox of one peer, for as long as the peer wants them there. What the peer says in the topic `up` decides: it is read from its last record on, so
 * that a reship that was started anew goes on while the peer's collector is away.
 */
import type { KafkaServersConfig } from '../../core/config/types.ts';
import { asWmbError, WmbError } from '../../core/errors.ts';
import { backoffMs } from '../../core/flow/backoff.ts';
import type { Logger } from '../../core/logger.ts';
import { type Runtime, sleep } from '../../core/runtime.ts';
import { overlaps, type Share, WHOLE } from '../../core/share.ts';
import type { RoomId } from '../../core/words.ts';
import { KafkaCluster } from '../../kafka/cluster.ts';
import type { FoundRecord } from '../../kafka/records.ts';
import { appendRecord, followTopic, lastRecords } from '../../kafka/topic-calls.ts';
import type { InboxUp } from '../../proto/gen/wmb/v1/link.ts';
import { signHello } from '../identity.ts';
import type { Hello, LinkHost } from '../link.ts';
import { errorToWire, upwardsFromWire } from '../wire.ts';
import { decodeUp, encodeDown } from './control.ts';
import { inboxError } from './errors.ts';
import { Outage } from './outage.ts';
import { MqServedSession } from './served.ts';
import { checkTopic, downTopic, inboxTopic, upTopic } from './topics.ts';

const UP_WAIT_MS = 500;
const QUIET_MS_MAX = 4 * UP_WAIT_MS;
const BACKOFF = { msMin: 100, msMax: 5_000 } as const;
const WARN_AFTER_MS = 10_000;
const TRIM_MS = 10_000;
const NOBODY = '';

export interface FeederOptions {
  readonly room: RoomId;
  readonly peer: RoomId;
  readonly kafka: KafkaServersConfig;
  readonly secret: string;
  readonly host: LinkHost;
  /** The host gives a session up that says nothing for so long. */
  readonly silenceMsMax?: number;
  /** Where several reships work in the room, one of them feeds a share. Asked again and again. */
  readonly isMine: (share: Share) => boolean;
  readonly runtime: Runtime;
  readonly logger: Logger;
}

interface Feeding {
  readonly cluster: KafkaCluster;
  /** Fails when a session does, or when it is to be begun anew. */
  readonly failed: AbortController;
}

/** A collector of the peer, or what works on one of its shares. */
interface Fed {
  readonly share: Share;
  /** What it said last when it dialled; undefined: it wants nothing here. */
  claim: Hello | undefined;
  /** The dial that the session is for. */
  nonce: string;
  /** Of its last record: it says what is wanted, and stays. */
  offset: number;
  session: MqServedSession | undefined;
}

export class InboxFeeder {
  readonly name: string;
  readonly #options: FeederOptions;
  readonly #log: Logger;
  readonly #stopped = new AbortController();
  #running: Promise<void> = Promise.resolve();
  #fed: Fed[] = [];
  readonly #outage = new Outage();

  constructor(options: FeederOptions) {
    this.name = `inbox of ${options.peer}`;
    this.#options = options;
    this.#log = options.logger.child({ peer: options.peer });
  }

  async start(): Promise<void> {
    this.#running = this.#run();
  }

  async stop(): Promise<void> {
    this.#stopped.abort();
    this.#closeAll();
    await this.#running;
  }

  async #run(): Promise<void> {
    const { runtime } = this.#options;
    for (let failures = 0; !this.#stopped.signal.aborted; failures += 1) {
      const startedMs = runtime.monotonicMs();
      const error = await this.#feed().catch((cause) => asWmbError(cause));
      if (this.#stopped.signal.aborted) return;
      const { failingMs, isFirst } = this.#outage.failed(startedMs, runtime.monotonicMs());
      if (isFirst) failures = 0;
      this.#tell(error, failingMs);
      await sleep(runtime, backoffMs(failures, BACKOFF, runtime.random()), this.#stopped.signal);
    }
  }

  #tell(error: WmbError, failingMs: number): void {
    // Many rooms have no link over mq, and topics for one only when somebody makes them.
    const level = error.code === 'INBOX_UNPREPARED' ? 'debug' : failingMs < WARN_AFTER_MS ? 'info' : 'warn';
    this.#log[level]({ code: error.code, reason: error.message, failingMs }, 'the inbox of a peer cannot be used');
  }

  /** Resolves with why it ended. */
  async #feed(): Promise<WmbError> {
    const { kafka, room, runtime } = this.#options;
    const cluster = new KafkaCluster({ servers: kafka, clientId: `wmb-${room}`, runtime });
    const failed = new AbortController();
    const close = () => cluster.close();
    for (const signal of [failed.signal, this.#stopped.signal]) signal.addEventListener('abort', close, { once: true });
    try {
      await checkTopic(cluster, { topic: upTopic(room), partitions: 1 });
      await checkTopic(cluster, { topic: downTopic(room), partitions: 1 });
      await this.#follow({ cluster, failed });
      throw new WmbError('INTERNAL', 'a topic ended');
    } catch (cause) {
      const reason: unknown = failed.signal.reason instanceof WmbError ? failed.signal.reason : cause;
      return inboxError(reason, cluster.place, `frames for ${this.#options.peer} cannot be put into its inbox`);
    } finally {
      this.#stopped.signal.removeEventListener('abort', close);
      this.#closeAll();
      this.#fed = [];
      cluster.close();
    }
  }

  #closeAll(): void {
    for (const { session } of this.#fed) session?.close();
  }

  async #follow(feeding: Feeding): Promise<void> {
    const { room, runtime } = this.#options;
    const { cluster } = feeding;
    const topic = upTopic(room);
    const [from = 0] = await cluster.offsets(topic, 'first');
    // What was said before this start was said to another process, but for what each wished last.
    const [last] = await lastRecords(cluster, topic);
    const wished = new Map<string, FoundRecord>();
    let trimmedMs = runtime.monotonicMs();
    for await (const records of followTopic(cluster, { topic, from, waitMs: UP_WAIT_MS })) {
      this.#outage.answered(runtime.monotonicMs());
      for (const { session } of this.#fed) session?.alive();
      for (const fed of this.#fed) await this.#tend(feeding, fed);
      for (const record of records) {
        if (last === undefined || record.offset > last.offset) await this.#said(feeding, record, false);
        else {
          const share = this.#wishOf(record, record.offset === last.offset);
          wished.delete(share);
          wished.set(share, record);
        }
        if (record.offset === last?.offset) for (const [share, wish] of wished) if (share !== NOBODY) await this.#said(feeding, wish, true);
      }
      const keep = Math.min(...this.#fed.map(({ offset }) => offset));
      if (!Number.isFinite(keep) || runtime.monotonicMs() - trimmedMs < TRIM_MS) continue;
      trimmedMs = runtime.monotonicMs();
      await cluster.deleteBefore(topic, new Map([[0, keep]]));
    }
  }

  /** Whose wish it is. What a stranger said stands in nobody's way, unless it was said last. */
  #wishOf({ value }: FoundRecord, isLast: boolean): string {
    try {
      const { index, count } = decodeUp(value, this.#options.secret).hello?.share ?? WHOLE;
      return `${index}/${count}`;
    } catch (cause) {
      if (isLast) throw cause;
      return NOBODY;
    }
  }

  async #said(feeding: Feeding, record: FoundRecord, isOld: boolean): Promise<void> {
    const { secret } = this.#options;
    const up = decodeUp(record.value, secret);
    const hello = this.#checked(up);
    const fed = this.#fedOf(hello.share ?? WHOLE);
    fed.offset = record.offset;
    fed.claim = up.transport === 'mq' ? hello : undefined;
    await this.#tend(feeding, fed);
    if (isOld || fed.claim === undefined) return;
    for (const message of up.messages.flatMap(upwardsFromWire)) fed.session?.take(message);
  }

  async #tend(feeding: Feeding, fed: Fed): Promise<void> {
    const { claim, share, session } = fed;
    if (claim === undefined || !this.#options.isMine(share)) {
      if (claim !== undefined) fed.nonce = NOBODY;
      session?.close();
    } else if (fed.nonce !== claim.nonce) {
      // A session that the host gave up is not begun again for the same dial.
      await this.#begin(feeding, fed, claim);
    }
  }

  /** Where the peer divides its partitions otherwise than before, what it said then counts no more. */
  #fedOf(share: Share): Fed {
    const known = this.#fed.find((each) => each.share.index === share.index && each.share.count === share.count);
    if (known !== undefined) return known;
    const made: Fed = { share, claim: undefined, nonce: NOBODY, offset: 0, session: undefined };
    for (const each of this.#fed.filter((other) => overlaps(other.share, share))) each.session?.close();
    this.#fed = [...this.#fed.filter((other) => !overlaps(other.share, share)), made];
    return made;
  }

  #checked({ hello }: InboxUp): Hello {
    const { room, peer } = this.#options;
    if (hello === undefined) throw new WmbError('PEER_GARBAGE', `a record of the topic ${upTopic(room)} has no hello`);
    if (hello.from === peer && hello.to === room) return hello;
    throw new WmbError(
      'INBOX_FOREIGN',
      `the topic ${upTopic(room)} has what room ${hello.from} says to room ${hello.to}, and this is room ${room} and looks for room ${peer}`,
    );
  }

  async #begin(feeding: Feeding, fed: Fed, claim: Hello): Promise<void> {
    const { host, room, secret, runtime } = this.#options;
    const { cluster } = feeding;
    fed.session?.close();
    fed.session = undefined;
    fed.nonce = claim.nonce;
    const hello = this.#fresh(claim);
    let welcome: ReturnType<LinkHost['welcome']>;
    try {
      welcome = host.welcome(hello);
    } catch (cause) {
      const error = asWmbError(cause);
      this.#log.warn({ code: error.code, reason: error.message }, 'a peer is refused');
      const record = encodeDown({ room, to: claim.from, welcome: undefined, messages: [errorToWire(error)] }, secret);
      return appendRecord(cluster, downTopic(room), record, runtime.nowMs());
    }
    for (const { log, partitions } of welcome.logs) await checkTopic(cluster, { topic: inboxTopic(room, log), partitions });
    const session = new MqServedSession({ cluster, room, hello, welcome, secret, runtime });
    await session.begin();
    await session.welcome();
    fed.session = session;
    this.#outage.over();
    void session.closed.then((reason) => this.#ended(feeding, { fed, session, reason }));
    host.serve(session);
  }

  /** The record's proof covered the claim, with the same secret, and a hello's own is too old soon: the host gets one that this process has signed. */
  #fresh({ from, to, topologyEpoch, instance, share }: Hello): Hello {
    const { secret, runtime } = this.#options;
    return signHello({ from, to, topologyEpoch, instance, ...(share && { share }) }, secret, runtime);
  }

  /** The host gives up a session for a newer one: the peer has dialled over rpc, and what it said here before counts no more. One that it gives up because Kafka said nothing is another matter. */
  #ended(feeding: Feeding, { fed, session, reason }: { fed: Fed; session: MqServedSession; reason: WmbError | undefined }): void {
    if (fed.session !== session) return;
    fed.session = undefined;
    const { runtime, silenceMsMax = QUIET_MS_MAX } = this.#options;
    const isQuiet = runtime.monotonicMs() - this.#outage.answeredMs > Math.min(QUIET_MS_MAX, silenceMsMax);
    if (reason === undefined || (reason.code === 'PEER_UNREACHABLE' && !isQuiet)) return;
    feeding.failed.abort(reason);
  }
}
