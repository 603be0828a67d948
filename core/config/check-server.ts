/** What every mapping of a room's file must fulfil that names a server: passwords that are there, certificates with their keys, brokers that differ. */
import { addressKey, parseAddress } from './address.ts';
import type { RoomCheck } from './check-room.ts';
import type { Path } from './problem.ts';

interface Password {
  readonly env?: string | undefined;
}

/** `at` is the path of the password. Its value is never shown. */
export function checkPasswordSet({ env, report }: RoomCheck, at: Path, password: Password | undefined): void {
  const name = password?.env;
  if (name === undefined || (Object.hasOwn(env, name) && env[name] !== '')) return;
  report([...at, 'env'], `names ${name}, which is not set in the environment; allowed: a variable that holds the password`);
}

/** The mapping at `path` may have a `tls`. */
export function checkTlsPair({ has, report }: RoomCheck, path: Path): void {
  const [cert, key] = [has([...path, 'tls', 'certFile']), has([...path, 'tls', 'keyFile'])];
  if (cert === key) return;
  const message = 'is set without the other one; allowed: both certFile and keyFile, or neither';
  report([...path, 'tls', cert ? 'certFile' : 'keyFile'], message, 'key');
}

/** The mapping at `path` may have a `sasl`. */
export function checkSasl(check: RoomCheck, path: Path, sasl: { readonly password?: Password | undefined } | undefined): void {
  const at = [...path, 'sasl', 'password'];
  if (check.has([...path, 'sasl']) && !check.has(at))
    check.report(at, 'is missing; allowed: a mapping { env: NAME } that names an environment variable');
  checkPasswordSet(check, at, sasl?.password);
}

/** The mapping at `path` may have `brokers`. */
export function checkBrokers({ report }: RoomCheck, path: Path, brokers: readonly (string | undefined)[] | undefined): void {
  const seen = new Map<string, number>();
  for (const [index, text] of (brokers ?? []).entries()) {
    const address = text === undefined ? undefined : parseAddress(text);
    if (address === undefined) continue;
    const same = seen.get(addressKey(address));
    if (same !== undefined) report([...path, 'brokers', index], `is the same broker as brokers[${same}]; allowed: each broker once`);
    seen.set(addressKey(address), index);
  }
}
