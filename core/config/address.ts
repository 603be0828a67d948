/** Addresses of the address book: `host:port`, with an IPv6 host in brackets. */
import { z } from 'zod';

export interface Address {
  /** Lower case, without brackets. */
  readonly host: string;
  readonly port: number;
}

const ADDRESS = /^(?:\[([^\][]+)\]|([^\s:\][/]+)):(\d{1,5})$/;
const LABEL = /^[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?$/;
/** Like an IPv4 address: numbers and dots only. What looks like one must be one. */
const NUMERIC = /^[\d.]+$/;

const ipv4 = z.ipv4();
const ipv6 = z.ipv6();

/** The parts of `host:port`, or undefined where `text` is no address that can be dialled or listened on. */
export function parseAddress(text: string): Address | undefined {
  const match = ADDRESS.exec(text);
  if (match === null) return undefined;
  const [, bracketed, plain = '', digits] = match;
  const port = Number(digits);
  if (port < 1 || port > 65_535) return undefined;
  const host = (bracketed ?? plain).toLowerCase();
  if (bracketed !== undefined) return ipv6.safeParse(host).success ? { host, port } : undefined;
  return isHost(host) ? { host, port } : undefined;
}

function isHost(host: string): boolean {
  if (NUMERIC.test(host)) return ipv4.safeParse(host).success;
  return host.length <= 253 && host.split('.').every((label) => LABEL.test(label));
}

/** Whether only this machine can reach the host: 127.0.0.0/8, ::1 or localhost. */
export function isLoopback(host: string): boolean {
  return host === 'localhost' || host === '::1' || (NUMERIC.test(host) && host.startsWith('127.'));
}

/** Whether the host means every interface: fine to listen on, impossible to dial. */
export function isWildcard(host: string): boolean {
  return host === '0.0.0.0' || host === '::';
}

/** One spelling for each address, for comparison: `localhost` is 127.0.0.1. */
export function addressKey(address: Address): string {
  return `${address.host === 'localhost' ? '127.0.0.1' : address.host}:${address.port}`;
}

/** Whether two sockets of one machine could not both listen: the same port, and the same host or one that covers it. */
export function collide(one: Address, other: Address): boolean {
  if (one.port !== other.port) return false;
  return addressKey(one) === addressKey(other) || isWildcard(one.host) || isWildcard(other.host);
}
