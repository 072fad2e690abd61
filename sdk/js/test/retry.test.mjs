import assert from 'node:assert/strict';
import { test } from 'node:test';
import { gateAndClient } from './support.mjs';

/** A `fetch` whose first calls to the API find no line. */
function brokenLine(times) {
  const seen = [];
  const broken = async (input, init) => {
    const isCall = input instanceof Request;
    if (isCall) seen.push(input.headers.get('signature-input'));
    if (isCall && seen.length <= times) throw new TypeError('fetch failed');
    return fetch(input, init);
  };
  return { broken, seen };
}

for (const method of ['GET', 'HEAD', 'PUT', 'DELETE']) {
  test(`${method} is tried again after a lost connection, signed anew`, async (t) => {
    const { broken, seen } = brokenLine(2);
    const { gate, client } = await gateAndClient(t, { fetch: broken });
    assert.equal((await client.fetch('/api/orders', { method, body: method === 'PUT' ? 'x' : undefined })).status, 200);
    assert.equal(new Set(seen).size, 3);
    assert.deepEqual(gate.refused, []);
  });
}

test('POST is not tried again after a lost connection: it may have arrived', async (t) => {
  const { broken, seen } = brokenLine(1);
  const { client } = await gateAndClient(t, { fetch: broken });
  await assert.rejects(client.fetch('/api/orders', { method: 'POST', body: 'x' }), TypeError);
  assert.equal(seen.length, 1);
});

test('after two retries the error is the caller\'s; with `retries: 0` at once', async (t) => {
  for (const [retries, calls] of [
    [undefined, 3],
    [0, 1],
    [1, 2],
  ]) {
    const { broken, seen } = brokenLine(9);
    const { client } = await gateAndClient(t, { fetch: broken, retries });
    await assert.rejects(client.fetch('/api/orders'), { message: 'fetch failed' });
    assert.equal(seen.length, calls);
  }
});

test('a session is opened again after a lost connection', async (t) => {
  let lost = 0;
  const broken = (input, init) => (lost++ === 0 ? Promise.reject(new TypeError('fetch failed')) : fetch(input, init));
  const { client } = await gateAndClient(t, { fetch: broken });
  assert.equal((await client.fetch('/api/orders')).status, 200);
});

for (const code of ['quota-exceeded', 'overloaded']) {
  test(`${code}: every method waits as long as it is told, if that is short`, async (t) => {
    const { gate, client } = await gateAndClient(t);
    for (const method of ['GET', 'POST']) {
      const codes = [code];
      gate.refuseIf = () => codes.shift();
      gate.retryAfter = 0;
      assert.equal((await client.fetch('/api/orders', { method })).status, 200);
    }
    const codes = [code];
    gate.refuseIf = () => codes.shift();
    gate.retryAfter = 60;
    assert.ok([429, 503].includes((await client.fetch('/api/orders')).status));
  });
}

test('upstream-unavailable: only what may be repeated is', async (t) => {
  const { gate, client } = await gateAndClient(t);
  for (const [method, status] of [
    ['GET', 200],
    ['POST', 502],
  ]) {
    const codes = ['upstream-unavailable'];
    gate.refuseIf = () => codes.shift();
    assert.equal((await client.fetch('/api/orders', { method })).status, status);
  }
});

test("the application's own 503 is not ours to repeat", async (t) => {
  const upstream = () => ({ status: 503, headers: { 'retry-after': '0' } });
  const { gate, client } = await gateAndClient(t, { upstream });
  assert.equal((await client.fetch('/api/orders')).status, 503);
  assert.equal(gate.accepted.length, 1);
});

test('an abort ends the waiting', async (t) => {
  const { broken, seen } = brokenLine(9);
  const { client } = await gateAndClient(t, { fetch: broken });
  const controller = new AbortController();
  const call = client.fetch('/api/orders', { signal: controller.signal });
  setTimeout(() => controller.abort(), 50);
  await assert.rejects(call, { name: 'AbortError' });
  assert.equal(seen.length, 1);
});

test('an offline browser waits for its line', async (t) => {
  const listeners = [];
  globalThis.addEventListener = (name, listener) => listeners.push([name, listener]);
  Object.defineProperty(globalThis, 'navigator', { value: { onLine: false }, configurable: true });
  t.after(() => {
    delete globalThis.addEventListener;
    delete globalThis.navigator;
  });
  const { broken, seen } = brokenLine(1);
  const { client } = await gateAndClient(t, { fetch: broken });
  const call = client.fetch('/api/orders');
  while (listeners.length === 0) await new Promise((resolve) => setTimeout(resolve, 1));
  assert.equal(seen.length, 1);
  assert.equal(listeners[0][0], 'online');
  listeners[0][1]();
  assert.equal((await call).status, 200);
});
