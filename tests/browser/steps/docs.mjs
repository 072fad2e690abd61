/** The examples of docs/sdk.md, as they are printed there. */

import assert from 'node:assert/strict';
import { examples, isForWorkers } from '../examples.mjs';
import { navigation } from '../observe.mjs';

export async function docsSteps({ tap, browser }) {
  // The others import the package: the tests of the SDK read them.
  const forPages = examples().filter((block) => /\bPortcullis\b/.test(block) && !isForWorkers(block));
  await tap.step('docs/sdk.md has examples', () => assert.ok(forPages.length > 8));
  for (const [index, block] of forPages.entries()) {
    await tap.step(`docs/sdk.md, example ${index + 1}`, () => runs(browser, block));
  }
  await tap.step('docs/sdk.md, the service worker signs calls and no navigation', () => workerSigns(browser));
}

/** The backend serves the example as /worker.js. */
async function workerSigns(browser) {
  const tab = await browser.newPage();
  await tab.goto('/');
  await tab.evaluate(async () => {
    await navigator.serviceWorker.register('/worker.js');
    await navigator.serviceWorker.ready;
  });
  await tab.reload();
  const statuses = await tab.evaluate(async () => {
    const send = async (init) => (await fetch('/api/echo', init)).status;
    return [await send(), await send({ method: 'POST', body: 'x' })];
  });
  assert.deepEqual(statuses, [200, 200]);
  const typed = await navigation(tab, () => tab.goto('/api/orders').catch(() => {}));
  assert.equal(typed.status(), 403);
  await tab.goto('/');
  await tab.evaluate(async () => (await navigator.serviceWorker.ready).unregister());
  await tab.close();
}

async function runs(browser, block) {
  const tab = await browser.newPage();
  await tab.goto('/');
  await tab.evaluate(`(async () => {\n${block}\n})()`);
  await tab.close();
}
