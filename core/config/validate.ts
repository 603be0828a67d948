/**
 * Holds a document against its schema and reports every difference in words. What is right of a wrong document is kept, so that the
 * checks that go beyond the schema (check-topology.ts, check-room.ts) speak in the same run and not after the next correction.
 */
import type { z } from 'zod';
import type { ConfigDocument, Report } from './document.ts';
import { nearestName } from './nearest.ts';
import { formatPath, type Path, quote } from './problem.ts';
import { allowedText, childShape, keyPaths, keysOf, type Shape, shapeAt, shapeOf } from './shape.ts';

/** A document of which any part may be missing because it is wrong; what is there is right, with defaults filled in. */
export type Partially<T> = T extends readonly (infer Item)[]
  ? readonly (Partially<Item> | undefined)[]
  : T extends object
    ? { readonly [Key in keyof T]?: Partially<T[Key]> | undefined }
    : T;

/** The other document's keys, for keys that stand in the wrong one. */
export interface OtherDocument {
  readonly schema: z.ZodType;
  readonly name: string;
}

export function validate<Schema extends z.ZodType>(
  document: ConfigDocument,
  schema: Schema,
  other: OtherDocument,
): { readonly partial: Partially<z.output<Schema>>; readonly complete: z.output<Schema> | undefined } {
  const shape = shapeOf(schema);
  const result = schema.safeParse(document.value);
  const wrong = new Set<string>();
  // Without a value the syntax errors have said it all.
  const issues = document.value === undefined ? [] : (result.error?.issues ?? []);
  for (const issue of issues) {
    const path = issue.path as Path;
    if (issue.code === 'unrecognized_keys') reportUnknown({ keys: issue.keys, path, shape, other, report: document.report });
    else if (!wrong.has(JSON.stringify(path))) reportWrong({ path, shape, root: document.value, report: document.report });
    if (issue.code !== 'unrecognized_keys') wrong.add(JSON.stringify(path));
  }
  const partial = salvage(shape, document.value, [], wrong) as Partially<z.output<Schema>> | undefined;
  return { partial: partial ?? ({} as Partially<z.output<Schema>>), complete: result.data };
}

function reportWrong(at: { readonly path: Path; readonly shape: Shape; readonly root: unknown; readonly report: Report }): void {
  const shape = shapeAt(at.shape, at.path) ?? {};
  const value = valueAt(at.root, at.path);
  let allowed = allowedText(shape);
  if (shape.type === 'integer' && value !== undefined && typeof value !== 'number') allowed = `a whole number, ${allowed}`;
  if (value === null && !isRequired(at.shape, at.path)) allowed += ', or no such key at all for the default';
  at.report(at.path, `${describeValue(value, shape)}; allowed: ${allowed}`);
}

function isRequired(root: Shape, path: Path): boolean {
  if (path.length === 0) return true;
  const parent = shapeAt(root, path.slice(0, -1));
  return parent?.required?.includes(String(path.at(-1))) ?? false;
}

function valueAt(root: unknown, path: Path): unknown {
  let value = root;
  for (const step of path) value = isMapping(value) || Array.isArray(value) ? (value as Record<string | number, unknown>)[step] : undefined;
  return value;
}

function isMapping(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** `is 0`. Whoever writes a secret into the file by mistake does not find it in the log as well. */
function describeValue(value: unknown, shape: Shape): string {
  if (value === undefined) return 'is missing';
  if (value === null) return 'is empty';
  if (Array.isArray(value)) return value.length === 0 ? 'is an empty list' : 'is a list';
  if (typeof value === 'object') return 'is a mapping';
  if (shape.secret === true) return 'is a text that is not shown here';
  return `is ${typeof value === 'string' ? quote(value) : String(value)}`;
}

interface UnknownKeys {
  readonly keys: readonly string[];
  readonly path: Path;
  readonly shape: Shape;
  readonly other: OtherDocument;
  readonly report: Report;
}

function reportUnknown({ keys, path, shape, other, report }: UnknownKeys): void {
  const known = keysOf(shapeAt(shape, path));
  for (const key of keys) {
    const near = nearestName(key, known);
    const hints = [near === undefined ? undefined : `did you mean ${near}?`, elsewhere(key, shape, other)].filter(
      (hint) => hint !== undefined,
    );
    report([...path, key], `is not a known key; ${hints.length > 0 ? hints.join(' ') : `allowed: ${known.join(', ')}`}`, 'key');
  }
}

function elsewhere(key: string, shape: Shape, other: OtherDocument): string | undefined {
  const places = [...keyPaths(shape)].filter((path) => path.at(-1) === key).map((path) => formatPath(path));
  if (places.length > 0) return `it belongs at ${places.join(' or ')}`;
  return keysOf(shapeOf(other.schema)).includes(key) ? `${key} belongs in ${other.name}` : undefined;
}

/** The right parts of `value`, with defaults. */
function salvage(shape: Shape, value: unknown, path: Path, wrong: ReadonlySet<string>): unknown {
  if (wrong.has(JSON.stringify(path))) return undefined;
  const found = value === undefined ? shape.default : value;
  const { items } = shape;
  if (Array.isArray(found)) return items === undefined ? found : found.map((item, index) => salvage(items, item, [...path, index], wrong));
  if (!isMapping(found)) return found;
  const keys = shape.properties === undefined ? Object.keys(found) : keysOf(shape);
  const entries = keys.map((key) => {
    return [key, salvage(childShape(shape, key) ?? {}, found[key], [...path, key], wrong)] as const;
  });
  return Object.fromEntries(entries);
}
