import assert from 'node:assert/strict';
import { test } from 'node:test';
import Backbone from 'backbone';
import { installBackbone } from '../src/index.js';
import { gateAndClient } from './support.mjs';

test('fetch, save and destroy speak through the client and fire the usual events', async (t) => {
  const { Orders, seen, gate } = await orders(t);
  const list = new Orders();
  const events = [];
  list.on('all', (name) => events.push(name));
  await done(list, 'fetch');
  assert.deepEqual(list.pluck('name'), ['one', 'two']);
  assert.deepEqual(
    events.filter((name) => name !== 'sort'),
    ['request', 'add', 'add', 'update', 'sync'],
  );

  const model = list.add({ name: 'three' });
  await done(model, 'save');
  assert.equal(model.id, 3);
  await done(model, 'save', { name: 'THREE' });
  await done(model, 'save', { name: '3' }, { patch: true });
  await done(model, 'destroy');
  assert.deepEqual(
    seen.map(({ method, target }) => `${method} ${target}`),
    ['GET /api/orders', 'POST /api/orders', 'PUT /api/orders/3', 'PATCH /api/orders/3', 'DELETE /api/orders/3'],
  );
  assert.equal(seen[1].fields['content-type'], 'application/json');
  assert.deepEqual(JSON.parse(seen[1].body), { name: 'three' });
  assert.equal(seen[0].fields.accept, 'application/json, */*;q=0.01');
  assert.equal(gate.accepted.length, 5);
});

test('data of a GET goes into the query as jQuery writes it', async (t) => {
  const { Orders, seen } = await orders(t);
  const data = { q: 'a b', ids: [1, 2], range: { from: 1, to: null }, rows: [{ id: 1 }] };
  await done(new Orders(), 'fetch', { data });
  const expected = 'q=a+b&ids[]=1&ids[]=2&range[from]=1&range[to]=&rows[0][id]=1';
  assert.equal(decodeURIComponent(seen[0].target.split('?')[1]), expected);
});

test('emulateHTTP and emulateJSON', async (t) => {
  const { Orders, seen } = await orders(t);
  const model = new Orders().push({ id: 3, name: 'x' });
  await done(model, 'save', {}, { emulateHTTP: true });
  assert.equal(seen[0].method, 'POST');
  assert.equal(seen[0].fields['x-http-method-override'], 'PUT');
  await done(model, 'save', {}, { emulateHTTP: true, emulateJSON: true });
  assert.equal(seen[1].fields['content-type'], 'application/x-www-form-urlencoded');
  assert.deepEqual(Object.fromEntries(new URLSearchParams(seen[1].body.toString())), {
    model: '{"id":3,"name":"x"}',
    _method: 'PUT',
  });
});

test('headers and beforeSend reach the request, and beforeSend may cancel', async (t) => {
  const { Orders, seen } = await orders(t);
  const beforeSend = (xhr) => xhr.setRequestHeader('x-b', '2');
  await done(new Orders(), 'fetch', { headers: { 'x-a': '1' }, beforeSend });
  assert.equal(seen[0].fields['x-a'], '1');
  assert.equal(seen[0].fields['x-b'], '2');
  await assert.rejects(done(new Orders(), 'fetch', { beforeSend: () => false }), { outcome: 'canceled' });
  assert.equal(seen.length, 1);
});

test('a refusal arrives in error() with its document', async (t) => {
  const { Orders, gate } = await orders(t);
  gate.refuseIf = () => 'sequence-violation';
  const { xhr } = await done(new Orders(), 'fetch').then(assert.fail, (failed) => failed);
  assert.equal(xhr.status, 403);
  assert.match(xhr.responseJSON.type, /sequence-violation$/);
  assert.match(xhr.getResponseHeader('content-type'), /problem\+json/);
  assert.match(xhr.getAllResponseHeaders(), /content-type: application\/problem\+json\r\n/);
});

test('abort, timeout and broken JSON have the outcomes that jQuery gives them', async (t) => {
  const { Orders, answers } = await orders(t);
  answers['/api/orders'] = () => new Promise(() => {});
  const list = new Orders();
  const aborted = outcomeOf(list);
  aborted.xhr.abort();
  assert.equal(await aborted.outcome, 'abort');
  assert.equal(await outcomeOf(list, { timeout: 20 }).outcome, 'timeout');
  answers['/api/orders'] = () => ({ body: '{' });
  assert.equal(await outcomeOf(list).outcome, 'parsererror');
});

test('the xhr is a promise of the data, and nobody has to look at it', async (t) => {
  const { Orders, gate } = await orders(t);
  const list = new Orders();
  assert.deepEqual(await list.fetch(), [
    { id: 1, name: 'one' },
    { id: 2, name: 'two' },
  ]);
  gate.refuseIf = () => 'sequence-violation';
  await assert.rejects(async () => list.fetch(), { status: 403 });
  await new Promise((resolve) => list.fetch({ complete: () => resolve() }));
});

test('uninstalling puts the former ajax back', () => {
  const former = Backbone.ajax;
  installBackbone(Backbone, { fetch })();
  assert.equal(Backbone.ajax, former);
});

async function orders(t) {
  const seen = [];
  const answers = {
    '/api/orders': ({ method }) =>
      json(
        method === 'POST'
          ? { id: 3 }
          : [
              { id: 1, name: 'one' },
              { id: 2, name: 'two' },
            ],
      ),
  };
  const upstream = (request) => {
    seen.push(request);
    const answer = answers[request.target.split('?')[0]];
    return answer ? answer(request) : request.method === 'DELETE' ? { status: 204 } : json({});
  };
  const { gate, client } = await gateAndClient(t, { upstream });
  t.after(installBackbone(Backbone, client));
  const Orders = Backbone.Collection.extend({ url: '/api/orders' });
  return { Orders, seen, gate, answers };
}

const json = (value) => ({ headers: { 'content-type': 'application/json' }, body: JSON.stringify(value) });

/** Calls a Backbone method; settles by its callbacks. */
function done(target, method, ...args) {
  return new Promise((resolve, reject) => {
    const attributes = method === 'save' ? [args[0] ?? {}] : [];
    const options = { ...(method === 'save' ? args[1] : args[0]), wait: true };
    target[method](...attributes, {
      ...options,
      success: resolve,
      error: (_, xhr) => reject(Object.assign(new Error(xhr.outcome), { xhr, outcome: xhr.outcome })),
    });
  });
}

function outcomeOf(list, options = {}) {
  let xhr;
  const outcome = new Promise((resolve, reject) => {
    xhr = list.fetch({ ...options, success: reject, error: (_, failed) => resolve(failed.outcome) });
  });
  return { xhr, outcome };
}
