/**
 * Who may ask a checker: rooms of the topology, with the same topology epoch, that prove who they are as a link's hello does. There are no sessions between checkers: every call
 * carries a hello of its own, signed for that method, so that a recorded one opens neither a link nor another call. The verifier remembers 65,536 of them a minute,
 * which is a thousand calls a second for ever; a round takes some twenty, a repair of a hundred keys a second some four hundred.
 */
import type { PeerCertificate } from 'node:tls';
import type { Config, Topology } from '../core/config/types.ts';
import { WmbError } from '../core/errors.ts';
import type { Runtime } from '../core/runtime.ts';
import { roomEntry } from '../core/topology.ts';
import type { RoomId } from '../core/words.ts';
import { HelloVerifier, signHello } from '../link/identity.ts';
import { certificateNames, notNamed } from '../link/rpc/channel.ts';
import type { PeerHello } from '../proto/gen/wmb/v1/checker.ts';

/**
 * Version of what checkers ask each other (proto/wmb/v1/checker.proto, service Peer) and of what the answers mean: how digests and hashes are made is part of it.
 *
 * Protocol history: 1 — the first.
 */
export const CHECKER_PROTOCOL = 1;

export type PeerMethod =
  | 'getHorizon'
  | 'getNodes'
  | 'getEntries'
  | 'getStates'
  | 'digestReceipts'
  | 'getReceipts'
  | 'findWrites'
  | 'derive'
  | 'getCachePlaces'
  | 'listKeys';

export interface HelloOptions {
  readonly config: Config;
  readonly instance: string;
  readonly runtime: Runtime;
}

/** The hello of this room for one call of `method` to the checker of `to`. */
export function peerHello({ config, instance, runtime }: HelloOptions, to: RoomId, method: PeerMethod): PeerHello {
  const { topology, room } = config;
  const purpose = { name: purposeOf(method), protocol: CHECKER_PROTOCOL };
  return signHello({ from: room.id, to, topologyEpoch: topology.epoch, instance, purpose }, room.secret, runtime);
}

function purposeOf(method: PeerMethod): string {
  return `wmb-checker/${method}`;
}

export interface Caller {
  readonly hello: PeerHello | undefined;
  readonly method: PeerMethod;
  /** What the caller showed over TLS. */
  readonly certificate: PeerCertificate | undefined;
}

/** Checks the hellos of calls. */
export class PeerGate {
  readonly #topology: Topology;
  readonly #room: RoomId;
  readonly #certificates: boolean;
  readonly #verifier: HelloVerifier;

  constructor({ config, runtime }: { readonly config: Config; readonly runtime: Runtime }) {
    this.#topology = config.topology;
    this.#room = config.room.id;
    this.#certificates = config.room.tls !== undefined;
    this.#verifier = new HelloVerifier(config.room.secret, runtime);
  }

  /** The room that asks. PEER_GARBAGE, PROTOCOL_VERSION, ROOM_UNKNOWN, IDENTITY_REFUSED, TOPOLOGY_STALE. */
  admit({ hello, method, certificate }: Caller): RoomId {
    if (hello === undefined) throw new WmbError('PEER_GARBAGE', 'the call says not who asks: it has no hello');
    this.#checkProtocol(hello);
    this.#checkRooms(hello);
    if (this.#certificates && !certificateNames(certificate, hello.from)) throw notNamed(certificate, hello.from);
    // Before anything is told of this room's topology.
    this.#verifier.verify(hello, purposeOf(method));
    this.#checkEpoch(hello);
    return hello.from;
  }

  #checkProtocol({ protocol, from }: PeerHello): void {
    if (protocol === CHECKER_PROTOCOL) return;
    const older = protocol < CHECKER_PROTOCOL ? from : this.#room;
    throw new WmbError(
      'PROTOCOL_VERSION',
      `the checker of ${from} speaks protocol ${protocol}, the checker of ${this.#room} speaks ${CHECKER_PROTOCOL}: upgrade ${older}`,
    );
  }

  #checkRooms({ from, to }: PeerHello): void {
    if (to !== this.#room) throw new WmbError('ROOM_UNKNOWN', `this is the checker of ${this.#room}, not of ${to}: check the address book`);
    if (roomEntry(this.#topology, from) === undefined) {
      throw new WmbError('ROOM_UNKNOWN', `room ${from} is not in the topology of room ${this.#room} (epoch ${this.#topology.epoch})`);
    }
  }

  #checkEpoch({ from, topologyEpoch }: PeerHello): void {
    const { epoch } = this.#topology;
    if (topologyEpoch === epoch) return;
    const older = topologyEpoch < epoch ? from : this.#room;
    throw new WmbError(
      'TOPOLOGY_STALE',
      `room ${from} holds topology epoch ${topologyEpoch}, room ${this.#room} holds ${epoch}: ${older} is older`,
    );
  }
}
