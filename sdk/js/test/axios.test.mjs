import assert from 'node:assert/strict';
import { test } from 'node:test';
import axios from 'axios';
import { gateAndClient } from './support.mjs';

test('axios signs through its fetch adapter', async (t) => {
  const { gate, client } = await gateAndClient(t);
  const api = axios.create({ adapter: 'fetch', baseURL: gate.origin, env: { fetch: client.fetch, Request, Response } });
  const { data } = await api.post('/api/orders', { name: 'ä' }, { params: { q: 'a b' } });
  assert.equal(data.method, 'POST');
  assert.equal(data.target, '/api/orders?q=a+b');
  assert.deepEqual(JSON.parse(Buffer.from(data.body, 'base64').toString()), { name: 'ä' });
  await assert.rejects(api.get('/api/orders', { signal: AbortSignal.abort() }), { code: 'ERR_CANCELED' });
});
