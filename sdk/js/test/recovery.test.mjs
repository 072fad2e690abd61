import assert from 'node:assert/strict';
import { test } from 'node:test';
import { gateAndClient, signedNonces, spyingFetch } from './support.mjs';

/** Refuses the first `count` calls with these problems, then lets pass. */
function refuseInTurn(gate, ...codes) {
  gate.refuseIf = () => codes.shift();
}

test('a gate that runs ahead or behind is followed', async (t) => {
  const { gate, client } = await gateAndClient(t);
  await client.fetch('/api/orders');
  for (const offset of [600, -600, 0]) {
    gate.clockOffset = offset;
    assert.equal((await client.fetch('/api/orders')).status, 200);
  }
  assert.deepEqual(gate.refused, ['signature-expired', 'signature-from-future', 'signature-expired']);
  assert.equal(gate.sessions.count, 1);
});

test('a clock wrong from the start costs no refusal', async (t) => {
  const { gate, client } = await gateAndClient(t);
  gate.clockOffset = 86_400;
  await client.fetch('/api/orders');
  assert.deepEqual(gate.refused, []);
});

test('a forgotten session is replaced', async (t) => {
  const { gate, client } = await gateAndClient(t);
  await client.fetch('/api/orders');
  gate.sessions.forget();
  const answer = await client.fetch('/api/orders', { method: 'POST', body: 'x' });
  assert.equal(answer.status, 200);
  assert.deepEqual(gate.refused, ['session-invalid']);
});

test('concurrent calls of a forgotten session open one new session', async (t) => {
  const { gate, client } = await gateAndClient(t);
  await client.fetch('/api/orders');
  gate.sessions.forget();
  const answers = await Promise.all(Array.from({ length: 20 }, () => client.fetch('/api/orders')));
  assert.ok(answers.every((answer) => answer.ok));
  assert.equal(gate.sessions.count, 1);
});

test('signature-invalid leads to one new session, not more', async (t) => {
  const { gate, client } = await gateAndClient(t);
  gate.refuseIf = () => 'signature-invalid';
  const answer = await client.fetch('/api/orders');
  assert.equal(answer.status, 401);
  assert.equal(gate.sessions.count, 2);
  assert.deepEqual(gate.refused, ['signature-invalid', 'signature-invalid']);
});

test('after a restart the offered nonce is used, and its stream goes on', async (t) => {
  const { spy, requests } = spyingFetch();
  const { gate, client } = await gateAndClient(t, { fetch: spy });
  await client.fetch('/api/orders');
  gate.restart();
  for (let call = 0; call < 3; call += 1) {
    assert.equal((await client.fetch('/api/orders', { method: 'POST', body: 'x' })).status, 200);
  }
  assert.deepEqual(gate.refused, ['fresh-nonce-required']);
  const [first, second, ...fresh] = signedNonces(requests);
  assert.match(first, /^[\w-]{22}\.0$/);
  assert.equal(second, first.replace(/0$/, '1'));
  const stream = fresh[0].split('.')[0];
  assert.match(stream, /^~/);
  assert.deepEqual(
    fresh,
    [0, 1, 2].map((counter) => `${stream}.${counter}`),
  );
});

for (const repeatsOffers of [false, true]) {
  test(`50 calls over a restart all pass, each nonce once (repeated offers: ${repeatsOffers})`, async (t) => {
    const { spy, requests } = spyingFetch();
    const { gate, client } = await gateAndClient(t, { fetch: spy });
    gate.repeatsOffers = repeatsOffers;
    await client.fetch('/api/orders');
    gate.restart();
    const post = (_, index) => client.fetch(`/api/orders/${index}`, { method: 'POST', body: `${index}` });
    const answers = await Promise.all(Array.from({ length: 50 }, post));
    assert.deepEqual(
      answers.filter((answer) => !answer.ok),
      [],
    );
    const nonces = signedNonces(requests);
    assert.equal(new Set(nonces).size, nonces.length);
    assert.equal((await client.fetch('/api/orders')).status, 200);
    assert.deepEqual(new Set(gate.refused), new Set(['fresh-nonce-required']));
    assert.equal(new Set(gate.accepted.slice(1).map((nonce) => nonce.split('.')[0])).size, 1);
  });
}

test('fresh-nonce-required twice is given to the caller', async (t) => {
  const { gate, client } = await gateAndClient(t);
  gate.refuseIf = () => 'fresh-nonce-required';
  assert.equal((await client.fetch('/api/orders')).status, 401);
  assert.equal(gate.refused.length, 2);
});

test('a challenge without a nonce is given to the caller', async (t) => {
  const bare = async (input, init) => {
    const answer = await fetch(input, init);
    return answer.status === 401 ? new Response(answer.body, { status: 401, headers: withoutOffer(answer) }) : answer;
  };
  const { gate, client } = await gateAndClient(t, { fetch: bare });
  gate.refuseIf = () => 'fresh-nonce-required';
  assert.equal((await client.fetch('/api/orders')).status, 401);
  assert.equal(gate.refused.length, 1);
});

test('a reused nonce: a read is signed again, a write is not', async (t) => {
  const { gate, client } = await gateAndClient(t);
  for (const [method, status] of [
    ['GET', 200],
    ['HEAD', 200],
    ['POST', 401],
    ['PUT', 401],
    ['DELETE', 401],
  ]) {
    refuseInTurn(gate, 'nonce-reused');
    assert.equal((await client.fetch('/api/orders', { method })).status, status, method);
  }
});

test('a HEAD recovers although its refusals have no document', async (t) => {
  const { gate, client } = await gateAndClient(t);
  const head = async () => (await client.fetch('/api/orders', { method: 'HEAD' })).status;
  assert.equal(await head(), 200);
  gate.restart();
  assert.equal(await head(), 200);
  gate.clockOffset = 600;
  assert.equal(await head(), 200);
  gate.sessions.forget();
  assert.equal(await head(), 200);
  assert.deepEqual(gate.refused, ['fresh-nonce-required', 'signature-expired', 'session-invalid']);
});

test('different refusals are recovered from one after the other, two at most', async (t) => {
  const { gate, client } = await gateAndClient(t);
  refuseInTurn(gate, 'signature-expired', 'fresh-nonce-required');
  assert.equal((await client.fetch('/api/orders')).status, 200);
  refuseInTurn(gate, 'signature-expired', 'session-invalid', 'fresh-nonce-required');
  const answer = await client.fetch('/api/orders');
  assert.equal(answer.status, 401);
  assert.match((await answer.json()).type, /fresh-nonce-required$/);
});

test('each kind of recovery happens once', async (t) => {
  const { gate, client } = await gateAndClient(t);
  for (const codes of [
    ['signature-expired', 'signature-from-future'],
    ['nonce-reused', 'nonce-reused'],
    ['session-invalid', 'signature-invalid'],
    ['session-invalid', 'reauthentication-required'],
  ]) {
    refuseInTurn(gate, ...codes);
    assert.equal((await client.fetch('/api/orders')).status, 401, codes.join());
  }
});

for (const code of [
  'signature-required',
  'signature-malformed',
  'signature-incomplete',
  'sequence-violation',
  'quota-exceeded',
]) {
  test(`${code} is given to the caller at once, readable`, async (t) => {
    const { gate, client } = await gateAndClient(t);
    gate.refuseIf = () => code;
    const answer = await client.fetch('/api/orders');
    assert.match((await answer.json()).type, new RegExp(`${code}$`));
    assert.equal(gate.refused.length, 1);
  });
}

test("the application's own 401 is not ours to recover from", async (t) => {
  const upstream = () => ({
    status: 401,
    headers: { 'content-type': 'application/problem+json' },
    body: '{"type":"/login"}',
  });
  const { gate, client } = await gateAndClient(t, { upstream });
  assert.equal((await client.fetch('/api/orders')).status, 401);
  assert.equal(gate.accepted.length, 1);
});

test('onReauthenticate may log in through the client, once for all calls', async (t) => {
  const problems = [];
  const onReauthenticate = async (problem) => {
    problems.push(problem);
    assert.equal((await client.fetch('/api/login', { method: 'POST', body: 'me' })).status, 200);
  };
  const { gate, client } = await gateAndClient(t, { onReauthenticate });
  await client.fetch('/api/orders');
  gate.sessions.suspend();
  const answers = await Promise.all([1, 2, 3].map((id) => client.fetch(`/api/orders/${id}`)));
  assert.deepEqual(
    answers.map((answer) => answer.status),
    [200, 200, 200],
  );
  assert.deepEqual(
    problems.map((problem) => problem.code),
    ['reauthentication-required'],
  );
  assert.equal(gate.sessions.count, 2);
});

test('onReauthenticate may hand the refusal on', async (t) => {
  const { gate, client } = await gateAndClient(t, { onReauthenticate: () => false });
  await client.fetch('/api/orders');
  gate.sessions.suspend();
  assert.equal((await client.fetch('/api/orders')).status, 401);
});

function withoutOffer({ headers }) {
  return { 'content-type': headers.get('content-type') };
}

test('where the gate knows the login, the same session comes back by it', async (t) => {
  const onReauthenticate = async (problem) => {
    assert.equal(problem.reauthenticate, 'login');
    assert.equal((await client.fetch('/api/login', { method: 'POST', body: 'me' })).status, 200);
  };
  const { gate, client } = await gateAndClient(t, { onReauthenticate });
  gate.loginPath = '/api/login';
  for (let time = 0; time < 2; time += 1) {
    await client.fetch('/api/orders');
    gate.sessions.suspend();
    const answers = await Promise.all([1, 2, 3].map((id) => client.fetch(`/api/orders/${id}`)));
    assert.ok(answers.every((answer) => answer.ok));
  }
  assert.equal(gate.sessions.count, 1);
});

test('where the gate knows the login and the page does not, the refusal is the caller\'s', async (t) => {
  const { gate, client } = await gateAndClient(t);
  gate.loginPath = '/api/login';
  await client.fetch('/api/orders');
  gate.sessions.suspend();
  assert.equal((await client.fetch('/api/orders')).status, 401);
  assert.equal(gate.sessions.count, 1);
});
