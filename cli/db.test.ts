import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { parse, stringify } from 'yaml';
import { ERRORS } from '../core/errors.ts';
import { wmb } from './testing.ts';

const example = (name: string) => new URL(`../examples/${name}.yaml`, import.meta.url).pathname;
const SLAVE = example('mysql-rooms/guangzhou');
const env = { WMB_DB_PASSWORD: 'secret', WMB_REPLICA_PASSWORD: 'secret' };

const directory = mkdtempSync(join(tmpdir(), 'wmb-db-'));
after(() => rmSync(directory, { recursive: true }));
const alone = join(directory, 'guangzhou.yaml');
const { database, ...others } = parse(readFileSync(SLAVE, 'utf8'));
const processors = { message: { module: join(SLAVE, '../../messages/processor.ts') } };
const topology = join(SLAVE, '../topology.yaml');
writeFileSync(alone, stringify({ ...others, topology, processors, database: { ...database, replication: undefined } }));

const REFUSALS = [
  ['the master room', example('mysql-rooms/beijing'), [], 'USAGE', /room beijing has no slave database/],
  ['a room without a database', example('cache-only-room/cloud'), [], 'USAGE', /room cloud has no slave database/],
  ['an embedded database', example('two-rooms/guangzhou'), [], 'NOT_FOUND', /room guangzhou has no database on a server/],
  ['a room file that names no master’s server', alone, [], 'CONFIG_INVALID', /has no database\.replication: it names the master’s server/],
  ['a user without a password', SLAVE, ['--user', 'root'], 'USAGE', /--user and --password-env go together/],
  [
    'a password that is not there',
    SLAVE,
    ['--user', 'root', '--password-env', 'WMB_NOWHERE'],
    'USAGE',
    /names WMB_NOWHERE, which is not set/,
  ],
  ['what contradicts itself', SLAVE, ['--dry-run'], 'USAGE', /'--(apply|dry-run)' cannot be used with option '--(apply|dry-run)'/],
] as const;

for (const [what, config, more, code, message] of REFUSALS) {
  test(`wmb db replicate asks no server where it cannot know what to do: ${what}`, async () => {
    const ended = await wmb(['db', 'replicate', '--apply', '--config', config, ...more], { env });
    assert.deepEqual([ended.code, ended.stdout], [ERRORS[code].exit, ''], ended.stderr);
    assert.match(ended.stderr, new RegExp(`^wmb: ${code}: `));
    assert.match(ended.stderr, message);
  });
}
