/** Opens the admin page in Chromium, waits until it shows what happened, and takes a picture of it. */

import assert from 'node:assert/strict';
import { launch } from './browsers.mjs';

const { PORTCULLIS_ADMIN: url, PORTCULLIS_SCREENSHOT: screenshot, PORTCULLIS_SECONDS: seconds = '3' } = process.env;
if (!url) {
  console.error('PORTCULLIS_ADMIN is missing: the address of the admin listener');
  process.exit(2);
}

const { browser, close } = await launch('chromium', { viewport: { width: 1280, height: 1000 } });
try {
  const page = await browser.newPage();
  const complaints = [];
  page.on('console', (message) => message.type() === 'error' && complaints.push(message.text()));
  page.on('pageerror', (error) => complaints.push(error.message));
  const asked = [];
  page.on('request', (request) => asked.push(request.url()));
  await page.goto(url);
  await page.waitForFunction(() => document.querySelectorAll('#offenders tr td').length > 3);
  await page.waitForFunction((count) => document.querySelector('#packets path.good')?.getAttribute('d').split('L').length > count, Number(seconds), { timeout: 90_000 });
  const text = await page.textContent('body');
  for (const expected of ['enforcing', 'signature-missing', 'banned_host', '10.77.31.3/32', 'scraping <b>']) {
    assert.ok(text.includes(expected), `the page does not show ${expected}`);
  }
  assert.equal(await page.locator('td b').count(), 0, 'text became markup');
  assert.ok(asked.every((one) => one.startsWith(url) || one.startsWith('data:')), `it asks elsewhere: ${asked}`);
  assert.deepEqual(complaints, []);
  // The policy holds: what is not the page's own does not run.
  const foreign = await page.evaluate(() => {
    const script = document.createElement('script');
    script.textContent = 'window.foreign = true';
    document.body.append(script);
    return window.foreign ?? false;
  });
  assert.equal(foreign, false, 'an inline script ran');
  if (screenshot) await page.screenshot({ path: screenshot, fullPage: true });
} finally {
  await close();
}
