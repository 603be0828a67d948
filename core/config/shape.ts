/**
 * The schemas as plain trees (JSON Schema with the descriptions): what is allowed at a path, which defaults are filled in, and what
 * the reference page says all come from the same tree, so that they cannot disagree.
 */
import { z } from 'zod';
import type { Path } from './problem.ts';

export interface Shape {
  readonly type?: 'object' | 'array' | 'string' | 'integer' | 'boolean';
  readonly properties?: Readonly<Record<string, Shape>>;
  readonly required?: readonly string[];
  readonly additionalProperties?: Shape | false;
  readonly items?: Shape;
  readonly minItems?: number;
  readonly minimum?: number;
  readonly maximum?: number;
  readonly enum?: readonly string[];
  readonly default?: unknown;
  readonly description?: string;
  /** What is allowed, where type and bounds do not say it. */
  readonly allowed?: string;
  /** What stands in the reference page's full example; default: `default`. Null: it is left out, because it goes with another choice than the default. */
  readonly example?: unknown;
  /** Lines of the full example's second list item. */
  readonly exampleMore?: readonly string[];
  /** What the default is, where it is not a constant. */
  readonly defaultText?: string;
  /** Never shown in messages. */
  readonly secret?: boolean;
  /** What the keys of a mapping with free keys are, such as `KIND`. */
  readonly keyName?: string;
}

export function shapeOf(schema: z.ZodType): Shape {
  return z.toJSONSchema(schema, { io: 'input' }) as Shape;
}

/** The shape of what may stand at `path`, or undefined where nothing may. */
export function shapeAt(root: Shape, path: Path): Shape | undefined {
  let shape: Shape | undefined = root;
  for (const step of path) shape = typeof step === 'number' ? shape?.items : childShape(shape, step);
  return shape;
}

/** The shape of the key `key` of a mapping. */
export function childShape(shape: Shape | undefined, key: string): Shape | undefined {
  return shape?.properties?.[key] ?? (shape?.additionalProperties || undefined);
}

export function keysOf(shape: Shape | undefined): readonly string[] {
  return Object.keys(shape?.properties ?? {});
}

/** What is allowed, in words: `1 to 255`. */
export function allowedText(shape: Shape): string {
  if (shape.allowed !== undefined) return shape.allowed;
  if (shape.enum !== undefined) return shape.enum.join(', ');
  switch (shape.type) {
    case 'integer':
      return `${shape.minimum} to ${shape.maximum}`;
    case 'array':
      return `a list${(shape.minItems ?? 0) > 0 ? ' that is not empty' : ''}`;
    case 'object':
      return shape.properties === undefined ? 'a mapping' : `a mapping of ${keysOf(shape).join(', ')}`;
    default:
      return 'a text';
  }
}

/** All paths of keys in the tree, list steps and free keys left out. */
export function* keyPaths(shape: Shape, path: readonly string[] = []): Generator<readonly string[]> {
  for (const [key, inner] of Object.entries(shape.properties ?? {})) {
    yield [...path, key];
    yield* keyPaths(inner, [...path, key]);
  }
}
