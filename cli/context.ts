/** What a command has to do with the world around it, and the options that most commands share. */
import { Option } from 'commander';
import { defaultConfigFile } from '../core/config/environment.ts';
import { loadConfig } from '../core/config/load.ts';
import type { Config } from '../core/config/types.ts';
import { WmbError } from '../core/errors.ts';
import type { Runtime } from '../core/runtime.ts';
import { roomEntry } from '../core/topology.ts';
import type { RoomId } from '../core/words.ts';

export interface Context {
  readonly runtime: Runtime;
  /** Writes one line (or several) to stdout. */
  print(text: string): void;
  /** Writes one line to stderr: for people, never part of the result. */
  note(text: string): void;
  readonly stdoutIsTTY: boolean;
  /** Width of the terminal; infinite where stdout is none: what is piped has a row on a line, whole. */
  readonly columns: number;
  readonly stderrIsTTY: boolean;
  /** Aborts on the first Ctrl-C or SIGTERM; asking for it takes the signals over. A second Ctrl-C ends the process. */
  interrupted(): AbortSignal;
}

/** Width of a page of text where there is no terminal whose width it could have. */
export const COLUMNS_PAGE = 80;

export function pageColumns({ columns }: Context): number {
  return Number.isFinite(columns) ? columns : COLUMNS_PAGE;
}

export interface ConfigOptions {
  readonly config?: string;
}

export interface JsonOptions {
  readonly json?: boolean;
}

export function configOption(): Option {
  return new Option('-c, --config <file>', 'the room’s file (default: $WMB_CONFIG)');
}

export function jsonOption(): Option {
  return new Option('--json', 'print the result as JSON');
}

/** The configuration of `--config`, or of WMB_CONFIG. */
export function configOf(options: ConfigOptions): Config {
  return loadConfig(configFileOf(options));
}

export function configFileOf({ config = defaultConfigFile() }: ConfigOptions): string {
  if (config === undefined) throw new WmbError('USAGE', 'no configuration: give --config FILE or set WMB_CONFIG');
  return config;
}

/** The rooms named by `all` or `a,b`; ROOM_UNKNOWN with the rooms that there are. */
export function roomsOf(config: Config, names: string): readonly RoomId[] {
  const known = config.topology.rooms.map((room) => room.id);
  if (names === 'all') return known;
  const rooms = names.split(',').map((name) => name.trim());
  for (const room of rooms) {
    if (roomEntry(config.topology, room) !== undefined) continue;
    throw new WmbError('ROOM_UNKNOWN', `there is no room “${room}”; the topology has ${known.join(', ')}`);
  }
  return rooms;
}

/** The one room that was named, or the configuration’s own. */
export function roomOf(config: Config, name: string | undefined): RoomId {
  return roomsOf(config, name ?? config.room.id)[0] ?? config.room.id;
}

/** A whole number of an option; USAGE with the option named. */
export function wholeNumber(option: string, least: number): (text: string) => number {
  return (text) => {
    const value = Number(text);
    if (!/^\d{1,9}$/.test(text) || value < least)
      throw new WmbError('USAGE', `${option} must be a whole number of at least ${least}, not “${text}”`);
    return value;
  };
}
