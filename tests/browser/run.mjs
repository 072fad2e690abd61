/** Drives a real Chromium through the gate. See README.md for what it needs and what it prints. */

import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { chromium, request as http } from 'playwright-core';
import { reportKeys, watchKeys } from './key-watch.mjs';
import { measureOverhead } from './overhead.mjs';
import { restarter } from './restart.mjs';
import { Tap } from './tap.mjs';

const FLAGS = [
  '--no-sandbox',
  '--disable-gpu',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
];
const PROBLEMS = '/.well-known/portcullis/problems/';
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

const { PORTCULLIS_URL, CHROMIUM = '/usr/bin/chromium', PORTCULLIS_SCREENSHOT, PORTCULLIS_CALLS = '200' } = process.env;
if (!PORTCULLIS_URL) {
  console.error('PORTCULLIS_URL is missing: the address of the gate, such as http://localhost:8080');
  process.exit(2);
}

const tap = new Tap();
const profile = await mkdtemp(join(tmpdir(), 'portcullis-browser-'));
const browser = await chromium.launchPersistentContext(profile, {
  executablePath: CHROMIUM,
  args: FLAGS,
  baseURL: PORTCULLIS_URL,
  ignoreHTTPSErrors: true,
  viewport: { width: 800, height: 420 },
});
try {
  await run();
} finally {
  await browser.close();
  await rm(profile, { recursive: true, force: true });
  tap.end();
}
process.exit(tap.failed > 0 ? 1 : 0);

async function run() {
  const page = browser.pages()[0] ?? (await browser.newPage());
  const seen = observe(page);
  await page.addInitScript(watchKeys);

  await tap.step('a plain call is refused', plainCallIsRefused);
  await tap.step('the page loads its orders and renders them', () => listIsRendered(page));
  await tap.step('a new order is saved with POST', () => orderIsCreated(page, seen));
  await tap.step('a changed order is saved with PUT', () => orderIsChanged(page, seen));
  await screenshot(page);
  await tap.step('no key is extractable, and no key bytes come into script', () => keysStayInside(page));
  await tap.step('no key is on the wire', () => keyIsNotOnTheWire(seen));
  await tap.step('fetch without the client is refused in the same page', () => bareFetchIsRefused(page));
  await tap.step('a link typed into the browser is refused and shows the problem', typedLinkIsRefused);
  for (const target of TARGETS) await tap.step(`signed as sent: ${target}`, () => targetPasses(page, target));
  await tap.step('bodies arrive as they were signed', () => bodiesPass(page));
  await tap.step('50 parallel calls pass', () => parallelCallsPass(page, 50));
  await tap.step('a call costs little more than a plain one', () => overheadIsSmall(page));
  await restartStep(page, seen);
  await tap.step('a copy of a signed call is refused', () => copyIsRefused(seen));
  await tap.step('each load of the page opened one session, and none had errors', () => pageWasQuiet(seen));
}

/** Notes what the page sends, receives and complains about. */
function observe(page) {
  const seen = { sent: [], sessions: [], challenges: 0, errors: [] };
  page.on('request', (request) => seen.sent.push(request));
  page.on('response', (response) => {
    if (response.url().endsWith('/.well-known/portcullis/session')) seen.sessions.push(response);
    if (/;nonce="~/.test(response.headers()['accept-signature'])) seen.challenges += 1;
  });
  page.on('pageerror', (error) => seen.errors.push(String(error)));
  page.on('console', (message) => {
    const isRefusal = message.text().startsWith('Failed to load resource');
    if (message.type() === 'error' && !isRefusal) seen.errors.push(message.text());
  });
  return seen;
}

async function plainCallIsRefused() {
  const curl = await http.newContext({ baseURL: PORTCULLIS_URL, ignoreHTTPSErrors: true });
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
  await page.fill('[name=item]', 'Grating, größer');
  await page.fill('[name=count]', '3');
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

async function screenshot(page) {
  if (PORTCULLIS_SCREENSHOT) await page.screenshot({ path: PORTCULLIS_SCREENSHOT });
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

async function keyIsNotOnTheWire({ sessions }) {
  const answer = await sessions.at(-1).json();
  assert.equal(answer.key_agreement, 'ecdh-p256');
  assert.equal(answer.key, undefined);
  assert.equal(sessions.at(-1).headers()['cache-control'], 'no-store');
}

async function bareFetchIsRefused(page) {
  const status = await page.evaluate(async () => (await fetch('/api/orders')).status);
  assert.equal(status, 401);
}

async function typedLinkIsRefused() {
  const tab = await browser.newPage();
  const answer = await tab.goto('/api/orders');
  assert.equal(answer.status(), 403);
  assert.match(answer.headers()['content-type'], /^application\/problem\+json/);
  const shown = await tab.evaluate(() => document.body.innerText);
  assert.match(shown, /navigation-refused/);
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
    // Each serialisation of a form has a boundary of its own, of one length.
    assert.equal(received, sent, isForm ? 'form' : 'body');
  }
}

async function parallelCallsPass(page, count) {
  const statuses = await page.evaluate(
    (calls) =>
      Promise.all(Array.from({ length: calls }, async () => (await globalThis.shop.client.fetch('/api/ping')).status)),
    count,
  );
  assert.deepEqual(new Set(statuses), new Set([200]));
}

async function overheadIsSmall(page) {
  const figures = await page.evaluate(measureOverhead, Number(PORTCULLIS_CALLS));
  tap.say(`timings ${JSON.stringify(figures)}`);
  assert.ok(figures.overhead_median_ms < 20, JSON.stringify(figures));
}

async function restartStep(page, seen) {
  const name = 'calls survive a restart of the gate, with a fresh nonce and the same session';
  const restart = restarter(process.env);
  if (!restart) return tap.skip(name, 'set PORTCULLIS_RESTART or PORTCULLIS_RESTART_URL');
  return tap.step(name, async () => {
    const sessionsBefore = seen.sessions.length;
    await restart();
    const { status, text } = await callInPage(page, '/api/echo', { method: 'POST', body: 'after the restart' });
    assert.equal(status, 200, text);
    assert.equal(seen.challenges, 1);
    assert.equal(seen.sessions.length, sessionsBefore);
    await parallelCallsPass(page, 20);
  });
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

async function pageWasQuiet({ sessions, errors }) {
  assert.deepEqual(errors, []);
  const loads = 2;
  assert.equal(sessions.length, loads);
}

function callInPage(page, target, init) {
  return page.evaluate(
    async ([url, options]) => {
      const answer = await globalThis.shop.client.fetch(url, options);
      return { status: answer.status, text: await answer.text() };
    },
    [target, init],
  );
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

function nameOf({ type }) {
  return type.startsWith(PROBLEMS) ? type.slice(PROBLEMS.length) : type;
}
