/** Rules about one file by itself. */
import { isTestCode, type Node, type Problem, type Source, walk } from './source.ts';

const FILE_LINES_MAX = 399;
const FUNCTION_LINES_MAX = 60;

const FUNCTIONS = new Set([
  'FunctionDeclaration',
  'FunctionExpression',
  'ArrowFunctionExpression',
  'ClassMethod',
  'ClassPrivateMethod',
  'ObjectMethod',
]);

export function checkFile(source: Source): readonly Problem[] {
  return [...sizeProblems(source), ...syntaxProblems(source), ...hiddenInputProblems(source)];
}

/** Lines of every function with a block body; those that only hold tests are lists, not functions. */
export function functionSizes({ tree }: Source): readonly { readonly line: number; readonly lines: number }[] {
  return [...walk(tree)].flatMap((node) => {
    const body = node.body as Node | undefined;
    if (!FUNCTIONS.has(node.type) || body?.type !== 'BlockStatement' || holdsTests(body)) return [];
    return [{ line: node.loc.start.line, lines: node.loc.end.line - node.loc.start.line + 1 }];
  });
}

function holdsTests(body: Node): boolean {
  return [...walk(body)].some(
    (node) => node.type === 'CallExpression' && ['test', 'describe', 'it', 'check'].includes(nameOf(node.callee)),
  );
}

function sizeProblems(source: Source): Problem[] {
  const lines = source.text.trimEnd().split('\n').length;
  const tooLong = functionSizes(source).filter((sizes) => sizes.lines > FUNCTION_LINES_MAX);
  return [
    ...(lines > FILE_LINES_MAX ? [problem(source, 1, 'file-size', `${lines} lines; at most ${FILE_LINES_MAX}`)] : []),
    ...tooLong.map((sizes) => problem(source, sizes.line, 'function-size', `${sizes.lines} lines; at most ${FUNCTION_LINES_MAX}`)),
  ];
}

function syntaxProblems(source: Source): Problem[] {
  return [...walk(source.tree)].flatMap((node) => {
    const { line } = node.loc.start;
    if (node.type === 'TSAnyKeyword' && !isTestCode(source.path)) return [problem(source, line, 'no-any', 'any')];
    if (node.type === 'ExportDefaultDeclaration') return [problem(source, line, 'no-default-export', 'a default export; name it')];
    const reexports = node.type === 'ExportAllDeclaration' || (node.type === 'ExportNamedDeclaration' && node.source);
    return reexports ? [problem(source, line, 'no-barrel', 'exports what is another file’s; import it from there')] : [];
  });
}

/** Time, chance and environment come in through one door each, so that the simulator can hold the handle. */
const HIDDEN_INPUTS: readonly { readonly pattern: RegExp; readonly door: RegExp; readonly instead: string }[] = [
  { pattern: /^(Date\.now|new Date|performance\.\w+|process\.hrtime(\.\w+)?)$/, door: /^core\/runtime\.ts$/, instead: 'take a Runtime' },
  { pattern: /^(Math\.random|crypto\.\w+)$/, door: /^core\/runtime\.ts$/, instead: 'take a Runtime' },
  { pattern: /^(setTimeout|setInterval|setImmediate)$/, door: /^core\/runtime\.ts$/, instead: 'use Runtime.after or sleep' },
  { pattern: /^process\.env$/, door: /^core\/config\//, instead: 'let core/config read it' },
];

function hiddenInputProblems(source: Source): Problem[] {
  if (isTestCode(source.path)) return [];
  return [...walk(source.tree)].flatMap((node) => {
    const name = inputName(node);
    const input = HIDDEN_INPUTS.find(({ pattern }) => pattern.test(name));
    if (input === undefined || input.door.test(source.path)) return [];
    return [problem(source, node.loc.start.line, 'hidden-input', `${name}: ${input.instead}`)];
  });
}

/** What a node reads from its surroundings: `Date.now`, `setTimeout` or, for a date without arguments, `new Date`. */
function inputName(node: Node): string {
  if (node.type === 'MemberExpression') return `${nameOf(node.object)}.${nameOf(node.property)}`;
  if (node.type === 'NewExpression' && nameOf(node.callee) === 'Date') return (node.arguments as unknown[]).length === 0 ? 'new Date' : '';
  if (node.type === 'CallExpression') return nameOf(node.callee);
  if (node.type === 'ImportSpecifier') return nameOf(node.imported);
  return '';
}

function nameOf(node: unknown): string {
  const { type, name } = node as { type?: string; name?: unknown };
  return type === 'Identifier' && typeof name === 'string' ? name : '';
}

function problem({ path }: Source, line: number, rule: string, text: string): Problem {
  return { path, line, rule, text };
}
