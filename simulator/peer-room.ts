/** A peer room as a simulated checker sees it: through that room's checker, over the simulated network, with a hello for every call that is looked at there. */
import { type HelloOptions, type PeerMethod, peerHello } from '../consistency-checker/peer-hello.ts';
import type { CopySide, RoomView } from '../consistency-checker/room.ts';
import { WmbError } from '../core/errors.ts';
import type { RoomId } from '../core/words.ts';
import type { Fate } from '../link/memory/network.ts';
import { call } from './calls.ts';
import type { Life } from './life.ts';
import type { Room } from './room.ts';

export interface PeerRoomOptions {
  readonly hello: HelloOptions;
  readonly to: Room;
  readonly life: Life;
  readonly fate: (from: RoomId, to: RoomId, what: string) => Fate;
}

export class PeerRoom implements RoomView, CopySide {
  readonly room: RoomId;
  readonly #options: PeerRoomOptions;

  constructor(options: PeerRoomOptions) {
    this.room = options.to.id;
    this.#options = options;
  }

  horizon(): ReturnType<RoomView['horizon']> {
    return this.#ask('getHorizon', (view) => view.horizon());
  }

  nodes(query: Parameters<RoomView['nodes']>[0]): ReturnType<RoomView['nodes']> {
    return this.#ask('getNodes', (view) => view.nodes(query));
  }

  entries(buckets: readonly number[], urgent = false): ReturnType<RoomView['entries']> {
    return this.#ask('getEntries', (view) => view.entries(buckets, urgent));
  }

  states(keys: readonly string[]): ReturnType<RoomView['states']> {
    return this.#ask('getStates', (view) => view.states(keys));
  }

  receiptDigests(ranges: Parameters<RoomView['receiptDigests']>[0]): ReturnType<RoomView['receiptDigests']> {
    return this.#ask('digestReceipts', (view) => view.receiptDigests(ranges));
  }

  receipts(range: Parameters<RoomView['receipts']>[0]): ReturnType<RoomView['receipts']> {
    return this.#ask('getReceipts', (view) => view.receipts(range));
  }

  findWrites(query: Parameters<RoomView['findWrites']>[0]): ReturnType<RoomView['findWrites']> {
    return this.#ask('findWrites', (view) => view.findWrites(query));
  }

  derive(writes: Parameters<RoomView['derive']>[0]): ReturnType<RoomView['derive']> {
    return this.#ask('derive', (view) => view.derive(writes));
  }

  cachePlaces(): ReturnType<CopySide['cachePlaces']> {
    return this.#ask('getCachePlaces', (view) => view.cachePlaces());
  }

  keys(buckets: readonly number[]): ReturnType<CopySide['keys']> {
    return this.#ask('listKeys', (view) => view.keys(buckets));
  }

  #ask<T>(method: PeerMethod, work: (view: RoomView & CopySide) => Promise<T>): Promise<T> {
    const { hello: options, to, life, fate } = this.#options;
    const from = options.config.room.id;
    const hello = peerHello(options, to.id, method);
    return call({
      caller: life,
      callee: () => (to.checker === undefined ? undefined : to.lives.get('checker')),
      who: `checker of ${to.id}`,
      silence: 'PEER_UNREACHABLE',
      fate: (way) => (way === 'there' ? fate(from, to.id, method) : fate(to.id, from, `the answer to ${method}`)),
      work: () => {
        if (to.checker === undefined) throw new WmbError('PEER_UNREACHABLE', 'it has just ended');
        to.checker.gate.admit({ hello, method, certificate: undefined });
        return work(to.checker.view);
      },
    });
  }
}
