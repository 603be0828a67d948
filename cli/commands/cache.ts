/** `wmb cache`: what a cache on Redis or Valkey needs before the daemons may use it, and what stands in it. */
import { type Command, Option } from 'commander';
import { WmbError } from '../../core/errors.ts';
import type { CacheKeyView, CacheNodeFootprint } from '../../store/administration.ts';
import { type ConfigOptions, type Context, configOf, configOption, type JsonOptions, jsonOption, wholeNumber } from '../context.ts';
import { formatTable } from '../table.ts';
import { cacheAdministration } from '../wiring.ts';

const KEYS_DEFAULT = 10_000;

export function addCacheCommands(program: Command, context: Context): void {
  const cache = program.command('cache').helpCommand(false).description('prepare caches on Redis or Valkey, and look into them');
  cache
    .command('init')
    .description('check the servers and their settings, load WMB’s functions, and mark them as this room’s')
    .addOption(new Option('--dry-run', 'check the servers, and change nothing'))
    .addOption(configOption())
    .addHelpText('after', '\nExample:\n  wmb cache init --config beijing.yaml')
    .action((options: ConfigOptions & { readonly dryRun?: boolean }) => init(context, options, options.dryRun === true));
  cache
    .command('inspect')
    .description('print what is stored of a key on its server, with the versions that WMB remembers of it')
    .argument('<key>', 'the cache key')
    .addOption(configOption())
    .addOption(jsonOption())
    .addHelpText('after', '\nExample:\n  wmb cache inspect unread:7')
    .action((key: string, options: ConfigOptions & JsonOptions) => inspect(context, key, options));
  cache
    .command('footprint')
    .description('print how many bytes keys take on each server, and what WMB remembers of them')
    .option('--keys <count>', 'how many keys to look at on each server, about', wholeNumber('--keys', 1), KEYS_DEFAULT)
    .addOption(configOption())
    .addOption(jsonOption())
    .addHelpText('after', '\nExample:\n  wmb cache footprint --keys 100000')
    .action((options: ConfigOptions & JsonOptions & { readonly keys: number }) => footprint(context, options));
}

async function init(context: Context, options: ConfigOptions, dryRun: boolean): Promise<void> {
  for await (const line of cacheAdministration(configOf(options), context.runtime).init(dryRun)) context.print(line);
  if (dryRun) context.note('This was a dry run: nothing was done.');
}

async function inspect(context: Context, key: string, options: ConfigOptions & JsonOptions): Promise<void> {
  if (key === '') throw new WmbError('USAGE', 'the key is empty; no cache key can be');
  const view = await cacheAdministration(configOf(options), context.runtime).inspect(key);
  context.print(options.json === true ? JSON.stringify(view) : viewText(view));
}

function viewText({ key, node, type, elements, expireAtMs, dataKey, headKey, head, versions, expiries }: CacheKeyView): string {
  const expires = expireAtMs === 0 ? 'never' : new Date(expireAtMs).toISOString();
  const rows = [
    ['node', node],
    ['value', type === 'none' ? `none under ${dataKey}` : `${type} of ${elements} under ${dataKey}`],
    ['expires', expires],
    ['head', `${head}, in ${headKey}`],
    ...versions.map(({ name, text }) => [name === '' ? 'value' : `· ${name}`, text]),
    ...expiries.map(({ version, atMs }) => ['expiry', `${atMs === 0 ? 'taken away' : new Date(atMs).toISOString()} by ${version}`]),
  ];
  return formatTable({ head: [key, ''], rows });
}

async function footprint(context: Context, options: ConfigOptions & JsonOptions & { readonly keys: number }): Promise<void> {
  const nodes = await cacheAdministration(configOf(options), context.runtime).footprint(options.keys);
  context.print(options.json === true ? JSON.stringify(nodes) : footprintText(nodes));
}

function footprintText(nodes: readonly CacheNodeFootprint[]): string {
  const rows = nodes.map(({ node, keys, isSampled, dataBytesPerKey, headBytesPerKey, elementBytesPerKey }) => [
    node,
    `${keys}${isSampled ? ' of more' : ''}`,
    `${dataBytesPerKey}`,
    `${headBytesPerKey}`,
    `${elementBytesPerKey}`,
  ]);
  return formatTable({ head: ['NODE', 'KEYS', 'VALUE B/KEY', 'HEAD B/KEY', 'ELEMENTS B/KEY'], rows, right: [1, 2, 3, 4] });
}
