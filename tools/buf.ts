/** buf from npm, with the plugins and the Node that npm installed, however this process was started. */
import { execFileSync } from 'node:child_process';
import { delimiter, join } from 'node:path';
import { ROOT } from './pages.ts';

/** Throws, with what buf said on stderr, where it fails. */
export function buf(...args: readonly string[]): void {
  const bin = join(ROOT, 'node_modules/.bin');
  execFileSync(join(bin, 'buf'), args, { cwd: ROOT, env: { ...process.env, PATH: `${bin}${delimiter}${process.env.PATH}` } });
}
