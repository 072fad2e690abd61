import { mkdirSync, writeFileSync } from 'node:fs';
import { bundles } from './bundle.mjs';
import { report } from './size.mjs';

const root = new URL('../', import.meta.url);
mkdirSync(new URL('dist', root), { recursive: true });
for (const [path, text] of Object.entries(await bundles())) writeFileSync(new URL(path, root), text);
await report();
