/** Aligned tables for terminals. Wide characters (Chinese, emoji) take two columns, combining ones none. */

export interface Table {
  readonly head: readonly string[];
  readonly rows: readonly (readonly string[])[];
  /** Columns of numbers, from 0. */
  readonly right?: readonly number[];
  /** Widest line. In a table that is wider the last column is wrapped, and the flexible ones are shortened. */
  readonly columnsMax?: number;
  /** Columns that may be shortened, the first one of the list first. */
  readonly flexible?: readonly number[];
}

const GAP = 2;
/** A last column narrower than this is no text any more: it goes beneath its row instead. */
const WRAPPED_MIN = 24;
const SHORTENED_MIN = 10;
const INDENT = 4;

export function formatTable(table: Table): string {
  const lines = [table.head, ...table.rows].map((row) => table.head.map((_, column) => printable(row[column] ?? '')));
  const widths = table.head.map((_, column) => Math.max(...lines.map((line) => displayWidth(line[column] ?? ''))));
  const layout = fit(widths, table);
  return lines.flatMap((line, index) => rowLines(line, layout, index === 0)).join('\n');
}

interface Layout {
  /** Columns that are shown side by side, with their widths. */
  readonly columns: readonly { readonly column: number; readonly width: number; readonly right: boolean }[];
  /** The last column, and how wide its text may be; undefined: it needs no wrapping. */
  readonly wrapped: { readonly column: number; readonly width: number; readonly beneath: boolean } | undefined;
}

function fit(natural: readonly number[], { columnsMax = Number.POSITIVE_INFINITY, flexible = [], right = [] }: Table): Layout {
  const widths = [...natural];
  const last = widths.length - 1;
  const wanted = natural[last] ?? 0;
  const left = () => columnsMax - widths.reduce((sum, width, column) => sum + (column === last ? 0 : width + GAP), 0);
  const beneath = wanted > WRAPPED_MIN && left() < WRAPPED_MIN;
  const needed = beneath ? -GAP : Math.min(wanted, WRAPPED_MIN);
  for (const column of flexible) {
    const width = widths[column] ?? 0;
    widths[column] = Math.max(Math.min(width, SHORTENED_MIN), width - Math.max(0, needed - left()));
  }
  const columns = widths.map((width, column) => ({ column, width, right: right.includes(column) }));
  if (wanted <= left()) return { columns, wrapped: undefined };
  const width = beneath ? columnsMax - INDENT : Math.max(SHORTENED_MIN, left());
  return { columns: columns.slice(0, -1), wrapped: { column: last, width, beneath } };
}

function rowLines(line: readonly string[], { columns, wrapped }: Layout, isHead: boolean): readonly string[] {
  const lastColumn = line.length - 1;
  const cells = columns.map(({ column, width, right }) => {
    const cell = shorten(line[column] ?? '', width);
    const space = ' '.repeat(width - displayWidth(cell));
    if (right) return space + cell;
    return column === lastColumn ? cell : cell + space;
  });
  const row = cells.join(' '.repeat(GAP));
  const text = wrapped === undefined ? '' : (line[wrapped.column] ?? '');
  if (wrapped === undefined || text === '') return [row.trimEnd()];
  if (wrapped.beneath) return [row.trimEnd(), ...(isHead ? [] : wrap(text, wrapped.width).map((part) => ' '.repeat(INDENT) + part))];
  const [first = '', ...others] = wrap(text, wrapped.width);
  const space = ' '.repeat(displayWidth(row) + GAP);
  return [row + ' '.repeat(GAP) + first, ...others.map((part) => space + part)];
}

export interface FieldOptions {
  readonly columnsMax: number;
  /** Spaces in front of every line. */
  readonly indent?: number;
}

/** Names and texts, a line each, long texts wrapped beside their names. Fields without text are left out. */
export function formatFields(fields: readonly (readonly [name: string, text: string])[], { columnsMax, indent = 0 }: FieldOptions): string {
  const told = fields.filter(([, text]) => text !== '');
  const width = Math.max(0, ...told.map(([name]) => displayWidth(name)));
  const space = ' '.repeat(indent + width + GAP);
  return told
    .flatMap(([name, text]) => {
      const parts = wrap(printable(text), columnsMax - space.length);
      return parts.map((part, index) => (index === 0 ? `${' '.repeat(indent)}${name.padEnd(width + GAP)}${part}` : space + part));
    })
    .join('\n');
}

/** Lines of at most `columns` columns, broken between words, and within a word that is longer than a line. */
export function wrap(text: string, columns: number): readonly string[] {
  const lines: string[] = [];
  let line = '';
  for (const word of text.split(' ')) {
    const longer = line === '' ? word : `${line} ${word}`;
    if (displayWidth(longer) <= columns) {
      line = longer;
      continue;
    }
    if (line !== '') lines.push(line);
    const pieces = split(word, columns);
    lines.push(...pieces.slice(0, -1));
    line = pieces.at(-1) ?? '';
  }
  return [...lines, line];
}

function split(word: string, columns: number): readonly string[] {
  if (displayWidth(word) <= columns) return [word];
  const pieces: string[] = [];
  let piece = '';
  for (const { segment } of SEGMENTS.segment(word)) {
    if (piece !== '' && displayWidth(piece) + displayWidth(segment) > columns) {
      pieces.push(piece);
      piece = '';
    }
    piece += segment;
  }
  return [...pieces, piece];
}

const SEGMENTS = new Intl.Segmenter();
const WIDE =
  /^(?:[\u1100-\u115f\u2e80-\u303e\u3041-\ua4cf\ua960-\ua97c\uac00-\ud7a3\uf900-\ufaff\ufe30-\ufe6f\uff00-\uff60\uffe0-\uffe6\u{1b000}-\u{1b2ff}\u{1f200}-\u{1f2ff}\u{20000}-\u{3fffd}]|\p{Emoji_Presentation}|\p{Extended_Pictographic}\ufe0f)/u;
const NOTHING = /^[\p{Mn}\p{Me}\p{Cf}]+$/u;

/** Columns that `text` takes at a terminal. */
export function displayWidth(text: string): number {
  // Plain ASCII, which nearly everything is, needs no look at its characters.
  if (/^[\x20-\x7e]*$/.test(text)) return text.length;
  let width = 0;
  for (const { segment } of SEGMENTS.segment(text)) width += NOTHING.test(segment) ? 0 : WIDE.test(segment) ? 2 : 1;
  return width;
}

/** Control characters shown, not obeyed: what users wrote must not move the cursor. */
export function printable(text: string): string {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for
  return text.replace(/[\u0000-\u001f\u007f-\u009f]/g, (control) => `\\x${control.charCodeAt(0).toString(16).padStart(2, '0')}`);
}

/** At most `columns` columns of `text`, the cut shown. */
export function shorten(text: string, columns: number): string {
  if (displayWidth(text) <= columns) return text;
  let short = '';
  for (const { segment } of SEGMENTS.segment(text)) {
    if (displayWidth(short) + displayWidth(segment) >= columns) break;
    short += segment;
  }
  return `${short}…`;
}

/** `532 ms`, `4.2 s`, `3 min 20 s`, `5 h 2 min`, `3 d 4 h`. */
export function formatDuration(ms: number): string {
  if (ms < 1_000) return `${Math.round(ms)} ms`;
  const seconds = Math.floor(ms / 1_000);
  if (seconds < 60) return `${(ms / 1_000).toFixed(1)} s`;
  if (seconds < 3_600) return `${Math.floor(seconds / 60)} min ${seconds % 60} s`;
  const minutes = Math.floor(seconds / 60);
  if (minutes < 1_440) return `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
  return `${Math.floor(minutes / 1_440)} d ${Math.floor(minutes / 60) % 24} h`;
}
