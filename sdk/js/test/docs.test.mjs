import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { transform } from 'esbuild';
import * as sdk from '../src/index.js';

const text = readFileSync(new URL('../../../docs/sdk.md', import.meta.url), 'utf8');
const types = readFileSync(new URL('../index.d.ts', import.meta.url), 'utf8');
const blocks = [...text.matchAll(/^```js\n(.*?)^```$/gms)].map(([, block]) => block);

// The browser test runs those that are for pages.
test('every example of docs/sdk.md is JavaScript', async () => {
  assert.ok(blocks.length > 10);
  for (const block of blocks) await transform(block, { format: 'esm', logLevel: 'silent' });
});

test('the examples import what there is', () => {
  const names = blocks.flatMap((block) =>
    [...block.matchAll(/import \{([^}]*)\} from '[^']*(?:portcullis)[^']*'/g)].flatMap(([, list]) => list.split(',')),
  );
  assert.ok(names.length > 0);
  for (const name of names) assert.ok(name.trim() in sdk, name);
});

test('docs/sdk.md tells every option and everything that a client has', () => {
  const client = sdk.createClient({ origin: 'https://shop.example' });
  for (const name of Object.keys(client)) assert.match(text, new RegExp(`^\\| \`${name}\\(`, 'm'));
  const [, options] = /interface ClientOptions \{(.*?)^\}/ms.exec(types);
  for (const [, name] of options.matchAll(/^ {2}(\w+)\?:/gm)) assert.match(text, new RegExp(`^\\| .*\`${name}\``, 'm'));
});
