/** Rules about who imports whom. The table itself stands in ARCHITECTURE.md. */
import { type Import, importsOf, isTestCode, type Problem, type Source } from './source.ts';

/** By folder or file: what it may import, as folders or files. */
export type ImportTable = ReadonlyMap<string, readonly string[]>;

const TABLE = /<!-- import-table -->([\s\S]*?)<!-- \/import-table -->/;

export function readImportTable(markdown: string): ImportTable {
  const rows =
    TABLE.exec(markdown)?.[1]
      ?.split('\n')
      .filter((line) => line.startsWith('| `')) ?? [];
  return new Map(
    rows.map((row) => {
      const [who = [], allowed = []] = row
        .split('|')
        .slice(1, 3)
        .map((cell) => [...cell.matchAll(/`([^`]+)`/g)].map((match) => match[1] ?? ''));
      return [who[0] ?? '', allowed] as const;
    }),
  );
}

/** Concrete adapters: only wiring.ts says which of them there is. */
const ADAPTERS = [
  'log/embedded',
  'log/kafka',
  'log/memory',
  'store/embedded',
  'store/mysql',
  'link/mq',
  'link/rpc',
  'link/memory',
  'collector/receipts/embedded.ts',
  'consistency-checker/report/embedded-book.ts',
];

/** Client libraries, and where their adapters are. */
const LIBRARIES: readonly { readonly name: RegExp; readonly home: RegExp }[] = [
  {
    name: /^node:sqlite$/,
    home: /^(store\/embedded|log\/embedded|log\/kafka)\/|^collector\/(receipts|receive)\/|^consistency-checker\/report\/embedded-book\.ts$/,
  },
  { name: /^node:worker_threads$/, home: /^log\/embedded\// },
  {
    name: /^@grpc\//,
    home: /^(link\/rpc|cli|daemon)\/|^reship\/(admin|intake\/grpc[^/]*)\.ts$|^(collector|consistency-checker)\/(.*\/)?[^/]*grpc[^/]*\.ts$|^test\//,
  },
  { name: /^fastify$/, home: /^daemon\/ops-http\.ts$|^(reship|collector|consistency-checker)\/(.*\/)?[^/]*http[^/]*\.ts$/ },
  { name: /^pino$/, home: /^daemon\/logger\.ts$/ },
  { name: /^@prometheus-io\/client$/, home: /^daemon\/metrics\.ts$/ },
  { name: /^(yaml|zod)$/, home: /^core\/config\// },
  { name: /^commander$/, home: /^cli\// },
  { name: /^(ioredis|mysql2|@vlasky\/zongji)$/, home: /^store\/(redis|mysql)\// },
  { name: /^kafkajs(\/|$)/, home: /^kafka\/library\.ts$/ },
];

export function checkImports(sources: readonly Source[], table: ImportTable): readonly Problem[] {
  return sources.flatMap((source) => {
    if (isTestCode(source.path)) return [];
    return importsOf(source).flatMap((imported) => {
      const text = imported.internal ? internalProblem(source.path, imported, table) : libraryProblem(source.path, imported.target);
      return text === undefined ? [] : [{ path: source.path, line: imported.line, rule: 'imports', text }];
    });
  });
}

function internalProblem(path: string, { target }: Import, table: ImportTable): string | undefined {
  const row = rowOf(path, table);
  if (row === undefined) return `no row of the import table in ARCHITECTURE.md covers ${path}`;
  if (isTestCode(target) && !row.allowed.some((allowed) => isWithin(target, allowed))) return `${target} is test code`;
  const home = folderOf(path);
  if (folderOf(target) !== home && !row.allowed.some((allowed) => isWithin(target, allowed))) return `${row.who} may not import ${target}`;
  return adapterProblem(path, target, row.allowed);
}

function adapterProblem(path: string, target: string, allowed: readonly string[]): string | undefined {
  const adapter = ADAPTERS.find((folder) => isWithin(target, folder));
  if (adapter === undefined || isWithin(path, folderAbove(adapter)) || path.endsWith('/wiring.ts') || allowed.includes(target))
    return undefined;
  return `${target} is an adapter; only wiring.ts may import it`;
}

function libraryProblem(path: string, target: string): string | undefined {
  const library = LIBRARIES.find(({ name }) => name.test(target));
  return library === undefined || library.home.test(path) ? undefined : `${target} belongs in its adapter`;
}

/** The row of the file itself, or of the nearest folder above it. */
function rowOf(path: string, table: ImportTable): { who: string; allowed: readonly string[] } | undefined {
  for (let who = path; who !== ''; who = who.slice(0, Math.max(0, who.lastIndexOf('/')))) {
    const allowed = table.get(who);
    if (allowed !== undefined) return { who, allowed };
  }
  return undefined;
}

function isWithin(path: string, folderOrFile: string): boolean {
  return path === folderOrFile || path.startsWith(`${folderOrFile}/`);
}

/** An adapter of one file has its helpers beside it. */
function folderAbove(adapter: string): string {
  return adapter.endsWith('.ts') ? adapter.slice(0, adapter.lastIndexOf('/')) : adapter;
}

function folderOf(path: string): string {
  return path.slice(0, path.indexOf('/'));
}

/** Files that import each other in a circle, each circle once. */
export function checkCycles(sources: readonly Source[]): readonly Problem[] {
  const graph = new Map(
    sources.map((source) => [
      source.path,
      importsOf(source)
        .filter(({ internal }) => internal)
        .map(({ target }) => target),
    ]),
  );
  const state = new Map<string, 'open' | 'done'>();
  const problems: Problem[] = [];
  const visit = (path: string, trail: readonly string[]): void => {
    if (state.get(path) === 'open') {
      const circle = [...trail.slice(trail.indexOf(path)), path];
      problems.push({ path, line: 1, rule: 'no-cycle', text: circle.join(' → ') });
    }
    if (state.has(path)) return;
    state.set(path, 'open');
    for (const target of graph.get(path) ?? []) visit(target, [...trail, path]);
    state.set(path, 'done');
  };
  for (const path of graph.keys()) visit(path, []);
  return problems;
}
