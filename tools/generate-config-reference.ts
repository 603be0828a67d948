/** Writes docs/configuration.md. A test says when it is due. */
import { writeFileSync } from 'node:fs';
import { configReference } from '../core/config/reference.ts';

writeFileSync(new URL('../docs/configuration.md', import.meta.url), configReference());
