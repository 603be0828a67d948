/** What the compiler leaves out of dist/: the proto files, which reflection reads at run time, and the executable bit of the command. */
import { chmodSync, cpSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('..', import.meta.url));

cpSync(`${root}proto`, `${root}dist/proto`, {
  recursive: true,
  filter: (path) => !path.includes('proto/gen'),
});
chmodSync(`${root}dist/cli/main.js`, 0o755);
