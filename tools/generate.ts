/** `npm run generate`: makes everything that is committed but made from something else. tools/generated.test.ts says when it is due. */
import { writeFileSync } from 'node:fs';
import { buf } from './buf.ts';
import { pages, ROOT } from './pages.ts';

buf('generate');
for (const { path, text } of pages()) writeFileSync(`${ROOT}${path}`, text);
