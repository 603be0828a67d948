/**
 * How a dialling room proves that it holds the link secret: an HMAC-SHA-256 over what its hello claims, the moment and a random nonce.
 * A recorded hello is useless: after a minute it is too old, and until then its nonce is known (unless the serving process restarts within the
 * minute: see docs/links.md).
 *
 * An empty secret is for rooms on one machine (the configuration allows it on loopback only): then the proof is empty as well, and either
 * side refuses a proof where it has no secret, and no proof where it has one.
 */
import { createHmac, timingSafeEqual } from 'node:crypto';
import { WmbError } from '../core/errors.ts';
import type { Runtime } from '../core/runtime.ts';
import type { Share } from '../core/share.ts';
import type { RoomId } from '../core/words.ts';
import { type Hello, LINK_PROTOCOL } from './link.ts';

/** Most that the two rooms' wall clocks may differ. */
export const CLOCK_DIFFERENCE_MS_MAX = 60_000;
/** Accepted hellos that are remembered. A hello beyond it is refused rather than an older nonce forgotten. */
const NONCES_MAX = 65_536;
const NONCE_BYTES = 16;

/** What a hello is for. It proves nothing for another purpose, even to one that has not seen its nonce. */
export interface HelloPurpose {
  readonly name: string;
  readonly protocol: number;
}

const LINK: HelloPurpose = { name: 'wmb-link', protocol: LINK_PROTOCOL };

export interface HelloClaim {
  readonly from: RoomId;
  readonly to: RoomId;
  readonly topologyEpoch: number;
  readonly instance: string;
  readonly share?: Share | undefined;
  /** Default: to open a link. */
  readonly purpose?: HelloPurpose;
}

/** A hello for one dial (or for one call, as its purpose says), signed with the link secret. */
export function signHello({ purpose = LINK, ...claim }: HelloClaim, secret: string, runtime: Runtime): Hello {
  const unsigned = {
    protocol: purpose.protocol,
    ...claim,
    sentMs: Math.floor(runtime.nowMs()),
    nonce: Buffer.from(runtime.bytes(NONCE_BYTES)).toString('hex'),
  };
  return { ...unsigned, proof: proofOf(unsigned, { secret, purpose: purpose.name }) };
}

/** Checks hellos. Keeps the nonces of the accepted ones for as long as they could be replayed. */
export class HelloVerifier {
  readonly #secret: string;
  readonly #runtime: Runtime;
  /** Nonce to the time of its hello, in the order of arrival. */
  readonly #nonces = new Map<string, number>();

  constructor(secret: string, runtime: Runtime) {
    this.#secret = secret;
    this.#runtime = runtime;
  }

  /** Throws IDENTITY_REFUSED where the hello does not prove that its sender holds the secret. */
  verify(hello: Hello, purpose = LINK.name): void {
    if (this.#secret === '' || hello.proof === '') {
      if (this.#secret === hello.proof) return;
      throw refused(
        hello,
        this.#secret === '' ? 'it signed with a link secret, and this room has none' : 'it has no link secret, and this room has one',
      );
    }
    if (!equal(hello.proof, proofOf(hello, { secret: this.#secret, purpose })))
      throw refused(hello, 'its proof does not match: the link secrets differ');
    const differenceMs = hello.sentMs - this.#runtime.nowMs();
    if (!(Math.abs(differenceMs) <= CLOCK_DIFFERENCE_MS_MAX)) {
      throw refused(
        hello,
        `the clocks differ by ${Math.round(Math.abs(differenceMs) / 1000)} s, more than ${CLOCK_DIFFERENCE_MS_MAX / 1000} s`,
      );
    }
    this.#remember(hello);
  }

  #remember(hello: Hello): void {
    this.#forget();
    if (this.#nonces.has(hello.nonce)) throw refused(hello, 'its nonce was used before');
    if (this.#nonces.size >= NONCES_MAX) throw refused(hello, `${NONCES_MAX} hellos came within a minute`);
    this.#nonces.set(hello.nonce, hello.sentMs);
  }

  /** Forgets nonces whose hello is too old to be accepted again. Hellos arrive nearly in the order of their times, so the oldest come first. */
  #forget(): void {
    const oldestMs = this.#runtime.nowMs() - CLOCK_DIFFERENCE_MS_MAX;
    for (const [nonce, sentMs] of this.#nonces) {
      if (sentMs >= oldestMs) return;
      this.#nonces.delete(nonce);
    }
  }
}

interface Signing {
  readonly secret: string;
  readonly purpose: string;
}

function proofOf(hello: Omit<Hello, 'proof'>, { secret, purpose }: Signing): string {
  if (secret === '') return '';
  const claim = JSON.stringify([purpose, hello.protocol, hello.from, hello.to, hello.topologyEpoch, hello.sentMs, hello.nonce]);
  return createHmac('sha256', secret).update(claim).digest('hex');
}

/** Compares digests, not the texts, so that neither the time nor an exception tells anything about the expected proof. */
function equal(left: string, right: string): boolean {
  const digest = (text: string) => createHmac('sha256', 'compare').update(text).digest();
  return timingSafeEqual(digest(left), digest(right));
}

function refused(hello: Hello, why: string): WmbError {
  return new WmbError('IDENTITY_REFUSED', `room ${JSON.stringify(hello.from)} (${hello.instance}) is refused: ${why}`);
}
