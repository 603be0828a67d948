/**
 * docs/metrics.md, read from the declarations in the sources: every call of `counter`, `gauge` or `histogram` with its name, help and
 * labels. They have to be literals, or constants of the same file, so that this page is complete without any daemon running.
 */
import { unitOf } from '../../daemon/metrics.ts';
import { isTestCode, type Node, type Source, walk } from '../tidy/source.ts';

interface Declared {
  readonly name: string;
  readonly type: string;
  readonly help: string;
  readonly labels: readonly string[];
  readonly path: string;
}

const TYPES = ['counter', 'gauge', 'histogram'];

export function metricsPage(sources: readonly Source[]): string {
  const declared = sources.filter(({ path }) => !isTestCode(path)).flatMap(declaredIn);
  const rows = [...declared]
    .sort((a, b) => (a.name < b.name ? -1 : 1))
    .map(({ name, type, help, labels, path }) => {
      return `| \`${name}\` | ${type} | ${unitOf(name)} | ${labels.map((label) => `\`${label}\``).join(', ')} | ${help} | ${path.split('/')[0]} |`;
    });
  return [
    '<!-- Made by npm run generate from the declarations in the sources; do not edit. -->',
    '# Metrics',
    '',
    'Every daemon exposes its metrics at `/metrics` in the Prometheus text format. Each carries the labels `room` and `daemon` besides its own. Those of the',
    'process itself (`process_*`, `nodejs_*`: memory, CPU, event loop) are the Prometheus client’s usual ones.',
    '',
    '| name | type | unit | labels | meaning | declared in |',
    '|---|---|---|---|---|---|',
    ...rows,
    '',
  ].join('\n');
}

export function declaredIn(source: Source): readonly Declared[] {
  return [...walk(source.tree)].flatMap((node) => {
    const type = typeOf(node);
    if (type === undefined) return [];
    const spec = new Literals(source).read((node.arguments as readonly Node[])[0]) as
      | { name?: unknown; help?: unknown; labels?: readonly string[] }
      | undefined;
    if (typeof spec?.name !== 'string' || typeof spec.help !== 'string') {
      throw new Error(`${source.path}:${node.loc.start.line} name and help of a metric have to be literals`);
    }
    return [{ name: spec.name, type, help: spec.help, labels: spec.labels ?? [], path: source.path }];
  });
}

/** `metrics.counter(…)`, `options.metrics.counter(…)`, `this.#metrics.counter(…)`. */
function typeOf(node: Node): string | undefined {
  const callee = node.callee as Node | undefined;
  if (node.type !== 'CallExpression' || callee?.type !== 'MemberExpression') return undefined;
  const owner = lastName(callee.object as Node);
  const method = lastName(callee.property as Node);
  return /metrics$/i.test(owner) && TYPES.includes(method) ? method : undefined;
}

function lastName(node: Node): string {
  if (node.type === 'Identifier') return node.name as string;
  if (node.type === 'PrivateName') return lastName(node.id as Node);
  return node.type === 'MemberExpression' ? lastName(node.property as Node) : '';
}

/** The value of an expression made of literals and of constants of the same file; undefined where it is made of anything else. */
class Literals {
  readonly #source: Source;

  constructor(source: Source) {
    this.#source = source;
  }

  read(node: Node | undefined): unknown {
    switch (node?.type) {
      case 'StringLiteral':
        return node.value;
      case 'ObjectExpression':
        return Object.fromEntries(
          (node.properties as readonly Node[]).map((property) => [lastName(property.key as Node), this.read(property.value as Node)]),
        );
      case 'ArrayExpression':
        return (node.elements as readonly Node[]).flatMap((element) =>
          this.read(element.type === 'SpreadElement' ? (element.argument as Node) : element),
        );
      case 'BinaryExpression':
        return `${this.read(node.left as Node)}${this.read(node.right as Node)}`;
      case 'TSAsExpression':
        return this.read(node.expression as Node);
      case 'Identifier':
        return this.read(this.#constant(node.name as string));
      default:
        return undefined;
    }
  }

  #constant(name: string): Node | undefined {
    for (const node of walk(this.#source.tree)) {
      if (node.type === 'VariableDeclarator' && lastName(node.id as Node) === name) return node.init as Node;
    }
    return undefined;
  }
}
