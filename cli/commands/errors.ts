/** `wmb errors`: the error table. */
import type { Command } from 'commander';
import { nearestName } from '../../core/config/nearest.ts';
import { ERRORS, type ErrorCode, type ErrorSpec, WmbError } from '../../core/errors.ts';
import { type Context, type JsonOptions, jsonOption } from '../context.ts';
import { formatTable } from '../table.ts';

export function addErrorsCommand(program: Command, context: Context): void {
  program
    .command('errors')
    .description('list all error codes, or explain one')
    .argument('[code]', 'an error code, such as LOG_GAP')
    .addOption(jsonOption())
    .addHelpText('after', '\nExamples:\n  wmb errors\n  wmb errors LOG_GAP')
    .action((code: string | undefined, { json }: JsonOptions) => {
      if (code === undefined) context.print(json ? JSON.stringify(ERRORS) : listErrors());
      else context.print(json ? JSON.stringify({ code: known(code), ...ERRORS[known(code)] }) : explain(known(code)));
    });
}

function known(text: string): ErrorCode {
  const code = text.toUpperCase();
  if (Object.hasOwn(ERRORS, code)) return code as ErrorCode;
  const near = nearestName(code, Object.keys(ERRORS));
  throw new WmbError('NOT_FOUND', `there is no error code “${text}”${near === undefined ? '' : `; did you mean ${near}?`}`);
}

function listErrors(): string {
  const specs: readonly (readonly [string, ErrorSpec])[] = Object.entries(ERRORS);
  return formatTable({
    head: ['CODE', 'EXIT', 'RETRY', 'MEANS'],
    rows: specs.map(([code, { exit, retry, means }]) => [code, String(exit), retry, means]),
    right: [1],
  });
}

function explain(code: ErrorCode): string {
  const { means, remedy, retry, exit, http, grpc } = ERRORS[code];
  return [`${code}: ${means}`, '', `What to do: ${remedy}`, `Retry: ${retry}. Exit code ${exit}, HTTP ${http}, gRPC ${grpc}.`].join('\n');
}
