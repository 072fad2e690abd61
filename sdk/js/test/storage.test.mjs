import 'fake-indexeddb/auto';
import assert from 'node:assert/strict';
import { IDBFactory } from 'fake-indexeddb';
import { beforeEach, test } from 'node:test';
import { createClient } from '../src/index.js';
import { gateAndClient } from './support.mjs';

// Each client here is a page: nothing but IndexedDB and the locks is shared between two.

beforeEach((t) => {
  globalThis.indexedDB = new IDBFactory();
  replaceNavigator(t, { locks: locks() });
});

test('a reloaded page goes on with its session, in a stream of its own', async (t) => {
  const { gate, client } = await gateAndClient(t);
  await client.fetch('/api/orders');
  await client.fetch('/api/orders');
  const reloaded = createClient({ origin: gate.origin });
  assert.equal((await reloaded.fetch('/api/orders')).status, 200);
  assert.equal(gate.sessions.count, 1);
  assert.deepEqual(gate.refused, []);
  const streams = gate.accepted.map((nonce) => nonce.split(' ')[1].split('.')[0]);
  assert.equal(new Set(streams).size, 2);
  assert.deepEqual(await reloaded.session(), await client.session());
});

test('the key that is kept stays non-extractable', async (t) => {
  const { client } = await gateAndClient(t);
  await client.fetch('/api/orders');
  const [{ key }] = await records();
  assert.equal(key.extractable, false);
  await assert.rejects(crypto.subtle.exportKey('raw', key));
});

test('tabs that start together open one session', async (t) => {
  const { gate } = await gateAndClient(t);
  const tabs = Array.from({ length: 5 }, () => createClient({ origin: gate.origin }));
  const answers = await Promise.all(tabs.map((tab) => tab.fetch('/api/orders')));
  assert.ok(answers.every((answer) => answer.ok));
  assert.equal(gate.sessions.count, 1);
});

test('tabs that lose their session together open one new session', async (t) => {
  const { gate } = await gateAndClient(t);
  const tabs = Array.from({ length: 3 }, () => createClient({ origin: gate.origin }));
  await Promise.all(tabs.map((tab) => tab.fetch('/api/orders')));
  gate.sessions.forget();
  const answers = await Promise.all(tabs.map((tab) => tab.fetch('/api/orders', { method: 'POST', body: 'x' })));
  assert.ok(answers.every((answer) => answer.ok));
  assert.equal(gate.sessions.count, 1);
});

test('a tab whose stored session is dead too opens a new one, in one call', async (t) => {
  const { gate, client } = await gateAndClient(t);
  await client.fetch('/api/orders');
  gate.sessions.forget();
  await createClient({ origin: gate.origin }).fetch('/api/orders');
  gate.sessions.forget();
  assert.equal((await client.fetch('/api/orders')).status, 200);
  assert.deepEqual(gate.refused, ['session-invalid', 'session-invalid', 'session-invalid']);
});

test('without locks two tabs may open two sessions, and both work', async (t) => {
  replaceNavigator(t, {});
  const { gate } = await gateAndClient(t);
  const tabs = [1, 2].map(() => createClient({ origin: gate.origin }));
  const answers = await Promise.all(tabs.map((tab) => tab.fetch('/api/orders')));
  assert.ok(answers.every((answer) => answer.ok));
  assert.ok(gate.sessions.count <= 2);
  assert.equal((await records()).length, 1);
});

test('a refusal under the lock reaches the caller, and opens no second time', async (t) => {
  const { gate, client } = await gateAndClient(t);
  let asked = 0;
  gate.beforeOpening = async () => {
    asked += 1;
    throw new Error('no');
  };
  gate.serveOwn = async (_, __, res) => {
    asked += 1;
    res.writeHead(500).end();
  };
  await assert.rejects(client.fetch('/api/orders'), { code: 'session-unavailable' });
  assert.equal(asked, 1);
});

test('a session that has ended is not taken up', async (t) => {
  const { gate, client } = await gateAndClient(t);
  gate.sessions.lifetime = 4;
  await client.fetch('/api/orders');
  gate.sessions.lifetime = 3600;
  assert.equal((await createClient({ origin: gate.origin }).fetch('/api/orders')).status, 200);
  assert.equal(gate.sessions.count, 2);
  assert.deepEqual(gate.refused, []);
});

test("the gate's time is kept with the session", async (t) => {
  const { gate, client } = await gateAndClient(t);
  gate.clockOffset = 600;
  await client.fetch('/api/orders');
  await createClient({ origin: gate.origin }).fetch('/api/orders');
  gate.clockOffset = 1200;
  await client.fetch('/api/orders');
  await createClient({ origin: gate.origin }).fetch('/api/orders');
  assert.deepEqual(gate.refused, ['signature-expired']);
});

test('each gate and each algorithm has a session of its own', async (t) => {
  const { gate, client } = await gateAndClient(t);
  const other = await gateAndClient(t, { algorithm: 'ed25519' });
  await client.fetch('/api/orders');
  await other.client.fetch('/api/orders');
  await createClient({ origin: gate.origin, algorithm: 'ed25519' }).fetch('/api/orders');
  assert.equal((await records()).length, 3);
  assert.deepEqual([gate.sessions.count, other.gate.sessions.count], [2, 1]);
});

test('close() forgets the session on disk too', async (t) => {
  const { gate, client } = await gateAndClient(t);
  await client.fetch('/api/orders');
  await client.close();
  assert.deepEqual(await records(), []);
  await assert.rejects(client.fetch('/api/orders'), { code: 'closed' });
  assert.equal((await createClient({ origin: gate.origin }).fetch('/api/orders')).status, 200);
  assert.equal(gate.sessions.count, 2);
});

test("storage: 'memory' leaves nothing behind", async (t) => {
  const { gate, client } = await gateAndClient(t, { storage: 'memory' });
  await client.fetch('/api/orders');
  await createClient({ origin: gate.origin, storage: 'memory' }).fetch('/api/orders');
  assert.equal(gate.sessions.count, 2);
  assert.deepEqual(await globalThis.indexedDB.databases(), []);
});

for (const [what, open] of Object.entries({
  'throws, as where storage is blocked': () => {
    throw new DOMException('denied', 'SecurityError');
  },
  'fails, as in some private windows': () => {
    const request = { error: new DOMException('no', 'InvalidStateError') };
    queueMicrotask(() => request.onerror());
    return request;
  },
  'never answers': () => ({}),
})) {
  test(`an IndexedDB that ${what} costs nothing but the session of the next page`, async (t) => {
    globalThis.indexedDB = { open };
    const { gate, client } = await gateAndClient(t);
    assert.equal((await client.fetch('/api/orders')).status, 200);
    assert.equal((await client.fetch('/api/orders')).status, 200);
    assert.equal(gate.sessions.count, 1);
  });
}

/** What is kept. */
async function records() {
  const opening = globalThis.indexedDB.open('portcullis-1');
  await new Promise((resolve) => {
    opening.onsuccess = resolve;
  });
  const all = opening.result.transaction('sessions').objectStore('sessions').getAll();
  await new Promise((resolve) => {
    all.onsuccess = resolve;
  });
  opening.result.close();
  return all.result;
}

/** `navigator.locks` of one browser, whose pages are the clients of a test. */
function locks() {
  const ends = new Map();
  return {
    request(name, { signal }, work) {
      signal.throwIfAborted();
      const before = ends.get(name) ?? Promise.resolve();
      const result = before.then(work);
      ends.set(
        name,
        result.catch(() => {}),
      );
      return result;
    },
  };
}

function replaceNavigator(t, value) {
  const former = Object.getOwnPropertyDescriptor(globalThis, 'navigator');
  Object.defineProperty(globalThis, 'navigator', { value, configurable: true });
  t.after?.(() => {
    if (former) Object.defineProperty(globalThis, 'navigator', former);
    else delete globalThis.navigator;
  });
}
