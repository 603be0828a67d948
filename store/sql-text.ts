/**
 * As much of SQL's grammar as is needed to tell statements apart and count placeholders: quotes, comments, and the
 * BEGIN … END of triggers (as in SQLite's own sqlite3_complete). Servers of the MySQL family quote and comment in other ways than SQLite.
 */
export interface SqlPart {
  readonly text: string;
  /** Line of the statement's first word, from 1. */
  readonly line: number;
  /** Number of `?` in it. */
  readonly placeholders: number;
}

export type SqlGrammar = 'sqlite' | 'mysql';

const TOKENS: Readonly<Record<SqlGrammar, RegExp>> = {
  sqlite:
    /--[^\n]*|\/\*[\s\S]*?(?:\*\/|$)|'(?:[^']|'')*(?:'|$)|"(?:[^"]|"")*(?:"|$)|`(?:[^`]|``)*(?:`|$)|\[[^\]]*(?:\]|$)|[A-Za-z_\u0080-\uffff][\w$\u0080-\uffff]*|\s+|[\s\S]/g,
  // A backslash escapes within quotes; `--` is a comment only before white space, and `#` is one.
  mysql:
    /--(?=\s|$)[^\n]*|#[^\n]*|\/\*[\s\S]*?(?:\*\/|$)|'(?:[^'\\]|\\[\s\S]|'')*(?:'|$)|"(?:[^"\\]|\\[\s\S]|"")*(?:"|$)|`(?:[^`]|``)*(?:`|$)|[A-Za-z_$\u0080-\uffff][\w$\u0080-\uffff]*|\s+|[\s\S]/g,
};
const TRIGGER = /^create (?:temp |temporary )?trigger(?: |$)/;

/** Everything in `text`, blanks and comments too, in order. */
export function* sqlTokens(text: string, grammar: SqlGrammar): Generator<string> {
  for (const [token] of text.matchAll(TOKENS[grammar])) yield token;
}

/** The statements of `text`, without empty ones. */
export function splitSql(text: string, grammar: SqlGrammar): readonly SqlPart[] {
  const parts: SqlPart[] = [];
  let current = beginning();
  let line = 1;
  for (const token of sqlTokens(text, grammar)) {
    if (current.words > 0 || !isBlankSql(token)) current.add(token, line);
    if (token === ';' && current.complete()) {
      if (current.words > 0) parts.push(current.part());
      current = beginning();
    }
    for (let at = token.indexOf('\n'); at >= 0; at = token.indexOf('\n', at + 1)) line += 1;
  }
  if (current.words > 0) parts.push(current.part());
  return parts;
}

function beginning() {
  let text = '';
  let line = 0;
  let placeholders = 0;
  let head = '';
  /** The last two words or semicolons: a trigger ends at `; END ;`. */
  let tail: readonly string[] = [];
  /** A trigger of MySQL's may be a single statement. */
  let isBlock = false;
  return {
    /** Tokens that are neither blank nor a semicolon. */
    words: 0,
    add(token: string, tokenLine: number) {
      if (line === 0) line = tokenLine;
      text += token;
      if (isBlankSql(token)) return;
      if (token !== ';') this.words += 1;
      if (token === '?') placeholders += 1;
      if (this.words <= 3) head += `${token.toLowerCase()} `;
      tail = [...tail.slice(-2), token.toLowerCase()];
      isBlock ||= token.toLowerCase() === 'begin';
    },
    complete: () => !isBlock || !TRIGGER.test(head) || tail.join(' ') === '; end ;',
    part: (): SqlPart => ({ text: text.replace(/;\s*$/, '').trim(), line, placeholders }),
  };
}

/** White space or a comment. */
export function isBlankSql(token: string): boolean {
  return /^(?:\s|--|\/\*|#)/.test(token);
}
