/** What a command takes from the environment, apart from the secrets that a room's file names. */
import type { Environment } from './check-room.ts';

/** The room's file of commands that were not given `--config`: WMB_CONFIG; undefined where it is not set or empty. */
export function defaultConfigFile(env: Environment = process.env): string | undefined {
  return env.WMB_CONFIG || undefined;
}
