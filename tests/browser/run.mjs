/** Drives a real browser through the gate. See README.md for what it needs and what it prints. */

import assert from 'node:assert/strict';
import { request as http } from 'playwright-core';
import { launch } from './browsers.mjs';
import { watchKeys } from './key-watch.mjs';
import { nameOf, observe } from './observe.mjs';
import { measureOverhead } from './overhead.mjs';
import { docsSteps } from './steps/docs.mjs';
import { pageSteps } from './steps/page.mjs';
import { sessionSteps } from './steps/session.mjs';
import { ticketSteps } from './steps/tickets.mjs';
import { workSteps } from './steps/work.mjs';
import { Tap } from './tap.mjs';

const { PORTCULLIS_URL: gate, BROWSER = 'chromium', PORTCULLIS_CALLS = '200', ...env } = process.env;
if (!gate) {
  console.error('PORTCULLIS_URL is missing: the address of the gate, such as http://localhost:8080');
  process.exit(2);
}

const tap = new Tap();
const { browser, close } = await launch(BROWSER, {
  baseURL: gate,
  ignoreHTTPSErrors: true,
  viewport: { width: 800, height: 420 },
});
try {
  await run();
} finally {
  await close();
  tap.end();
}
process.exit(tap.failed > 0 ? 1 : 0);

async function run() {
  const page = browser.pages()[0] ?? (await browser.newPage());
  const seen = observe(browser);
  await page.addInitScript(watchKeys);
  const context = {
    name: BROWSER,
    tap,
    browser,
    page,
    seen,
    gate,
    screenshot: env.PORTCULLIS_SCREENSHOT,
    doesWork: env.PORTCULLIS_WORK === '1',
  };
  await pageSteps(context);
  await sessionSteps(context);
  await ticketSteps(context);
  await workSteps(context);
  await docsSteps(context);
  await tap.step('a call costs little more than a plain one', () => overheadIsSmall(page));
  await tap.step('a copy of a signed call is refused', () => copyIsRefused(seen));
  await tap.step('no page had errors', () => assert.deepEqual(seen.errors, []));
}

async function overheadIsSmall(page) {
  const figures = await page.evaluate(measureOverhead, Number(PORTCULLIS_CALLS));
  tap.say(`timings ${JSON.stringify({ browser: BROWSER, ...figures })}`);
  assert.ok(figures.overhead_median_ms < 20, JSON.stringify(figures));
}

async function copyIsRefused({ sent }) {
  const original = sent.findLast((request) => request.url().endsWith('/api/ping'));
  const { 'content-length': _, ...headers } = await original.allHeaders();
  const curl = await http.newContext({ ignoreHTTPSErrors: true });
  const answer = await curl.get(original.url(), { headers });
  assert.ok([401, 403].includes(answer.status()), `${answer.status()}`);
  tap.say(`the copy: ${nameOf(await answer.json())}`);
  await curl.dispose();
}
