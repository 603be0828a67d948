/** What a command takes from the environment, apart from the secrets that a room's file names. */
import { hostname, userInfo } from 'node:os';
import type { Environment } from './check-room.ts';

/** The room's file of commands that were not given `--config`: WMB_CONFIG; undefined where it is not set or empty. */
export function defaultConfigFile(env: Environment = process.env): string | undefined {
  return env.WMB_CONFIG || undefined;
}

/** Who gives a command, for the audit: `li@host7`. */
export function operatorName(env: Environment = process.env): string {
  return `${userName() ?? (env.USER || 'unknown')}@${hostname()}`;
}

/** Undefined where the system knows no name for the user id, as in some containers. */
function userName(): string | undefined {
  try {
    return userInfo().username;
  } catch {
    return undefined;
  }
}

/** What a variable holds that a command was told of by name, so that a secret stands on no command line. */
export function environmentValue(name: string, env: Environment = process.env): string | undefined {
  return Object.hasOwn(env, name) ? env[name] : undefined;
}
