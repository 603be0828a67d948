/** The sources of the repository, parsed once: what the rules of tidy look at. */
import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join, normalize } from 'node:path';
import { type ParserOptions, parse } from '@babel/parser';

/** A node of the syntax tree, as the rules see it. */
export interface Node {
  readonly type: string;
  readonly loc: { readonly start: { readonly line: number }; readonly end: { readonly line: number } };
  readonly [field: string]: unknown;
}

export interface Source {
  /** Relative to the repository, with forward slashes. */
  readonly path: string;
  readonly text: string;
  readonly tree: Node;
}

export interface Import {
  /** A path of the repository, or the name of a package. */
  readonly target: string;
  readonly internal: boolean;
  readonly line: number;
}

export interface Problem {
  readonly path: string;
  readonly line: number;
  readonly rule: string;
  readonly text: string;
}

const IGNORED = new Set(['node_modules', 'dist', '.git', 'data', '.wmb', 'proto/gen']);
const OPTIONS: ParserOptions = { sourceType: 'module', plugins: ['typescript'] };

export function parseSource(path: string, text: string): Source {
  return { path, text, tree: parse(text, OPTIONS).program as unknown as Node };
}

/** All TypeScript files of the repository but the generated ones. */
export function readSources(root: string): readonly Source[] {
  return list(root, '').map((path) => parseSource(path, readFileSync(join(root, path), 'utf8')));
}

function list(root: string, folder: string): string[] {
  return readdirSync(join(root, folder), { withFileTypes: true }).flatMap((entry) => {
    const path = folder === '' ? entry.name : `${folder}/${entry.name}`;
    if (IGNORED.has(path) || IGNORED.has(entry.name)) return [];
    if (entry.isDirectory()) return list(root, path);
    return entry.name.endsWith('.ts') ? [path] : [];
  });
}

/** Every node of the tree, parents first. */
export function* walk(node: Node): Generator<Node> {
  yield node;
  for (const value of Object.values(node)) {
    for (const child of Array.isArray(value) ? value : [value]) {
      if (isNode(child)) yield* walk(child);
    }
  }
}

function isNode(value: unknown): value is Node {
  return typeof value === 'object' && value !== null && typeof (value as Node).type === 'string' && 'loc' in value;
}

/** Everything that a file imports or exports from elsewhere, types included. */
export function importsOf({ path, tree }: Source): readonly Import[] {
  return [...walk(tree)].flatMap((node) => {
    const target = targetOf(node);
    if (target === undefined) return [];
    const internal = target.startsWith('.');
    return [{ target: internal ? normalize(join(dirname(path), target)) : target, internal, line: node.loc.start.line }];
  });
}

function targetOf(node: Node): string | undefined {
  const source = node.type === 'TSImportType' ? node.argument : node.source;
  if (!/^(Import|Export|TSImport)/.test(node.type) || !isNode(source)) return undefined;
  const literal = isNode(source.literal) ? source.literal : source;
  return typeof literal.value === 'string' ? literal.value : undefined;
}

/** Not part of what runs in a daemon or a command: tests, what they share, and the tools of the repository. */
export function isTestCode(path: string): boolean {
  return TEST_FILE.test(path) || TEST_FOLDER.test(path);
}

const TEST_FILE = /(\.(test|testing|contract|bench|child|fixture)|(^|\/)(fixture-[^/]+|[^/]+-kit|testing|fakes|sample))\.ts$/;
const TEST_FOLDER = /^(test|bench|tools|examples\/[^/]+\/demo)\/|\/fixtures\//;
