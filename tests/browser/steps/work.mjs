/** A gate that asks for work gets it, and the page goes on moving. */

import assert from 'node:assert/strict';
import { opened } from '../observe.mjs';

export async function workSteps({ tap, browser, seen, doesWork }) {
  const steps = {
    'the work is done in a worker, with the page’s policy': () => inWorker(browser, seen),
    'where the policy forbids workers, the work leaves the page time to move': () => inSlices(browser, seen),
  };
  for (const [name, step] of Object.entries(steps)) {
    if (doesWork) await tap.step(name, step);
    else tap.skip(name, 'the gate does not ask for work: set PORTCULLIS_WORK=1 if it does');
  }
}

async function inWorker(browser, seen) {
  const { scripts, policyErrors } = await newSession(browser, seen, '/');
  assert.equal(scripts, 1);
  assert.deepEqual(policyErrors, []);
}

async function inSlices(browser, seen) {
  const { longest } = await newSession(browser, seen, '/no-worker/');
  // Far below what all the work takes in one piece, and far above half a frame on a busy machine.
  assert.ok(longest < 500, `the page stood still for ${longest} ms`);
}

/** A page with a client of its own, whose first call has to open a session. */
async function newSession(browser, seen, path) {
  const before = { opened: opened(seen).length, sent: seen.sent.length, errors: seen.errors.length };
  const tab = await browser.newPage();
  await tab.goto(path);
  const { status, longest } = await tab.evaluate(async () => {
    let last = performance.now();
    let longest = 0;
    const clock = setInterval(() => {
      longest = Math.max(longest, performance.now() - last);
      last = performance.now();
    }, 5);
    const client = globalThis.Portcullis.createClient({ storage: 'memory' });
    const { status } = await client.fetch('/api/ping');
    clearInterval(clock);
    return { status, longest };
  });
  assert.equal(status, 200);
  assert.ok(opened(seen).length > before.opened);
  const isWorker = (request) => request.url().endsWith('/.well-known/portcullis/work.js');
  const scripts = seen.sent.slice(before.sent).filter(isWorker).length;
  const policyErrors = seen.errors.slice(before.errors);
  // Forbidding the worker is the point of that page; the browser says so, which is no error of ours.
  seen.errors.length = before.errors;
  await tab.close();
  return { longest, scripts, policyErrors };
}
