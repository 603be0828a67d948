/** What is wrong with a configuration: every problem has a place, and all of them are told at once. */
import { WmbError } from '../errors.ts';

/** Keys and list indexes from the root of a document to a value. */
export type Path = readonly (string | number)[];

export interface ConfigProblem {
  readonly code: 'CONFIG_INVALID' | 'CONFIG_UNREADABLE';
  /** As the user named it, or relative to the directory that the user named. */
  readonly file: string;
  /** From 1; 0 where the file itself cannot be read. */
  readonly line: number;
  /** From 1, in characters; 0 where the file itself cannot be read. */
  readonly column: number;
  /** `rooms[1].number`; empty where the problem is the document's. */
  readonly path: string;
  /** What is wrong, and what is allowed. */
  readonly message: string;
}

const PLAIN_KEY = /^[A-Za-z_][A-Za-z0-9_-]*$/;
const KEY_LENGTH_MAX = 60;

export function formatPath(path: Path): string {
  let text = '';
  for (const step of path) {
    if (typeof step === 'number') text += `[${step}]`;
    else if (PLAIN_KEY.test(step) && step.length <= KEY_LENGTH_MAX) text += text === '' ? step : `.${step}`;
    else text += `[${quote(step)}]`;
  }
  return text;
}

/** A text as it is shown in a message: in quotes, on one line, not longer than people read. */
export function quote(text: string): string {
  return JSON.stringify(text.length > KEY_LENGTH_MAX ? `${text.slice(0, KEY_LENGTH_MAX)}…` : text);
}

/** `topology.yaml:12:5 rooms[1].number: is 0; allowed: 1 to 255` */
export function formatProblem(problem: ConfigProblem): string {
  const place = problem.line === 0 ? problem.file : `${problem.file}:${problem.line}:${problem.column}`;
  return `${place}${problem.path === '' ? '' : ` ${problem.path}`}: ${problem.message}`;
}

/** By file in the order in which the files were read, then by place. */
export function sortProblems(problems: readonly ConfigProblem[], files: readonly string[]): readonly ConfigProblem[] {
  return problems.toSorted((a, b) => files.indexOf(a.file) - files.indexOf(b.file) || a.line - b.line || a.column - b.column);
}

/** One error of all problems (at least one), one per line. */
export function problemsError(problems: readonly ConfigProblem[]): WmbError {
  const code = problems.every((problem) => problem.code === 'CONFIG_UNREADABLE') ? 'CONFIG_UNREADABLE' : 'CONFIG_INVALID';
  return new WmbError(code, problems.map(formatProblem).join('\n'));
}
