/** A Backbone page works through the gate, and nothing else does. */

import assert from 'node:assert/strict';
import { request as http } from 'playwright-core';
import { reportKeys } from '../key-watch.mjs';
import { callInPage, nameOf, navigation, opened } from '../observe.mjs';

const TARGETS = [
  '/api/echo?',
  '/api/echo?a=1&a=2&a=',
  '/api/echo/ä/日本?q=日本+x%20y z',
  '/api/echo//double///slash',
  "/api/echo/a%3Bv=1/b,c:d@e!$&'()*+=?a;b",
  '/api/echo/"quotes"?x="y"&z=<>|^`{}',
  '/api/echo/./a/../b?question?mark??',
  '/api/echo/%7Euser/100%25?😀=%F0%9F%98%80',
];

export async function pageSteps({ name, tap, browser, page, seen, gate, screenshot }) {
  await tap.step('a plain call is refused', () => plainCallIsRefused(gate));
  await tap.step('the page loads its orders and renders them', () => listIsRendered(page));
  await tap.step('no key is extractable, and no key bytes come into script', () => keysStayInside(page));
  await tap.step('no key is on the wire', () => keyIsNotOnTheWire(seen));
  await tap.step('a new order is saved with POST', () => orderIsCreated(page, seen));
  await tap.step('a changed order is saved with PUT', () => orderIsChanged(page, seen));
  if (screenshot) await page.screenshot({ path: screenshot });
  await tap.step('jQuery sends through the client, and reads a refusal', () => jQueryWorks(page));
  await tap.step('fetch without the client is refused in the same page', () => bareFetchIsRefused(page));
  await tap.step('a link typed into the browser is refused and shows the problem', () => typedLinkIsRefused(browser, name === 'chromium'));
  for (const target of TARGETS) await tap.step(`signed as sent: ${target}`, () => targetPasses(page, target));
  await tap.step('bodies arrive as they were signed', () => bodiesPass(page));
  await tap.step('50 parallel calls pass', () => parallelCallsPass(page, 50));
}

export async function parallelCallsPass(page, count) {
  const statuses = await page.evaluate(
    (calls) =>
      Promise.all(Array.from({ length: calls }, async () => (await globalThis.shop.client.fetch('/api/ping')).status)),
    count,
  );
  assert.deepEqual(new Set(statuses), new Set([200]));
}

async function plainCallIsRefused(gate) {
  const curl = await http.newContext({ baseURL: gate, ignoreHTTPSErrors: true });
  const answer = await curl.get('/api/orders');
  assert.equal(answer.status(), 401);
  assert.match(answer.headers()['content-type'], /^application\/problem\+json/);
  assert.match(answer.headers()['www-authenticate'], /profile="portcullis-1"/);
  assert.equal(nameOf(await answer.json()), 'signature-required');
  await curl.dispose();
}

async function listIsRendered(page) {
  await page.goto('/');
  await page.waitForSelector('#orders tr');
  assert.deepEqual(await rows(page), [
    ['1', 'Rope, 20 m', '1'],
    ['2', 'Winch', '2'],
  ]);
}

async function orderIsCreated(page, seen) {
  await page.$eval('#new-order', ({ elements }) => {
    elements.namedItem('item').value = 'Grating, größer';
    elements.namedItem('count').value = '3';
  });
  await page.click('#new-order button');
  await page.waitForSelector('tr[data-id="3"]');
  assert.deepEqual((await rows(page))[2], ['3', 'Grating, größer', '3']);
  assert.equal(lastSent(seen), 'POST /api/orders');
}

async function orderIsChanged(page, seen) {
  await page.click('tr[data-id="3"] button');
  await page.waitForFunction(() => document.querySelector('tr[data-id="3"] td:nth-child(3)').textContent === '4');
  assert.equal(lastSent(seen), 'PUT /api/orders/3');
  await page.reload();
  await page.waitForSelector('tr[data-id="3"]');
  assert.deepEqual((await rows(page))[2], ['3', 'Grating, größer', '4']);
}

async function keysStayInside(page) {
  const report = await page.evaluate(reportKeys);
  assert.deepEqual(report.secret.map((key) => key.name).sort(), ['ECDH', 'HKDF', 'HMAC']);
  assert.ok(report.secret.every((key) => key.extractable === false));
  assert.ok(
    report.exportAttempts.every((outcome) => outcome === 'InvalidAccessError' || outcome === 'NotSupportedError'),
  );
  assert.deepEqual(report.exported, []);
  assert.deepEqual(report.importedSecrets, []);
  assert.equal(report.derivedBits, 0);
}

async function keyIsNotOnTheWire(seen) {
  const [answer] = opened(seen);
  const document = await answer.json();
  assert.equal(document.key_agreement, 'ecdh-p256');
  assert.equal(document.key, undefined);
  assert.equal(answer.headers()['cache-control'], 'no-store');
}

async function jQueryWorks(page) {
  const outcome = await page.evaluate(async () => {
    const { jQuery: $, Portcullis, shop } = globalThis;
    const undo = Portcullis.installJQuery($, shop.client);
    const echoed = await $.ajax('/api/echo?a=1', { method: 'PUT', data: { b: ['ä', 2] }, dataType: 'json' });
    const got = await $.get('/api/echo', { q: 'x y' }, undefined, 'json');
    const failed = await $.get('/api/nothing').catch((xhr) => ({ status: xhr.status }));
    const timedOut = await $.ajax('/api/slow', { timeout: 50 }).catch((xhr) => xhr.statusText);
    undo();
    const refused = await $.get('/api/orders').catch((xhr) => ({ status: xhr.status, title: xhr.responseJSON?.title }));
    return { echoed, got, failed, timedOut, refused };
  });
  const form = 'b%5B%5D=%C3%A4&b%5B%5D=2';
  assert.deepEqual(outcome.echoed, { method: 'PUT', url: '/api/echo?a=1', bytes: form.length });
  assert.equal(outcome.got.url, '/api/echo?q=x%20y');
  assert.deepEqual(outcome.failed, { status: 404 });
  assert.equal(outcome.timedOut, 'timeout');
  assert.equal(outcome.refused.status, 401);
}

async function bareFetchIsRefused(page) {
  const status = await page.evaluate(async () => (await fetch('/api/orders')).status);
  assert.equal(status, 401);
}

async function typedLinkIsRefused(browser, isChromium) {
  const tab = await browser.newPage();
  // Firefox's driver takes a refusal for a failure of its own.
  const answer = await navigation(tab, () => tab.goto('/api/orders').catch(() => {}));
  assert.equal(answer.status(), 403);
  assert.match(answer.headers()['content-type'], /^application\/problem\+json/);
  // Firefox shows a page of its own for a refusal that is no HTML.
  if (isChromium) assert.match(await tab.evaluate(() => document.body.innerText), /navigation-refused/);
  await tab.close();
}

async function targetPasses(page, target) {
  const { status, text } = await callInPage(page, target);
  assert.equal(status, 200, text);
}

async function bodiesPass(page) {
  const results = await page.evaluate(async () => {
    const form = new FormData();
    form.append('file', new Blob([new Uint8Array([0, 1, 255])], { type: 'image/png' }), 'ä.png');
    const bodies = ['', 'ünïcode', form, new Blob(['x'.repeat(100_000)]), new URLSearchParams({ a: 'ä b' }), undefined];
    const send = async (body) => {
      const answer = await globalThis.shop.client.fetch('/api/echo', { method: 'POST', body });
      const sent = (await new Response(body).arrayBuffer()).byteLength;
      return { status: answer.status, sent, received: (await answer.json()).bytes, isForm: body instanceof FormData };
    };
    return Promise.all(bodies.map(send));
  });
  for (const { status, sent, received, isForm } of results) {
    assert.equal(status, 200);
    // Each serialisation of a form has a boundary of its own, and not every browser's are of one length.
    if (!isForm) assert.equal(received, sent);
  }
}

function rows(page) {
  return page.$$eval('#orders tr', (lines) =>
    lines.map((line) => [...line.querySelectorAll('td')].slice(0, 3).map((cell) => cell.textContent)),
  );
}

function lastSent({ sent }) {
  const request = sent.findLast((candidate) => candidate.url().includes('/api/'));
  return `${request.method()} ${new URL(request.url()).pathname}`;
}
