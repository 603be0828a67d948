/** One measured number, and the table of them. */
export interface Row {
  readonly what: string;
  readonly value: number;
  readonly unit: string;
  readonly target?: { readonly text: string; readonly met: boolean } | undefined;
}

/** The rows as lines under a heading, numbers right-aligned. */
export function table(rows: readonly Row[]): string {
  const cells = rows.map(({ what, value, unit, target }) => [what, format(value), unit, target?.text ?? '', verdict(target)] as const);
  const heading = ['what', 'value', 'unit', 'target', ''] as const;
  const widths = heading.map((title, column) => Math.max(title.length, ...cells.map((row) => (row[column] ?? '').length)));
  return [heading, ...cells]
    .map((row) =>
      row.map((cell, column) => (column === 1 ? cell.padStart(widths[column] ?? 0) : cell.padEnd(widths[column] ?? 0))).join('  '),
    )
    .map((line) => line.trimEnd())
    .join('\n');
}

function verdict(target: Row['target']): string {
  if (target === undefined) return '';
  return target.met ? 'met' : 'MISSED';
}

function format(value: number): string {
  if (value >= 1_000) return Math.round(value).toLocaleString('en');
  return value.toFixed(value >= 100 ? 0 : 2);
}
