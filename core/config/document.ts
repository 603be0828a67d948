/**
 * One YAML document with the places of its values, so that every problem can be named with line and column. A document with
 * syntax errors has no value: what its keys mean would be a guess.
 */
import { type Document, isAlias, isMap, isScalar, isSeq, LineCounter, type Node, type Pair, parseDocument, type YAMLError } from 'yaml';
import { type ConfigProblem, formatPath, type Path } from './problem.ts';

/** Where a problem points: at the value, or at the key that leads to it. */
export type Spot = 'value' | 'key';
/** Says that the value at `path` is wrong; `message` says what it is and what is allowed. */
export type Report = (path: Path, message: string, spot?: Spot) => void;

export interface ConfigDocument {
  readonly file: string;
  /** As plain data; undefined where the text is no YAML. */
  readonly value: unknown;
  /** Whether the document says something at this path, right or wrong. */
  readonly has: (path: Path) => boolean;
  readonly report: Report;
  /** Says that the value at `path` names a file that cannot be read. */
  readonly reportUnreadable: (path: Path, message: string) => void;
  /** Grows with every report. */
  readonly problems: readonly ConfigProblem[];
}

/** Parses the text of `file`. Never throws: syntax errors and keys given twice are among the problems. */
export function parseConfigDocument(file: string, text: string): ConfigDocument {
  const problems: ConfigProblem[] = [];
  const lines = new LineCounter();
  const add = (offset: number, path: Path, message: string, code: ConfigProblem['code'] = 'CONFIG_INVALID') => {
    const { line, col } = lines.linePos(offset);
    problems.push({ code, file, line: Math.max(1, line), column: Math.max(1, col), path: formatPath(path), message });
  };
  let document: Document.Parsed | undefined;
  const has = (path: Path) => document?.hasIn(path) ?? false;
  const report: Report = (path, message, spot = 'value') => add(offsetOf(document, path, spot), path, message);
  const reportUnreadable = (path: Path, message: string) => add(offsetOf(document, path, 'value'), path, message, 'CONFIG_UNREADABLE');
  const base = { file, has, report, reportUnreadable, problems };
  try {
    document = parseDocument(text, { lineCounter: lines, uniqueKeys: false, prettyErrors: false });
    for (const error of [...document.errors, ...document.warnings]) add(error.pos[0], [], syntaxMessage(error));
    if (problems.length > 0) return { ...base, value: undefined };
    reportTwice(document.contents, [], report, add);
    return { ...base, value: document.toJS() };
  } catch (cause) {
    // Unresolvable or too many aliases, or nesting deeper than the parser's stack.
    add(0, [], `cannot be read as YAML: ${cause instanceof Error ? cause.message : String(cause)}`);
    return { ...base, value: undefined };
  }
}

function syntaxMessage(error: YAMLError): string {
  if (error.code === 'MULTIPLE_DOCS') return 'holds more than one document; allowed: one, without a line of ---';
  if (error.code === 'TAB_AS_INDENT') return 'is indented with a tab; allowed: spaces';
  if (error.code === 'TAG_RESOLVE_FAILED') return `has a tag that means nothing here (${error.message}); allowed: plain values`;
  return `is not YAML: ${error.message}`;
}

/** A key given twice hides the first value; the parser's own check knows no paths. */
function reportTwice(node: unknown, path: Path, report: Report, add: (offset: number, path: Path, message: string) => void): void {
  if (isSeq(node))
    node.items.forEach((item, index) => {
      reportTwice(item, [...path, index], report, add);
    });
  if (!isMap(node)) return;
  const seen = new Set<string>();
  for (const pair of node.items) {
    const key = keyText(pair);
    const at = [...path, key];
    if (seen.has(key)) add(startOf(pair.key) ?? 0, at, 'is given twice; allowed: once');
    seen.add(key);
    reportTwice(pair.value, at, report, add);
  }
}

function keyText(pair: Pair): string {
  return isScalar(pair.key) ? String(pair.key.value ?? '') : String(pair.key);
}

/** Offset of what is at `path`, or of the nearest thing above it that the document has. */
function offsetOf(document: Document.Parsed | undefined, path: Path, spot: Spot): number {
  let node: unknown = document?.contents;
  let offset = startOf(node) ?? 0;
  for (const [depth, step] of path.entries()) {
    if (document !== undefined && isAlias(node)) node = node.resolve(document);
    const [key, value] = child(node, step);
    if (key === undefined && value === undefined) return offset;
    node = value;
    const atKey = spot === 'key' && depth === path.length - 1;
    offset = (atKey || isEmpty(value) ? startOf(key) : undefined) ?? startOf(value) ?? offset;
  }
  return offset;
}

function child(node: unknown, step: string | number): readonly [key: unknown, value: unknown] {
  if (isSeq(node) && typeof step === 'number') return [undefined, node.items[step]];
  if (!isMap(node)) return [undefined, undefined];
  const pair = node.items.findLast((item) => keyText(item) === String(step));
  return [pair?.key, pair?.value];
}

function isEmpty(node: unknown): boolean {
  return node === null || node === undefined || (isScalar(node) && node.value === null);
}

function startOf(node: unknown): number | undefined {
  return (node as Node | null | undefined)?.range?.[0];
}
