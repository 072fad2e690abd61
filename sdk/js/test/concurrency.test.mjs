import assert from 'node:assert/strict';
import { test } from 'node:test';
import { gateAndClient, signedNonces, spyingFetch } from './support.mjs';

test('50 parallel calls have 50 nonces of one stream', async (t) => {
  const { spy, requests } = spyingFetch();
  const { gate, client } = await gateAndClient(t, { fetch: spy });
  const answers = await Promise.all(Array.from({ length: 50 }, (_, id) => client.fetch(`/api/orders/${id}`)));
  assert.ok(answers.every((answer) => answer.ok));
  const counters = signedNonces(requests).map((nonce) => Number(nonce.split('.')[1]));
  assert.deepEqual(
    counters.sort((a, b) => a - b),
    Array.from({ length: 50 }, (_, counter) => counter),
  );
  assert.deepEqual(gate.refused, []);
});

test('an aborted call stays aborted while the session it waited for serves the others', async (t) => {
  const { gate, client } = await gateAndClient(t);
  const opening = Promise.withResolvers?.() ?? deferred();
  gate.beforeOpening = () => opening.promise;
  const controller = new AbortController();
  const aborted = client.fetch('/api/orders', { signal: controller.signal });
  const patient = client.fetch('/api/orders');
  controller.abort();
  await assert.rejects(aborted, { name: 'AbortError' });
  opening.resolve();
  assert.equal((await patient).status, 200);
  assert.equal(gate.accepted.length, 1);
});

test('a signal aborted before the call sends nothing', async (t) => {
  const { gate, client } = await gateAndClient(t);
  await assert.rejects(client.fetch('/api', { signal: AbortSignal.abort() }), { name: 'AbortError' });
  assert.equal(gate.sessions.count, 0);
});

test('an abort reaches a call that is under way', async (t) => {
  const arrived = deferred();
  const upstream = () => {
    arrived.resolve();
    return new Promise(() => {});
  };
  const { client } = await gateAndClient(t, { upstream });
  const reason = new Error('enough');
  const controller = new AbortController();
  const call = client.fetch('/api', { signal: controller.signal });
  await arrived.promise;
  controller.abort(reason);
  await assert.rejects(call, reason);
});

function deferred() {
  let resolve;
  const promise = new Promise((done) => {
    resolve = done;
  });
  return { promise, resolve };
}
