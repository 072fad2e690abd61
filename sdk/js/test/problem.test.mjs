import assert from 'node:assert/strict';
import { test } from 'node:test';
import { PortcullisError, problemOf } from '../src/index.js';

const TYPE = '/.well-known/portcullis/problems/banned';

function answer(document, headers = {}) {
  const body = typeof document === 'string' ? document : JSON.stringify(document);
  return new Response(body, { status: 403, headers: { 'content-type': 'application/problem+json', ...headers } });
}

test('a refusal becomes a typed error, and the response stays readable', async () => {
  const document = { type: TYPE, title: 'Banned', status: 403, detail: 'for a while', ref: 'r7' };
  const response = answer(document, { 'retry-after': '60' });
  const problem = await problemOf(response);
  assert.ok(problem instanceof PortcullisError);
  const { code, status, detail, ref, retryAfter, message } = problem;
  assert.deepEqual(
    { code, status, detail, ref, retryAfter, message },
    { code: 'banned', status: 403, detail: 'for a while', ref: 'r7', retryAfter: 60, message: 'Banned' },
  );
  assert.deepEqual(await response.json(), document);
});

for (const [name, response] of Object.entries({
  'a problem of the application': answer({ type: 'about:blank' }),
  'a problem without type': answer({}),
  'a type of another kind': answer({ type: 7 }),
  'a broken document': answer('{'),
  null: answer('null'),
  'an empty body': answer(''),
  'another media type': answer({ type: TYPE }, { 'content-type': 'application/json' }),
})) {
  test(`no problem of the gate: ${name}`, async () => {
    assert.equal(await problemOf(response), undefined);
  });
}
