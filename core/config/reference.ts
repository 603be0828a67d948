/** The reference page of the configuration, written from the schemas so that it cannot lag behind them. */
import type { z } from 'zod';
import { roomFileSchema, topologySchema } from './schema.ts';
import { allowedText, type Shape, shapeOf } from './shape.ts';

const INTRODUCTION = `# Configuration

<!-- Generated from core/config/schema.ts by npm run generate: change it there. -->

A room is configured by two YAML documents: the **topology**, the same in every room, and the **room's file**, which names the topology
and holds what differs from room to room. \`wmb config check --config FILE\` reads both and reports every error at once, each with file, line,
column, path, what is wrong and what is allowed; with \`--json\` as data. [examples/](../examples/README.md) has complete configurations.

- Sizes and durations are whole numbers; the key's name ends in, or contains, the unit: \`Bytes\`, \`Ms\` (milliseconds), \`Writes\`.
- Paths are relative to the file that names them. \`~\` and \`$\` are not expanded.
- Unknown keys, keys given twice and empty keys are errors.
- Secrets never stand in a file: it names the environment variable that holds them.
`;

const RULES = `## Rules between keys

Topology:

- Room ids, room numbers and addresses are unique. \`0.0.0.0\` and \`[::]\` cannot be dialled, so they are no addresses of the address book.
- At most one room has \`database: master\`; slaves need a master to follow; mode \`master-slave\` needs a master.
- A link joins two different rooms of the topology and is listed at most once.
- Kind names begin with a lower-case letter and have up to 64 lower-case letters, digits, dots, hyphens and underscores. \`cache\` is built in; names that begin
  with \`wmb.\` are reserved. Kinds name rooms of the topology, each once; in mode \`master-slave\` the master among them.

Room's file:

- \`room\` is a room of the topology. It has a \`database\` exactly where the topology says \`master\` or \`slave\`.
- \`database.adapter\` is what the topology's \`databases\` says. With \`mysql\`, \`address\`, \`name\`, \`user\` and \`password\` are required; with \`embedded\` they, \`tls\` and
  \`replication\` are not allowed. The variables that hold passwords are set.
- With \`cache.adapter: redis\`, \`nodes\` is required and names each server once, and a \`user\` has a \`password\`; with \`embedded\` none of them is allowed.
- \`intake.topics\` names each topic and each group once. A topic that names no \`brokers\` is in the Kafka of \`log\`, and has no \`sasl\` and \`tls\` of its own. \`format: payload\`
  needs a \`kind\`; kinds are the topology’s, or \`cache\`. The variables that hold passwords are set.
- Where the topology has a link over \`mq\`, the room that takes the frames has \`inbox\` or its log in Kafka, and the origin has its peer in \`peers\`, whose keys are other rooms. Each broker is named
  once, \`inbox.minInSyncReplicas\` is at most \`inbox.replicas\`, and the variables that hold passwords are set.
- The addresses on which the daemons listen have different ports, unless their hosts differ and neither is \`0.0.0.0\` or \`[::]\`.
- \`secret\` is required unless every address of the topology and of \`listen\` is on loopback (127.0.0.0/8, \`[::1]\`, \`localhost\`). Its variable is set and
  holds at least 16 characters without white space around them.
- \`processors\` has every kind that is for this room, where the room's processors handle write requests (in every room in mode \`independent\`, in the master in
  mode \`master-slave\`); each has either \`module\` or \`grpc\`. It has no kinds that the topology does not know.
- The largest payload and a full frame fit into the queues: \`limits.payloadBytesMax\` and \`intake.frameBytesMax\` are at most \`link.laneBytesMax\` and at most
  \`intake.pendingBytesMax\`; \`intake.frameWritesMax\` is at most \`intake.pendingWritesMax\`.
- \`link.reconnectMsMin\` is at most \`link.reconnectMsMax\`; \`link.silenceMsMax\` is at least two \`link.pulseMs\`.
- \`checker.silenceMsMax\` is at least two \`checker.canaryMs\` and two \`checker.roundMs\`. \`listen.checker\` is there only where the topology has a checker for the room.
- Files that are named exist and can be read.
`;

/** The whole page, Markdown. */
export function configReference(): string {
  return [
    INTRODUCTION,
    section('The topology', topologySchema, 'topology.yaml'),
    section('The room’s file', roomFileSchema, 'beijing.yaml'),
    RULES,
  ].join('\n');
}

/** The full example of a document: every key, with its default where it has one. The result is a valid document (`module` before `grpc`). */
export function fullExample(schema: z.ZodType): string {
  return exampleLines(shapeOf(schema), '').join('\n');
}

function section(title: string, schema: z.ZodType, file: string): string {
  const rows = [...tableRows(shapeOf(schema), '')];
  return [
    `## ${title}`,
    '',
    '| key | type | default | allowed | meaning |',
    '|---|---|---|---|---|',
    ...rows,
    '',
    `Every key, with its default or an example (\`${file}\`):`,
    '',
    '```yaml',
    fullExample(schema),
    '```',
    '',
  ].join('\n');
}

function* tableRows(shape: Shape, prefix: string): Generator<string> {
  for (const [key, inner] of Object.entries(shape.properties ?? {})) {
    const path = prefix + key;
    const required = shape.required?.includes(key) ?? false;
    const cells = [`\`${path}\``, typeText(inner), defaultText(inner, required), allowedCell(inner), inner.description ?? ''];
    yield `| ${cells.map((cell) => cell.replaceAll('|', '\\|')).join(' | ')} |`;
    yield* tableRows(inner, `${path}.`);
    if (inner.items?.properties !== undefined) yield* tableRows(inner.items, `${path}[].`);
    if (inner.additionalProperties) yield* tableRows(inner.additionalProperties, `${path}.${inner.keyName ?? 'KEY'}.`);
  }
}

function typeText(shape: Shape): string {
  if (shape.type === 'array') return 'list';
  if (shape.type === 'object') return 'mapping';
  return shape.type === 'integer' ? 'whole number' : 'text';
}

function defaultText(shape: Shape, required: boolean): string {
  if (required) return '**required**';
  if (shape.defaultText !== undefined) return shape.defaultText;
  if (shape.default === undefined) return 'none';
  return typeof shape.default === 'object' ? (shape.properties === undefined ? 'empty' : '') : `\`${String(shape.default)}\``;
}

/** A group's keys have lines of their own. */
function allowedCell(shape: Shape): string {
  if (shape.properties !== undefined && shape.allowed === undefined) return '';
  return shape.enum === undefined || shape.allowed !== undefined
    ? allowedText(shape)
    : shape.enum.map((value) => `\`${value}\``).join(', ');
}

function exampleLines(shape: Shape, indent: string): readonly string[] {
  return Object.entries(shape.properties ?? {}).flatMap(([key, inner]) => {
    if (inner.example === null) return [];
    if (inner.example === undefined && inner.default === undefined && inner.type !== 'object' && inner.type !== 'array') return [];
    const comment = inner.description === undefined ? [] : [`${indent}# ${inner.description.replaceAll('`', '')}`];
    return [...comment, ...valueLines({ key, shape: inner, indent })];
  });
}

function valueLines({ key, shape, indent }: { readonly key: string; readonly shape: Shape; readonly indent: string }): readonly string[] {
  const deeper = `${indent}  `;
  if (shape.properties !== undefined) return [`${indent}${key}:`, ...exampleLines(shape, deeper)];
  if (shape.additionalProperties)
    return [`${indent}${key}:`, `${deeper}${String(shape.example)}:`, ...exampleLines(shape.additionalProperties, `${deeper}  `)];
  if (shape.items?.properties !== undefined)
    return [
      `${indent}${key}:`,
      ...listItem(exampleLines(shape.items, `${deeper}  `), deeper),
      ...listItem(
        (shape.exampleMore ?? []).map((line) => `${deeper}  ${line}`),
        deeper,
      ),
    ];
  const value = shape.example ?? shape.default;
  return [`${indent}${key}: ${Array.isArray(value) ? `[${value.join(', ')}]` : String(value)}`];
}

/** Puts the dash before the first line that is no comment. */
function listItem(lines: readonly string[], indent: string): readonly string[] {
  const first = lines.findIndex((line) => !line.trimStart().startsWith('#'));
  return lines.map((line, index) => (index < first ? line.slice(2) : index === first ? `${indent}- ${line.trimStart()}` : line));
}
