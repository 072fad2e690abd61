import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createClient } from '../src/index.js';
import { Refused } from './gate/refusal.js';
import { gateAndClient } from './support.mjs';

test('the first call opens a session, later calls use it', async (t) => {
  const { gate, client } = await gateAndClient(t);
  assert.equal((await client.fetch('/api/orders')).status, 200);
  assert.equal((await client.fetch('/api/orders')).status, 200);
  assert.equal(gate.sessions.count, 1);
});

test('concurrent first calls share one session', async (t) => {
  const { gate, client } = await gateAndClient(t);
  const answers = await Promise.all(Array.from({ length: 20 }, () => client.fetch('/api/orders')));
  assert.ok(answers.every((answer) => answer.ok));
  assert.equal(gate.sessions.count, 1);
});

test('every key is non-extractable and no key bytes come into script', async (t) => {
  const keys = [];
  const { client } = await gateAndClient(t, { crypto: recordingCrypto(keys) });
  await client.fetch('/api/orders');
  const secret = keys.filter((key) => key.type !== 'public');
  assert.deepEqual(secret.map((key) => key.algorithm.name).sort(), ['ECDH', 'HKDF', 'HMAC']);
  for (const key of secret) {
    assert.equal(key.extractable, false);
    await assert.rejects(crypto.subtle.exportKey('raw', key));
  }
  const hmac = secret.find((key) => key.algorithm.name === 'HMAC');
  assert.deepEqual(hmac.usages, ['sign']);
  assert.equal(hmac.algorithm.length, 256);
});

test('session() tells what is known, without the key', async (t) => {
  const { gate, client } = await gateAndClient(t);
  const session = await client.session();
  assert.deepEqual(Object.keys(session), ['id', 'alg', 'expiresAt']);
  assert.ok(session.expiresAt > new Date());
  assert.equal(gate.sessions.count, 1);
});

test('a session about to end is replaced before a call fails', async (t) => {
  const { gate, client } = await gateAndClient(t);
  gate.sessions.lifetime = 4;
  await client.fetch('/api/orders');
  gate.sessions.lifetime = 3600;
  await client.fetch('/api/orders');
  assert.equal(gate.sessions.count, 2);
  assert.deepEqual(gate.refused, []);
});

test('a refused opening rejects with the problem, and the next call tries again', async (t) => {
  const { gate, client } = await gateAndClient(t);
  gate.beforeOpening = async () => {
    throw new Refused('quota-exceeded');
  };
  await assert.rejects(client.fetch('/api/orders'), {
    name: 'PortcullisError',
    code: 'quota-exceeded',
    status: 429,
    retryAfter: 7,
  });
  gate.beforeOpening = async () => {};
  assert.equal((await client.fetch('/api/orders')).status, 200);
});

test('an endpoint that is no gate is named in the error', async (t) => {
  const { gate, client } = await gateAndClient(t, { endpoint: '/elsewhere' });
  gate.isProtected = () => false;
  await assert.rejects(client.fetch('/api/orders'), {
    code: 'session-unavailable',
    message: /\/elsewhere answered 200/,
  });
});

test('an insecure context gets an error that says what to do', async () => {
  const client = createClient({ origin: 'http://shop.example', crypto: { getRandomValues() {} } });
  await assert.rejects(client.fetch('/api/orders'), { code: 'insecure-context', message: /https/ });
});

test('without a page the origin has to be given', () => {
  assert.throws(() => createClient(), /`origin` is needed/);
});

test('a closed client refuses to sign', async (t) => {
  const { client } = await gateAndClient(t);
  await client.fetch('/api/orders');
  client.close();
  await assert.rejects(client.fetch('/api/orders'), { code: 'closed' });
});

test('a client that is closed while a call recovers opens no further session', async (t) => {
  const { gate, client } = await gateAndClient(t);
  gate.refuseIf = () => {
    client.close();
    return 'session-invalid';
  };
  await assert.rejects(client.fetch('/api/orders'), { code: 'closed' });
  assert.equal(gate.sessions.count, 1);
});

function recordingCrypto(keys) {
  const keep = (made) => keys.push(...(made.privateKey ? [made.privateKey, made.publicKey] : [made]));
  const makers = ['generateKey', 'importKey', 'deriveKey'];
  const subtle = new Proxy(crypto.subtle, {
    get(target, name) {
      return async (...args) => {
        const made = await target[name](...args);
        if (makers.includes(name)) keep(made);
        return made;
      };
    },
  });
  return { subtle, getRandomValues: crypto.getRandomValues.bind(crypto) };
}
