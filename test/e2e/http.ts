/** Plain HTTP as an application without any library of ours speaks it. */
import { once } from 'node:events';
import { type IncomingMessage, request } from 'node:http';

export interface Answer {
  readonly status: number;
  readonly headers: Headers;
  readonly text: string;
  /** The body as NDJSON. */
  readonly lines: readonly AnswerLine[];
}

export interface AnswerLine {
  readonly requestId?: string;
  readonly stamp?: string;
  readonly position?: string;
  readonly outcome?: string;
  readonly error?: { readonly code: string; readonly message: string; readonly retry: string; readonly retryAfterMs?: number };
}

export async function post(url: string, body: string, contentType = 'application/x-ndjson'): Promise<Answer> {
  const response = await fetch(url, { method: 'POST', body, headers: { 'content-type': contentType } });
  const text = await response.text();
  return { status: response.status, headers: response.headers, text, lines: ndjson(text) };
}

/** Announces a body of so many bytes, sends only its beginning, and resolves with the status that comes of it. */
export async function statusOfAnnounced(url: string, bytes: number): Promise<number | undefined> {
  const call = request(url, { method: 'POST', headers: { 'content-length': bytes } });
  call.on('error', () => {});
  call.write('{');
  const [response] = (await once(call, 'response')) as [IncomingMessage];
  call.destroy();
  return response.statusCode;
}

export function ndjson(text: string): AnswerLine[] {
  return text
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line) as AnswerLine);
}

export async function getJson(url: string): Promise<{ readonly status: number; readonly body: unknown }> {
  const response = await fetch(url);
  return { status: response.status, body: await response.json() };
}

const NAME = '[a-zA-Z_:][a-zA-Z0-9_:]*';
const LABELS = '\\{(?:[a-zA-Z_][a-zA-Z0-9_]*="(?:[^"\\\\\\n]|\\\\["\\\\n])*",?)*\\}';
const VALUE = '(?:[+-]?Inf|NaN|[+-]?[0-9.]+(?:[eE][+-]?[0-9]+)?)';
const LINE = new RegExp(
  `^(?:# HELP ${NAME} .*|# TYPE ${NAME} (?:counter|gauge|histogram|summary|untyped)|${NAME}(?:${LABELS})? ${VALUE}(?: [0-9]+)?)$`,
);

/** Lines that are no text exposition format. */
export function notExposition(text: string): string[] {
  return text.split('\n').filter((line) => line !== '' && !LINE.test(line));
}
