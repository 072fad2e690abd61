import assert from 'node:assert/strict';
import { test } from 'node:test';
import { echo, gateAndClient, spyingFetch } from './support.mjs';

const NASTY_TARGETS = [
  '/',
  '/api?',
  '/api?a=1&a=2&a=',
  '/api/%7Euser/%e4%bd%a0',
  '/api/ä/日本?q=日本+x%20y z',
  '/api//double///slash',
  "/api/a;v=1;w=2/b,c:d@e!$&'()*+=",
  '/api/"quotes"?x="y"&z=<>|^`{}',
  '/api/50%?percent=100%',
  '/api/./a/../b',
  '/api?back\\slash',
  '/api?question?mark??',
  '/api?%F0%9F%98%80=😀',
  '/api/x#fragment?not=query',
];

for (const target of NASTY_TARGETS) {
  test(`what is signed is what is sent: ${target}`, async (t) => {
    const { client } = await gateAndClient(t);
    const answer = await client.fetch(target);
    assert.equal(answer.status, 200, JSON.stringify(await answer.clone().json()));
  });
}

const form = new FormData();
form.append('file', new Blob([Uint8Array.of(0, 1, 255)], { type: 'image/png' }), 'ä.png');
form.append('text', 'line\r\nline');

const BODIES = {
  JSON: { body: '{"a":"ä"}', headers: { 'content-type': 'application/json' } },
  text: { body: 'text with ünïcode' },
  FormData: { body: form },
  URLSearchParams: { body: new URLSearchParams({ a: '1 2', b: 'ä' }) },
  'typed Blob': { body: new Blob(['x'], { type: 'application/x-thing' }) },
  'untyped Blob': { body: new Blob(['x']) },
  ArrayBuffer: { body: Uint8Array.of(0, 1, 2, 255).buffer },
  'view into a buffer': { body: new Uint8Array(Uint8Array.of(0, 1, 2, 255).buffer, 1, 2) },
  'empty string': { body: '' },
  'empty Blob': { body: new Blob([]) },
  nothing: {},
  stream: { body: new Blob(['streamed']).stream(), duplex: 'half' },
  'a mebibyte': { body: new Uint8Array(1 << 20).fill(7) },
};

for (const [name, init] of Object.entries(BODIES)) {
  test(`a body arrives as it was signed: ${name}`, async (t) => {
    const { client } = await gateAndClient(t);
    const answer = await client.fetch('/api/orders', { method: 'POST', ...init });
    const seen = await answer.json();
    assert.equal(answer.status, 200, JSON.stringify(seen));
    const bytes = Buffer.from(seen.body, 'base64');
    assert.equal('content-digest' in seen.fields, bytes.length > 0);
    if (typeof init.body === 'string') assert.equal(bytes.toString(), init.body);
    if (name === 'FormData') assert.match(bytes.toString('latin1'), /filename="Ã¤\.png"/);
  });
}

test('methods pass as fetch normalises them', async (t) => {
  const { client } = await gateAndClient(t);
  for (const method of ['get', 'post', 'put', 'PATCH', 'delete', 'OPTIONS', 'PURGE']) {
    const answer = await client.fetch('/api/orders/1', { method });
    assert.equal(answer.status, 200, method);
  }
  assert.equal((await client.fetch('/api/orders', { method: 'HEAD' })).status, 200);
});

test('a Request is accepted, and init overrides it', async (t) => {
  const { gate, client } = await gateAndClient(t);
  const request = new Request(`${gate.origin}/api/orders`, { method: 'POST', body: 'a', headers: { 'x-a': '1' } });
  const seen = await (await client.fetch(request, { method: 'PUT', body: 'b' })).json();
  assert.equal(seen.method, 'PUT');
  assert.equal(Buffer.from(seen.body, 'base64').toString(), 'b');
  assert.equal(seen.fields['x-a'], '1');
});

test('calls to other origins pass untouched and open no session', async (t) => {
  const { gate: elsewhere } = await gateAndClient(t);
  const { spy, requests } = spyingFetch();
  const { gate, client } = await gateAndClient(t, { fetch: spy });
  elsewhere.isProtected = () => false;
  const url = `${elsewhere.origin}/api/orders`;
  const seen = await (await client.fetch(url, { method: 'POST', body: 'x' })).json();
  assert.equal(seen.fields.signature, undefined);
  assert.deepEqual(requests, [url]);
  assert.equal(gate.sessions.count, 0);
});

test('a used Request is refused as fetch does', async (t) => {
  const { gate, client } = await gateAndClient(t);
  const request = new Request(gate.origin, { method: 'POST', body: 'x' });
  await request.text();
  await assert.rejects(client.fetch(request), TypeError);
});

test('a read redirected within the origin is signed again for where it went', async (t) => {
  const { gate, client } = await gateAndClient(t, { upstream: redirecting });
  const answer = await client.fetch('/api/old');
  assert.equal(answer.status, 200);
  assert.equal((await answer.json()).target, '/api/new');
  assert.deepEqual(gate.refused, ['signature-invalid']);
  assert.equal(gate.sessions.count, 1);
});

test('a redirected write is never sent twice', async (t) => {
  let writes = 0;
  const upstream = (request) => {
    if (request.method === 'POST') writes += 1;
    return redirecting(request);
  };
  const { client } = await gateAndClient(t, { upstream });
  const answer = await client.fetch('/api/old', { method: 'POST', body: 'x' });
  assert.equal(answer.redirected, true);
  assert.equal(answer.ok, false);
  assert.equal(writes, 1);
});

test('redirect modes pass', async (t) => {
  const { client } = await gateAndClient(t, { upstream: redirecting });
  assert.equal((await client.fetch('/api/old', { redirect: 'manual' })).status, 303);
  await assert.rejects(client.fetch('/api/old', { redirect: 'error' }), TypeError);
});

function redirecting(request) {
  if (request.target !== '/api/old') return echo(request);
  return { status: 303, headers: { location: '/api/new' } };
}
