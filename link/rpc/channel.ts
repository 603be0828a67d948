/** What both ends of the rpc transport share: gRPC settings, certificates, and a bounded way to write control messages. */
import type { PeerCertificate } from 'node:tls';
import { type ChannelCredentials, type ChannelOptions, credentials } from '@grpc/grpc-js';
import { WmbError } from '../../core/errors.ts';
import type { RoomId } from '../../core/words.ts';
import type { Downward, Upward } from '../link.ts';

/** PEM. The certificate names its room as a DNS subject alternative name, and so must the peer's. */
export interface LinkTls {
  readonly ca: Buffer;
  readonly cert: Buffer;
  readonly key: Buffer;
}

const MESSAGE_BYTES_MAX = 32 * 1024 * 1024;

/**
 * More than the credits of all lanes, which are what bounds the bytes on their way: half a window may be waiting for its update, and what is left of it a long line
 * empties once in each round trip.
 */
const RECEIVE_WINDOW_BYTES = 64 * 1024 * 1024;

const KEEPALIVE: ChannelOptions = { 'grpc.keepalive_time_ms': 10_000, 'grpc.keepalive_timeout_ms': 5_000 };

export const DIALER_OPTIONS: ChannelOptions = {
  ...KEEPALIVE,
  'grpc-node.flow_control_window': RECEIVE_WINDOW_BYTES,
  'grpc.max_receive_message_length': MESSAGE_BYTES_MAX,
  'grpc.max_send_message_length': MESSAGE_BYTES_MAX,
  // Every session is a connection of its own: the collector, not the channel, decides when to dial again.
  'grpc.use_local_subchannel_pool': 1,
  'grpc.enable_retries': 0,
  'grpc.service_config_disable_resolution': 1,
  'grpc.enable_http_proxy': 0,
};

/** A peer whose certificate does not name `room` is not talked to. */
export function dialerCredentials(tls: LinkTls | undefined, room: RoomId): ChannelCredentials {
  if (tls === undefined) return credentials.createInsecure();
  return credentials.createSsl(tls.ca, tls.key, tls.cert, {
    checkServerIdentity: (_host, certificate) => (certificateNames(certificate, room) ? undefined : notNamed(certificate, room)),
  });
}

/** Whether `room` is a DNS subject alternative name of the certificate. */
export function certificateNames(certificate: PeerCertificate | undefined, room: RoomId): boolean {
  const names = certificate?.subjectaltname?.split(', ') ?? [];
  return names.includes(`DNS:${room}`);
}

export function notNamed(certificate: PeerCertificate | undefined, room: RoomId): WmbError {
  const names = certificate?.subjectaltname ?? 'nothing';
  return new WmbError('IDENTITY_REFUSED', `the peer’s certificate does not name room ${JSON.stringify(room)} (it names ${names})`);
}

const PENDING_BYTES_MAX = 4 * 1024 * 1024;
const PENDING_COUNT_MAX = 16_384;

interface MessageSink<T> {
  write(message: T, done: () => void): boolean;
}

/** Writes control messages without waiting, and gives the peer up when too many are not taken: state is re-sent at the next session. */
export class ControlWriter<T> {
  readonly #sink: MessageSink<T>;
  #bytes = 0;
  #count = 0;

  constructor(sink: MessageSink<T>) {
    this.#sink = sink;
  }

  /** The error to close the session with, or undefined when the message was handed over. */
  write(message: T, bytes: number): WmbError | undefined {
    if (this.#bytes + bytes > PENDING_BYTES_MAX || this.#count >= PENDING_COUNT_MAX) {
      return new WmbError('PEER_UNREACHABLE', `the peer does not read: ${this.#count} control messages are waiting for it`);
    }
    this.#bytes += bytes;
    this.#count += 1;
    this.#sink.write(message, () => {
      this.#bytes -= bytes;
      this.#count -= 1;
    });
    return undefined;
  }
}

/** About how much memory a control message takes while it waits. */
export function controlBytes(message: Upward | Downward): number {
  if (message.type === 'ack') return 100 + 60 * message.exceptions.length;
  if (message.type === 'pulse') return 100 + 100 * message.ends.length;
  return 100;
}
