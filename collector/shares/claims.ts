/**
 * Who has which share of the room, by what the room's collectors say in one order that all hear (docs/adr/0015). A claim names what its writer believed of the owner: the last word that it has heard
 * of it. It holds if that was still so where the claim stands. So all who hear it agree, and an owner that has said something since keeps its share.
 */
import { decodeWord, encodeWord } from '../../log/talk.ts';
import type { Fellow, Registered, ShareNews } from '../receipts/share-registry.ts';

const FORMAT = 1;

/** All that counts now of the one that says it. */
export interface SharesSaid extends Fellow {
  /** Counts what it has said. */
  readonly turn: number;
  /** It has heard what was said up to here. */
  readonly heardTo: number;
  /** It is one of those among whom the shares are divided. */
  readonly counts: boolean;
  readonly holds: readonly Hold[];
  readonly news: readonly ShareNews[];
  readonly claims?: Claim | undefined;
  readonly leaves?: boolean | undefined;
}

interface Hold {
  readonly share: number;
  /** Where the claim stands by which it is held. */
  readonly claim: number;
}

export interface Claim {
  readonly share: number;
  /** Of the owner that was not heard of for so long, and where its last word stands; undefined: nobody has it. */
  readonly from: { readonly name: string; readonly at: number } | undefined;
}

interface Member extends Fellow {
  readonly counts: boolean;
  readonly turn: number;
  readonly at: number;
  readonly heardMs: number;
}

export function encodeShares(said: SharesSaid): Uint8Array {
  return encodeWord(FORMAT, said);
}

/** As {@link decodeWord}. */
export function decodeShares(value: Uint8Array): SharesSaid | undefined {
  return decodeWord<SharesSaid>(FORMAT, value, 'collector');
}

export class Claims {
  readonly #members = new Map<string, Member>();
  readonly #owners = new Map<number, { readonly name: string; readonly claim: number }>();
  readonly #news = new Map<number, ShareNews & { readonly owner: string }>();

  take(at: number, said: SharesSaid, nowMs: number): void {
    const { name, address, counts, turn, claims } = said;
    this.#restate(said);
    if (claims !== undefined && this.#holds(claims, name)) this.#owners.set(claims.share, { name, claim: at });
    for (const [share, { owner }] of this.#news) if (owner === name) this.#news.delete(share);
    if (said.leaves === true) return void this.#members.delete(name);
    this.#members.set(name, { name, address, counts, turn, at, heardMs: nowMs });
    for (const news of said.news) if (this.#owners.get(news.share)?.name === name) this.#news.set(news.share, { ...news, owner: name });
  }

  /** What it has had for long enough to know of it and does not hold any more is nobody's. What it holds may stand in a claim that is forgotten by now: of two the later one counts. */
  #restate({ name, holds, heardTo, leaves }: SharesSaid): void {
    for (const { share, claim } of holds) if (claim > (this.#owners.get(share)?.claim ?? -1)) this.#owners.set(share, { name, claim });
    for (const [share, owner] of this.#owners) {
      const isHeld = holds.some((hold) => hold.share === share);
      if (owner.name === name && (leaves === true || (!isHeld && owner.claim <= heardTo))) this.#owners.delete(share);
    }
  }

  #holds({ share, from }: Claim, name: string): boolean {
    const owner = this.#owners.get(share);
    if (owner === undefined || owner.name === name) return true;
    return from?.name === owner.name && (this.#members.get(owner.name)?.at ?? -1) <= from.at;
  }

  /** What to claim a share with; undefined: its owner was heard of within `silenceMs`. */
  claim(share: number, nowMs: number, silenceMs: number): Claim | undefined {
    const owner = this.#owners.get(share);
    if (owner === undefined) return { share, from: undefined };
    const member = this.#members.get(owner.name);
    if (member === undefined) return { share, from: { name: owner.name, at: owner.claim } };
    if (nowMs - member.heardMs <= silenceMs) return undefined;
    return { share, from: { name: owner.name, at: member.at } };
  }

  ownerOf(share: number): string | undefined {
    return this.#owners.get(share)?.name;
  }

  heldBy(name: string): readonly Hold[] {
    return [...this.#owners].flatMap(([share, owner]) => (owner.name === name ? [{ share, claim: owner.claim }] : []));
  }

  /** How much of what it has said was heard. */
  turnOf(name: string): number {
    return this.#members.get(name)?.turn ?? -1;
  }

  /** By those that were heard of within `silenceMs`. */
  registered(nowMs: number, silenceMs: number): Registered {
    const there = [...this.#members.values()].filter(({ heardMs }) => nowMs - heardMs <= silenceMs);
    const names = new Set(there.map(({ name }) => name));
    return {
      collectors: there
        .filter(({ name, counts }) => counts || this.heldBy(name).length > 0)
        .map(({ name, address }) => ({ name, address }))
        .sort((a, b) => (a.name < b.name ? -1 : 1)),
      shares: new Map([...this.#news].filter(([, { owner }]) => names.has(owner))),
    };
  }
}
