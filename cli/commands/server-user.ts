/** As whom a command works on a server. */
import { type Command, Option } from 'commander';
import { environmentValue } from '../../core/config/environment.ts';
import { WmbError } from '../../core/errors.ts';
import type { ServerUser } from '../wiring.ts';

export interface UserOptions {
  readonly user?: string;
  readonly passwordEnv?: string;
}

/** Making tables or topics and setting up replication take privileges that the daemons should not have. */
export function withUser(command: Command): Command {
  return command
    .addOption(new Option('--user <name>', 'user on the server who may do this (default: the room’s own)'))
    .addOption(new Option('--password-env <name>', 'environment variable that holds that user’s password'));
}

/** USAGE where one of the two options is missing, or the variable is. */
export function userOf({ user, passwordEnv }: UserOptions): ServerUser | undefined {
  if (user === undefined && passwordEnv === undefined) return undefined;
  if (user === undefined || passwordEnv === undefined) throw new WmbError('USAGE', '--user and --password-env go together');
  const password = environmentValue(passwordEnv);
  if (password === undefined) throw new WmbError('USAGE', `--password-env names ${passwordEnv}, which is not set in the environment`);
  return { user, password };
}
