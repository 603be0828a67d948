/** What listening on an address can meet, told the same way by HTTP and gRPC. */
import { hostname } from 'node:os';
import { isWildcard } from '../core/config/address.ts';
import { WmbError } from '../core/errors.ts';

export interface Endpoint {
  readonly host: string;
  readonly port: number;
}

/** The parts of `host:port`; an IPv6 host stands in brackets. */
export function parseAddress(address: string): Endpoint {
  const colon = address.lastIndexOf(':');
  const host = address.slice(0, colon).replace(/^\[|\]$/g, '');
  const digits = address.slice(colon + 1);
  const port = Number(digits);
  if (colon < 1 || !/^\d{1,5}$/.test(digits) || port > 65_535) {
    throw new WmbError('CONFIG_INVALID', `"${address}" is not an address; write host:port`);
  }
  return { host, port };
}

export function formatAddress({ host, port }: Endpoint): string {
  return host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`;
}

/** The WmbError for a failure to listen; `cause` is a system error, or grpc-js' text that quotes one. */
export function listenError(cause: unknown, service: string, address: string): WmbError {
  const text = cause instanceof Error ? `${(cause as NodeJS.ErrnoException).code ?? ''} ${cause.message}` : String(cause);
  const reason = REASONS.find(([code]) => text.includes(code))?.[1] ?? `cannot be listened on (${text.trim()})`;
  return new WmbError('PORT_IN_USE', `${service}: the address ${address} ${reason}`, { cause });
}

const REASONS: readonly (readonly [code: string, reason: string])[] = [
  ['EADDRINUSE', 'is used by another program'],
  ['EACCES', 'may not be listened on by this user (EACCES)'],
  ['EADDRNOTAVAIL', 'is not an address of this machine (EADDRNOTAVAIL)'],
  ['ENOTFOUND', 'names a host that cannot be resolved (ENOTFOUND)'],
];

/** Where others of the room reach what listens there. */
export function publishedAddress(listens: string): string {
  const { host, port } = parseAddress(listens);
  return isWildcard(host) ? formatAddress({ host: hostname(), port }) : listens;
}
