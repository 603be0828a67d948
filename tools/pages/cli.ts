/** docs/cli.md, from the commands themselves: what `--help` prints, one section per command. */
import type { Command } from 'commander';
import { buildProgram } from '../../cli/program.ts';
import { systemRuntime } from '../../core/runtime.ts';

const COLUMNS = 110;

const INTRODUCTION = `<!-- Made by npm run generate from cli/; do not edit. -->
# The command line

In a clone: \`npm run --silent wmb -- COMMAND …\`; with the package installed: \`wmb COMMAND …\`.

- \`--config FILE\` names the room’s file; without it, \`WMB_CONFIG\` does. The topology in it says where the other rooms are.
- \`--json\` prints results as JSON with a fixed shape (one object; one per line where a command prints several), and errors as
  \`{"error":{"code","message","retry","remedy"}}\` on stderr.
- Results go to stdout; errors, notes and progress to stderr. An error is one line: code, message, what to do.
- Exit codes are those of [errors.md](errors.md#exit-codes).
`;

export function cliPage(): string {
  const program = buildProgram({
    runtime: systemRuntime,
    print: () => {},
    note: () => {},
    stdoutIsTTY: false,
    columns: COLUMNS,
    stderrIsTTY: false,
    interrupted: () => new AbortController().signal,
  });
  return [INTRODUCTION, ...sections(program, '')].join('\n');
}

function sections(command: Command, parents: string): readonly string[] {
  const name = `${parents}${command.name()}`;
  return [`## ${name}\n\n\`\`\`\n${helpOf(command)}\n\`\`\`\n`, ...command.commands.flatMap((child) => sections(child, `${name} `))];
}

function helpOf(command: Command): string {
  let help = '';
  command.configureOutput({
    writeOut: (text) => {
      help += text;
    },
    getOutHelpWidth: () => COLUMNS,
    getOutHasColors: () => false,
  });
  command.outputHelp();
  return help.trim();
}
