/**
 * Sets of global transaction ids, as far as they are compared. MySQL's are `uuid:1-5:8,uuid:…`; MariaDB's are the greatest number for each
 * domain and server, `0-1-5,0-2-9`.
 */
import type { Flavour } from './dialect.ts';

/** What `of` holds and `without` lacks. */
export interface Difference {
  /** In the server's own notation; empty: nothing. */
  readonly text: string;
  readonly count: number;
}

export function gtidDifference(flavour: Flavour, of: string, without: string): Difference {
  return flavour === 'mysql' ? mysqlDifference(of, without) : mariadbDifference(of, without);
}

type Interval = readonly [first: number, last: number];

function mysqlDifference(of: string, without: string): Difference {
  const theirs = parseMysql(without);
  const parts: string[] = [];
  let count = 0;
  for (const [source, intervals] of parseMysql(of)) {
    const left = intervals.flatMap((interval) => subtract(interval, theirs.get(source) ?? []));
    if (left.length === 0) continue;
    parts.push(`${source}:${left.map(([first, last]) => (first === last ? `${first}` : `${first}-${last}`)).join(':')}`);
    for (const [first, last] of left) count += last - first + 1;
  }
  return { text: parts.join(','), count };
}

/** A source is a server, and with a tag (MySQL 8.3 and newer) a part of its transactions. */
function parseMysql(text: string): Map<string, Interval[]> {
  const sets = new Map<string, Interval[]>();
  for (const set of text.replace(/\s/g, '').split(',')) {
    const [uuid, ...rest] = set.split(':');
    if (!uuid) continue;
    let source = uuid;
    for (const part of rest) {
      const match = /^(\d+)(?:-(\d+))?$/.exec(part);
      if (match === null) source = `${uuid}:${part}`;
      else sets.set(source, [...(sets.get(source) ?? []), [Number(match[1]), Number(match[2] ?? match[1])]]);
    }
  }
  return sets;
}

function subtract(interval: Interval, others: readonly Interval[]): Interval[] {
  let left: Interval[] = [interval];
  for (const [first, last] of others) {
    left = left.flatMap(([from, to]): Interval[] => {
      if (last < from || first > to) return [[from, to]];
      const below: Interval[] = first > from ? [[from, first - 1]] : [];
      return last < to ? [...below, [last + 1, to]] : below;
    });
  }
  return left;
}

function mariadbDifference(of: string, without: string): Difference {
  const theirs = parseMariadb(without);
  const parts: string[] = [];
  let count = 0;
  for (const [source, last] of parseMariadb(of)) {
    const seen = theirs.get(source) ?? 0;
    if (last <= seen) continue;
    parts.push(`${source}-${last}`);
    count += last - seen;
  }
  return { text: parts.join(','), count };
}

/** By `domain-server`. */
function parseMariadb(text: string): Map<string, number> {
  const sets = new Map<string, number>();
  for (const [, source = '', last] of text.matchAll(/(\d+-\d+)-(\d+)/g)) sets.set(source, Math.max(sets.get(source) ?? 0, Number(last)));
  return sets;
}
