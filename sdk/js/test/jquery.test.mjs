import assert from 'node:assert/strict';
import { test } from 'node:test';
import { installJQuery } from '../src/index.js';
import { gateAndClient } from './support.mjs';

// jQuery itself needs a document: the browser test uses it. Here it is what a transport sees of it.

async function gateAndTransport(t, settings) {
  const { gate, client } = await gateAndClient(t);
  let make;
  const undo = installJQuery({ ajaxTransport: (types, factory) => (make = factory) && assert.equal(types, '+*') }, client);
  const transport = make({ url: `${gate.origin}/api/orders?a=1`, type: 'GET', dataTypes: ['json'], ...settings });
  return { gate, transport, make, undo };
}

const answerOf = (transport, headers = {}) =>
  new Promise((resolve) => transport.send(headers, (...answer) => resolve(answer)));

test('jQuery sends through the client', async (t) => {
  const { transport } = await gateAndTransport(t, { type: 'POST', hasContent: true, data: 'a=%C3%A4' });
  const [status, word, { text }, fields] = await answerOf(transport, { 'Content-Type': 'application/x-thing', 'X-A': 'b' });
  assert.deepEqual([status, word], [200, 'OK']);
  const { method, target, fields: sent, body } = JSON.parse(text);
  assert.deepEqual([method, target, sent['content-type'], sent['x-a']], ['POST', '/api/orders?a=1', 'application/x-thing', 'b']);
  assert.equal(Buffer.from(body, 'base64').toString(), 'a=%C3%A4');
  assert.match(fields, /^content-type: application\/json\r\n/m);
});

test('a refusal is an answer with its document', async (t) => {
  const { gate, transport } = await gateAndTransport(t);
  gate.refuseIf = () => 'sequence-violation';
  const [status, , { text }] = await answerOf(transport);
  assert.equal(status, 403);
  assert.match(JSON.parse(text).type, /sequence-violation$/);
});

test('binary answers', async (t) => {
  const { transport } = await gateAndTransport(t, { xhrFields: { responseType: 'arraybuffer' } });
  const [, , { binary }] = await answerOf(transport);
  assert.ok(binary instanceof ArrayBuffer);
});

test('no line is an error without a status; an abort is told by jQuery itself', async (t) => {
  const { gate, make, transport } = await gateAndTransport(t);
  const told = [];
  transport.send({}, (...answer) => told.push(answer));
  transport.abort();
  await gate.stop();
  const other = make({ url: `${gate.origin}/api`, type: 'POST', dataTypes: ['*'] });
  assert.equal((await answerOf(other))[0], 0);
  assert.deepEqual(told, []);
});

test('scripts and synchronous calls are left to jQuery, and everything after an undo', async (t) => {
  const { make, undo } = await gateAndTransport(t);
  assert.equal(make({ dataTypes: ['script'] }), undefined);
  assert.equal(make({ dataTypes: ['json'], async: false }), undefined);
  undo();
  assert.equal(make({ dataTypes: ['json'] }), undefined);
});
