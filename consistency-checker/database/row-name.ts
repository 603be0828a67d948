/** How a row is named in a drift record, `pairs("a", 1)`, and found again by that name. */
import type { RowKey } from '../../store/row-comparison.ts';

/** `42`, or `1, "a"`. */
export function keyName(key: RowKey): string {
  return key.map(partName).join(', ');
}

export function rowName(table: string, key: RowKey): string {
  return `${table}(${keyName(key)})`;
}

/** Undefined: it is no name of a row. */
export function parseRowName(name: string): { readonly table: string; readonly key: RowKey } | undefined {
  const [, table, text] = /^(.+?)\((.*)\)$/s.exec(name) ?? [];
  if (table === undefined || text === undefined) return undefined;
  const key = parseKey(text);
  return key && { table, key };
}

function partName(part: RowKey[number]): string {
  if (part instanceof Uint8Array) return `0x${Buffer.from(part).toString('hex')}`;
  return typeof part === 'string' ? JSON.stringify(part) : String(part);
}

const PART = /("(?:[^"\\]|\\.)*"|0x[0-9a-f]*|null|-?\d[\d.e+-]*)(, |$)/y;

function parseKey(text: string): RowKey | undefined {
  const key: RowKey[number][] = [];
  const part = new RegExp(PART);
  for (let end: string | undefined = ', '; end === ', '; ) {
    const found: RegExpExecArray | null = part.exec(text);
    if (found === null) return undefined;
    key.push(partOf(found[1] ?? ''));
    end = found[2];
  }
  return key;
}

function partOf(text: string): RowKey[number] {
  if (text.startsWith('0x')) return Buffer.from(text.slice(2), 'hex');
  const value = JSON.parse(text) as string | number | null;
  return typeof value === 'number' && !Number.isSafeInteger(value) && /^-?\d+$/.test(text) ? BigInt(text) : value;
}
