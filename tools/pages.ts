/** The pages of docs/ that are made from the sources. */
import { fileURLToPath } from 'node:url';
import { configReference } from '../core/config/reference.ts';
import { linkStatesPage } from '../link/states-page.ts';
import { cliPage } from './pages/cli.ts';
import { errorsPage } from './pages/errors.ts';
import { metricsPage } from './pages/metrics.ts';
import { readSources } from './tidy/source.ts';

export const ROOT = fileURLToPath(new URL('..', import.meta.url));

export interface Page {
  /** Relative to the repository. */
  readonly path: string;
  readonly text: string;
}

export function pages(): readonly Page[] {
  return [
    { path: 'docs/cli.md', text: cliPage() },
    { path: 'docs/configuration.md', text: configReference() },
    { path: 'docs/errors.md', text: errorsPage() },
    { path: 'docs/link-states.md', text: linkStatesPage() },
    { path: 'docs/metrics.md', text: metricsPage(readSources(ROOT)) },
  ];
}
