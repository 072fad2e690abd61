/** The examples of docs/sdk.md, as they are printed there. */

import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';

const PAGE = new URL('../../../docs/sdk.md', import.meta.url);

export async function docsSteps({ tap, browser, skipSockets }) {
  const text = await readFile(PAGE, 'utf8');
  const blocks = [...text.matchAll(/^```js\n(.*?)^```$/gms)].map(([, block]) => block);
  // The others import the package, or belong into a service worker: the tests of the SDK read them.
  const forPages = blocks.filter((block) => /\bPortcullis\b/.test(block));
  await tap.step('docs/sdk.md has examples', () => assert.ok(forPages.length > 8));
  for (const [index, block] of forPages.entries()) {
    const name = `docs/sdk.md, example ${index + 1}`;
    if (skipSockets && block.includes('webSocket(')) tap.skip(name, skipSockets);
    else await tap.step(name, () => runs(browser, block));
  }
}

async function runs(browser, block) {
  const tab = await browser.newPage();
  await tab.goto('/');
  await tab.evaluate(`(async () => {\n${block}\n})()`);
  await tab.close();
}
