/**
 * What SQL of users may do. The server has no authorizer that sees what a statement really does, so its text is looked at: its first word,
 * the names in it, and that it is one statement. What cannot be told from the text (stored routines, other schemas) the user's privileges decide, and a statement
 * that ended the transaction all the same would be noticed by what the server says of it (session.ts).
 */

import { isBlankSql, splitSql, sqlTokens } from '../sql-text.ts';
import { Refusal } from '../statement-checks.ts';

const STATEMENTS = new Set(['select', 'insert', 'update', 'delete', 'replace', 'with']);
/** First words that make or alter what the user's tables are, and touch no row. */
const SCHEMA =
  /^(create (or replace )?(table|index|unique index|fulltext index|spatial index|view|trigger|definer)|alter table|drop (index|trigger|view)) /;
/** Comments that the server executes. */
const EXECUTABLE = /^\/\*M?!/;
const OWN = /^[`"]?(wmb_\w*)[`"]?$/i;
const WORDS_AT_HEAD = 4;

export interface CheckedText {
  readonly text: string;
  readonly placeholders: number;
}

/** A statement of a processor. Refusal. */
export function checkStatement(given: string): CheckedText {
  const parts = splitSql(given, 'mysql');
  const [part] = parts;
  if (part === undefined || parts.length > 1) throw new Refusal(`one SQL statement is expected in a database effect, not ${parts.length}`);
  const words = wordsOf(part.text);
  if (!STATEMENTS.has(words[0]?.toLowerCase() ?? '')) {
    throw new Refusal(
      'only SELECT, INSERT, UPDATE and DELETE are allowed in a processor’s statement: WMB runs the transaction, and tables are made by the schema file',
    );
  }
  checkNames(words);
  for (const [at, word] of words.entries()) {
    if (/^into$/i.test(word) && /^(outfile|dumpfile)$/i.test(words[at + 1] ?? '')) throw new Refusal('a statement may not write files');
  }
  return part;
}

/** A statement of the schema file. Refusal. */
export function checkSchemaStatement(text: string): void {
  const words = wordsOf(text);
  const head = `${words.slice(0, WORDS_AT_HEAD).join(' ').toLowerCase()} `;
  if (!SCHEMA.test(head)) {
    throw new Refusal('only tables, indexes, views and triggers may be made here: no rows, no temporary tables, no DROP TABLE');
  }
  checkNames(words);
}

function wordsOf(text: string): readonly string[] {
  const words: string[] = [];
  for (const token of sqlTokens(text, 'mysql')) {
    if (EXECUTABLE.test(token)) throw new Refusal('comments that the server executes (/*! … */) are not allowed');
    if (!isBlankSql(token)) words.push(token);
  }
  return words;
}

/** The stamp's column may be named by who writes plain SQL. */
function checkNames(words: readonly string[]): void {
  for (const word of words) {
    const name = OWN.exec(word)?.[1];
    if (name !== undefined && name.toLowerCase() !== 'wmb_stamp') throw new Refusal(`${name}: names that begin with wmb_ are WMB’s own`);
  }
}
