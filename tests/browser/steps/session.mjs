/** One session for all pages of the browser: over reloads, in two tabs, over a restart of the gate. */

import assert from 'node:assert/strict';
import { callInPage, opened } from '../observe.mjs';
import { restarter } from '../restart.mjs';
import { parallelCallsPass } from './page.mjs';

export async function sessionSteps(context) {
  const { tap, browser, page, seen } = context;
  await tap.step('a reloaded page goes on with its session', () => reloadKeepsSession(page, seen));
  await tap.step('two tabs share the session and do not get in each other’s way', () => tabsShare(browser, page, seen));
  await tap.step('the key that is kept cannot be read', () => keptKeyIsClosed(page));
  await tap.step('tabs that lose their session together open one new session', () => tabsReplace(browser, page, seen));
  await restartStep(context);
  await tap.step('close() forgets the session on disk too', () => closeForgets(browser, seen));
}

async function reloadKeepsSession(page, seen) {
  const before = opened(seen).length;
  const ids = new Set();
  for (let load = 0; load < 3; load += 1) {
    await page.reload();
    await page.waitForSelector('#orders tr');
    ids.add(await sessionId(page));
  }
  assert.equal(ids.size, 1);
  assert.equal(opened(seen).length, before);
}

async function tabsShare(browser, page, seen) {
  const before = opened(seen).length;
  const tab = await openTab(browser);
  assert.equal(await sessionId(tab), await sessionId(page));
  await Promise.all([page, tab, page, tab].map((each) => parallelCallsPass(each, 20)));
  assert.equal(opened(seen).length, before);
  await tab.close();
}

async function keptKeyIsClosed(page) {
  const outcome = await page.evaluate(async () => {
    const opening = indexedDB.open('portcullis-1');
    await new Promise((resolve) => (opening.onsuccess = resolve));
    const all = opening.result.transaction('sessions').objectStore('sessions').getAll();
    await new Promise((resolve) => (all.onsuccess = resolve));
    opening.result.close();
    const [{ key }] = all.result;
    const attempt = await crypto.subtle.exportKey('raw', key).then(
      () => 'exported',
      (error) => error.name,
    );
    return { count: all.result.length, extractable: key.extractable, attempt };
  });
  assert.deepEqual(outcome, { count: 1, extractable: false, attempt: 'InvalidAccessError' });
}

/** The session's name is spoilt where the pages keep it, as if the gate had forgotten it. */
async function tabsReplace(browser, page, seen) {
  await page.evaluate(async () => {
    const opening = indexedDB.open('portcullis-1');
    await new Promise((resolve) => (opening.onsuccess = resolve));
    const table = opening.result.transaction('sessions', 'readwrite').objectStore('sessions');
    const keys = table.getAllKeys();
    await new Promise((resolve) => (keys.onsuccess = resolve));
    const found = table.get(keys.result[0]);
    await new Promise((resolve) => (found.onsuccess = resolve));
    const put = table.put({ ...found.result, id: found.result.id.replace(/^(.{10})..../, '$1AAAA') }, keys.result[0]);
    await new Promise((resolve) => (put.onsuccess = resolve));
    opening.result.close();
  });
  const before = opened(seen).length;
  const tabs = await Promise.all([openTab(browser), openTab(browser)]);
  await Promise.all([...tabs, ...tabs].map((tab) => parallelCallsPass(tab, 5)));
  const ids = await Promise.all(tabs.map(sessionId));
  assert.equal(ids[0], ids[1]);
  assert.equal(opened(seen).length, before + 1);
  for (const tab of tabs) await tab.close();
  await page.reload();
}

async function restartStep({ tap, page, seen }) {
  const name = 'calls survive a restart of the gate, with a fresh nonce and the same session';
  const restart = restarter(process.env);
  if (!restart) return tap.skip(name, 'set PORTCULLIS_RESTART or PORTCULLIS_RESTART_URL');
  return tap.step(name, async () => {
    await page.waitForSelector('#orders tr');
    const before = { sessions: opened(seen).length, challenges: seen.challenges };
    await restart();
    const { status, text } = await callInPage(page, '/api/echo', { method: 'POST', body: 'after the restart' });
    assert.equal(status, 200, text);
    assert.equal(seen.challenges, before.challenges + 1);
    assert.equal(opened(seen).length, before.sessions);
    await parallelCallsPass(page, 20);
  });
}

async function closeForgets(browser, seen) {
  const before = opened(seen).length;
  const tab = await openTab(browser);
  await tab.evaluate(() => globalThis.shop.client.close());
  await tab.reload();
  await tab.waitForSelector('#orders tr');
  assert.equal(opened(seen).length, before + 1);
  await tab.close();
}

async function openTab(browser) {
  const tab = await browser.newPage();
  await tab.goto('/');
  await tab.waitForSelector('#orders tr');
  return tab;
}

function sessionId(page) {
  return page.evaluate(async () => (await globalThis.shop.client.session()).id);
}
