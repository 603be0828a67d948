/** docs/errors.md, from the error table. */
import { EXIT_MEANINGS } from '../../cli/program.ts';
import { ERRORS, type ErrorSpec, EXIT } from '../../core/errors.ts';

export function errorsPage(): string {
  const specs: readonly (readonly [string, ErrorSpec])[] = Object.entries(ERRORS);
  return [
    '<!-- Made by npm run generate from core/errors.ts; do not edit. -->',
    '# Errors',
    '',
    'Every failure has one of these codes, wherever it appears: in the log, on the command line, in gRPC (the status below, the code in the trailing metadata',
    '`wmb-code`, a retry hint in `retry-after-ms`), in HTTP (`{"error":{"code","message","retry"}}`, a retry hint in `Retry-After`) and as the reason of a',
    'parked write request. `wmb errors CODE` explains one.',
    '',
    '**Retry** says whether the same call may succeed: `now`, `later` (after a while or a repair) or `never` as it stands.',
    '',
    '| code | means | what to do | retry | gRPC | HTTP | exit |',
    '|---|---|---|---|---|---|---|',
    ...specs.map(
      ([code, spec]) => `| \`${code}\` | ${spec.means} | ${spec.remedy} | ${spec.retry} | ${spec.grpc} | ${spec.http} | ${spec.exit} |`,
    ),
    '',
    '## Exit codes',
    '',
    '| code | means |',
    '|---|---|',
    ...Object.entries(EXIT).map(([name, code]) => `| ${code} | ${EXIT_MEANINGS[name as keyof typeof EXIT]} |`),
    '| 130, 143 | ended by Ctrl-C or SIGTERM before it was done |',
    '',
  ].join('\n');
}
