import assert from 'node:assert/strict';
import { test } from 'node:test';
import { echo, gateAndClient, signedNonces, spyingFetch } from './support.mjs';

test('a ticket passes once, and the application does not see it', async (t) => {
  const { gate, client } = await gateAndClient(t);
  for (const target of ['/api/file', '/api/file?', '/api/file?a=1&b=%20ä', "/api/ä/it's?q=\"x\"#part"]) {
    const address = await client.ticket(target);
    assert.ok(address.startsWith(gate.origin));
    const answer = await fetch(address);
    assert.equal(answer.status, 200, target);
    assert.doesNotMatch((await answer.json()).target, /ticket/);
    assert.equal((await fetch(address)).status, 401);
  }
  assert.deepEqual(new Set(gate.refused), new Set(['nonce-reused']));
});

test('a ticket is the last parameter and lives half a minute', async (t) => {
  const { client } = await gateAndClient(t);
  const { searchParams, search } = new URL(await client.ticket('/api/file?a=1'));
  assert.match(search, /^\?a=1&portcullis-ticket=[\w-]+\.[\w-]+$/);
  const input = Buffer.from(searchParams.get('portcullis-ticket').split('.')[0], 'base64url').toString();
  const form =
    /^\("@method" "@authority" "@path" "@query"\);created=(\d+);expires=(\d+);nonce="[\w-]+\.\d+";keyid="[\w-]+";alg="hmac-sha256";tag="portcullis-ticket-1"$/;
  const [, created, expires] = form.exec(input);
  assert.equal(expires - created, 30);
});

test('a ticket covers method, address and body', async (t) => {
  const { gate, client } = await gateAndClient(t);
  const address = await client.ticket('/api/file?a=1', { method: 'post', body: 'ä' });
  assert.equal((await fetch(address, { method: 'POST', body: 'ä' })).status, 200);
  const post = () => client.ticket('/api/file?a=1', { method: 'POST', body: 'ä' });
  assert.equal((await fetch(await post(), { method: 'POST', body: 'b' })).status, 400);
  assert.equal((await fetch(await post())).status, 401);
  const other = (await client.ticket('/api/file?a=1')).replace('a=1', 'a=2');
  assert.equal((await fetch(other)).status, 401);
  assert.deepEqual(gate.refused, ['digest-mismatch', 'signature-invalid', 'signature-invalid']);
});

test('an address of another origin gets no ticket', async (t) => {
  const { gate, client } = await gateAndClient(t);
  assert.equal(await client.ticket('https://other.example/a'), 'https://other.example/a');
  assert.equal(gate.sessions.count, 0);
});

for (const algorithm of ['hmac-sha256', 'ecdsa-p256-sha256', 'ed25519']) {
  test(`${algorithm} signs calls and tickets with a key that stays inside`, async (t) => {
    const { gate, client } = await gateAndClient(t, { algorithm });
    assert.equal((await client.fetch('/api/orders', { method: 'POST', body: 'x' })).status, 200);
    assert.equal((await fetch(await client.ticket('/api/file'))).status, 200);
    assert.equal((await client.session()).alg, algorithm);
    assert.deepEqual(gate.refused, []);
  });
}

test('a ticket is never the first of a stream that the gate may not know', async (t) => {
  const { default: _ } = await import('fake-indexeddb/auto');
  t.after(() => delete globalThis.indexedDB);
  const { gate, client } = await gateAndClient(t);
  await client.fetch('/api/orders');
  gate.restart();
  const { createClient } = await import('../src/index.js');
  const reloaded = createClient({ origin: gate.origin });
  assert.equal((await fetch(await reloaded.ticket('/api/file'))).status, 200);
  assert.deepEqual(gate.refused, ['fresh-nonce-required']);
});

test('webSocket() gives an open socket', async (t) => {
  const { opened } = sockets(t);
  const { gate, client } = await gateAndClient(t);
  const socket = await client.webSocket('/api/socket?room=1', ['chat']);
  assert.equal(socket.isOpen, true);
  assert.ok(opened[0].startsWith(`${gate.origin.replace('http', 'ws')}/api/socket?room=1&portcullis-ticket=`));
  assert.deepEqual(socket.protocols, ['chat']);
});

test('webSocket() gets over a restart of the gate', async (t) => {
  const { opened } = sockets(t);
  const { gate, client } = await gateAndClient(t);
  await client.fetch('/api/orders');
  gate.restart();
  assert.equal((await client.webSocket('/api/socket')).isOpen, true);
  assert.equal(opened.length, 2);
});

test('webSocket() rejects with the reason', async (t) => {
  sockets(t);
  const { gate, client } = await gateAndClient(t);
  gate.refuseIf = () => 'sequence-violation';
  await assert.rejects(client.webSocket('/api/socket'), { name: 'PortcullisError', code: 'sequence-violation' });
  const plain = await gateAndClient(t, { upstream: () => ({ status: 404 }) });
  await assert.rejects(plain.client.webSocket('/api/socket'), { code: 'socket-failed' });
});

test('eventSource() reads, reconnects signed anew, and says where it was', async (t) => {
  const { spy, requests } = spyingFetch();
  const seen = [];
  const upstream = ({ fields }) => {
    seen.push(fields['last-event-id']);
    const text = `: hello\nretry: 1\nid: ${seen.length}\ndata: a\r\ndata: b\r\n\r\nevent: named\rdata:c\r\rdata: cut`;
    return { headers: { 'content-type': 'text/event-stream' }, stream: (res) => res.end(text) };
  };
  const { gate, client } = await gateAndClient(t, { upstream, fetch: spy });
  const source = client.eventSource('/api/events');
  assert.equal(source.readyState, source.CONNECTING);
  const events = [];
  const note = ({ type, data, lastEventId, origin }) => events.push([type, data, lastEventId, origin]);
  source.onmessage = note;
  source.addEventListener('named', note);
  let opened = 0;
  await new Promise((resolve) => {
    source.onopen = () => (opened += 1) === 2 && resolve();
  });
  source.close();
  assert.equal(source.readyState, source.CLOSED);
  assert.deepEqual(events.slice(0, 2), [
    ['message', 'a\nb', '1', gate.origin],
    ['named', 'c', '1', gate.origin],
  ]);
  assert.deepEqual(seen.slice(0, 2), [undefined, '1']);
  assert.equal(new Set(signedNonces(requests)).size, seen.length);
});

test('eventSource() ends with the reason when it is refused', async (t) => {
  const { gate, client } = await gateAndClient(t);
  gate.refuseIf = () => 'sequence-violation';
  const source = client.eventSource('/api/events');
  const { error } = await new Promise((resolve) => source.addEventListener('error', resolve));
  assert.equal(error.code, 'sequence-violation');
  assert.equal(source.readyState, source.CLOSED);
  gate.refuseIf = () => undefined;
  const wrong = client.eventSource('/api/orders');
  const event = await new Promise((resolve) => {
    wrong.onerror = resolve;
  });
  assert.equal(event.error.code, 'no-event-stream');
});

test('beacon() sends what it hashed', async (t) => {
  const sent = [];
  Object.defineProperty(globalThis, 'navigator', {
    value: { sendBeacon: (url, body) => sent.push(fetch(url, { method: 'POST', body })) > 0 },
    configurable: true,
  });
  t.after(() => delete globalThis.navigator);
  const arrived = [];
  const upstream = (request) => {
    arrived.push(request);
    return echo(request);
  };
  const { client } = await gateAndClient(t, { upstream });
  const form = new FormData();
  form.append('a', new Blob(['ä'], { type: 'text/plain' }), 'f');
  for (const body of ['text', new Blob(['{}'], { type: 'application/json' }), form, undefined]) {
    assert.equal(await client.beacon('/api/seen?x', body), true);
    assert.equal((await sent.at(-1)).status, 200);
  }
  assert.deepEqual(
    arrived.map(({ fields }) => fields['content-type']?.split(';')[0]),
    ['text/plain', 'application/json', 'multipart/form-data', undefined],
  );
  assert.equal(arrived[1].body.toString(), '{}');
});

/** `WebSocket` as far as the helper sees it: the opening, made as a plain call, which the tests' gate judges alike. */
function sockets(t) {
  const opened = [];
  globalThis.WebSocket = class extends EventTarget {
    isOpen = false;
    constructor(url, protocols) {
      super();
      opened.push(url);
      this.protocols = protocols;
      fetch(url.replace(/^ws/, 'http')).then((answer) => {
        this.isOpen = answer.ok;
        this.dispatchEvent(new Event(answer.ok ? 'open' : 'close'));
      });
    }
  };
  t.after(() => delete globalThis.WebSocket);
  return { opened };
}
