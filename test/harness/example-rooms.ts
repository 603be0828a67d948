/** The rooms of a folder of examples/, as their files say; only where the daemons and the servers are differs, so that several can run at once. */
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { parse } from 'yaml';
import { freePorts, TcpProxy } from './proxy.ts';
import type { RunningRoom } from './rooms.ts';

const EXAMPLES = new URL('../../examples/', import.meta.url).pathname;
const TOPOLOGY = 'topology.yaml';
const ADDRESS = /127\.0\.0\.1:\d+/g;
/** Peers reach each other without proxies. */
const NOBODY = { host: '127.0.0.1', port: 1 };

export interface ExampleOptions {
  /** Name of the folder. */
  readonly name: string;
  /** The files are written here. */
  readonly directory: string;
  /** By the address in the files: where the server is. */
  readonly servers: Readonly<Record<string, string>>;
  readonly mode?: 'independent' | 'master-slave';
  /** Added to every room's file: YAML. */
  readonly more?: string;
}

interface Entry extends Pick<RunningRoom, 'id' | 'database' | 'reship' | 'collector' | 'checker'> {}

/** Writes the files, and starts nothing. */
export async function exampleRooms({ name, directory, servers, mode, more = '' }: ExampleOptions): Promise<RunningRoom[]> {
  const folder = join(EXAMPLES, name);
  const topology = await movedTopology(readFileSync(join(folder, TOPOLOGY), 'utf8'), mode);
  writeFileSync(join(directory, TOPOLOGY), topology);
  for (const file of readdirSync(folder).filter((each) => each.endsWith('.yaml') && each !== TOPOLOGY)) {
    const text = readFileSync(join(folder, file), 'utf8').replaceAll('../messages/', join(EXAMPLES, 'messages/'));
    writeFileSync(join(directory, file), text.replace(ADDRESS, (address) => given(servers[address], address)) + more);
  }
  const { rooms } = parse(topology) as { rooms: readonly Entry[] };
  return rooms.map((entry) => {
    const data = join(directory, 'data', entry.id);
    mkdirSync(data, { recursive: true });
    const unused = () => new TcpProxy(NOBODY);
    return { ...entry, directory: data, configFile: join(directory, `${entry.id}.yaml`), proxy: unused(), checkerProxy: unused() };
  });
}

async function movedTopology(text: string, mode: ExampleOptions['mode']): Promise<string> {
  const addresses = [...new Set(text.match(ADDRESS))];
  const ports = await freePorts(addresses.length);
  const moved = new Map(addresses.map((address, index) => [address, `127.0.0.1:${ports[index]}`]));
  const told = text.replace(ADDRESS, (address) => given(moved.get(address), address));
  return mode === undefined ? told : told.replace(/^mode: .*$/m, `mode: ${mode}`);
}

function given(place: string | undefined, address: string): string {
  if (place === undefined) throw new Error(`nobody said what stands for ${address}`);
  return place;
}
