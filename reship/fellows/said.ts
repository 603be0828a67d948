/** What a reship says of itself to the others of its room. Each record says all that counts now, but for acks: of these all now and then, and in between those that are new. */
import type { Stamp } from '../../core/stamp.ts';
import type { LogEpoch, Seq } from '../../core/words.ts';
import { decodeWord, encodeWord } from '../../log/talk.ts';
import type { PeerAck, PeerSessionName } from '../ship/peer-ack.ts';

const FORMAT = 1;

export interface GivenUp {
  readonly name: string;
  /** Where its last word stands. */
  readonly at: number;
}

/** What of an application's topic a process takes in. */
export interface TopicTaken {
  readonly topic: string;
  readonly partitions: readonly number[];
}

export interface Said {
  /** Of one life of one process. */
  readonly name: string;
  /** Of whoever has this process' place in the room's directory, one after the other. */
  readonly seat: string;
  /** Where it takes write requests over gRPC; for people. */
  readonly address: string;
  readonly epoch: LogEpoch;
  /** Counts what this process has said. */
  readonly turn: number;
  /** Wall clock. */
  readonly saidMs: number;
  readonly how: 'joins' | 'works' | 'leaves';
  /** It has heard what was said up to here. */
  readonly heardTo: number;
  /** Every write request of its that is not durable, and every later one, has a greater stamp. */
  readonly settled: Stamp;
  /** The greatest stamp that it has given or heard of. */
  readonly last: Stamp;
  /** By partition, the seq behind the last frame that it knows: what is durable of its own is before it. */
  readonly ends: readonly Seq[];
  readonly sessions: readonly PeerSessionName[];
  readonly acks: readonly PeerAck[];
  /** Those that were not heard of for so long that nobody waits for them any more; void where one has said something since. */
  readonly gone: readonly GivenUp[];
  /** Somebody waits here for what peers ack. */
  readonly waits: boolean;
  /** For people; absent in what an older WMB says. */
  readonly topics?: readonly TopicTaken[];
}

export function encodeSaid(said: Said): Uint8Array {
  return encodeWord(FORMAT, said);
}

/** As {@link decodeWord}. */
export function decodeSaid(value: Uint8Array): Said | undefined {
  return decodeWord<Said>(FORMAT, value, 'reship');
}
