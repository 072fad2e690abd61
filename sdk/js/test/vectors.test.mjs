import assert from 'node:assert/strict';
import { createHmac } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { deriveKey } from '../src/session.js';
import { signatureBase as sdkBase, signatureFields } from '../src/sign.js';
import { Refused } from './gate/refusal.js';
import { deriveKey as gateDeriveKey } from './gate/sessions.js';
import * as verifier from './gate/signature.js';

const read = (name) => JSON.parse(readFileSync(new URL(`../../../tests/vectors/${name}`, import.meta.url), 'utf8'));
const rfc = read('rfc9421.json');
const profile = read('profile.json');
const agreement = read('agreement.json');

const { subtle } = globalThis.crypto;
const hmacKey = (key) =>
  subtle.importKey('raw', Buffer.from(key, 'base64'), { name: 'HMAC', hash: 'SHA-256' }, false, ['sign']);

/** The message as the SDK sees it: a URL and Headers in place of a request line. */
function asSdkMessage({ scheme, method, target, headers, body }) {
  const [, host] = headers.find(([name]) => name.toLowerCase() === 'host');
  const sent = headers.filter(([name]) => name.toLowerCase() !== 'cookie');
  return { method, url: new URL(`${scheme}://${host}${target}`), headers: new Headers(sent), hasBody: body !== '' };
}

for (const { section, key, base, signature } of rfc.hmac) {
  test(`RFC 9421 ${section}: the HMAC`, async () => {
    const mac = await subtle.sign('HMAC', await hmacKey(key), Buffer.from(base));
    assert.equal(Buffer.from(mac).toString('base64'), signature);
  });
}

for (const { section, request, signature_input: input, base } of rfc.bases) {
  if (!request || input.includes('@query-param')) continue;
  test(`RFC 9421 ${section}: the base`, () => {
    const components = [...input.split(')')[0].matchAll(/"([^"]+)"/g)].map(([, name]) => name);
    assert.equal(sdkBase(asSdkMessage(request), components, input), base);
    assert.equal(verifier.signatureBase(asGateRequest(request), { components, input }), base);
  });
}

for (const { section, request, component, line } of rfc.lines) {
  if (component === 'host') continue;
  test(`RFC 9421 ${section}: the line of ${component}`, () => {
    const [first] = sdkBase(asSdkMessage(request), [component], '()').split('\n');
    assert.equal(first, line);
  });
}

for (const { name, now, key, request, problems, base, signature } of profile.vectors) {
  test(`profile vector ${name}: the tests' gate ${problems.length ? 'refuses' : 'accepts'}`, () => {
    const outcome = judge(asGateRequest(request), Buffer.from(key, 'base64'), now);
    if (problems.length) return assert.ok(problems.includes(outcome.code), `${outcome.code}, not ${problems}`);
    assert.equal(outcome.code, undefined);
    assert.equal(outcome.base, base);
    return assert.equal(outcome.mac, signature);
  });
}

const signable = profile.vectors.filter(inTheForm);

test('the SDK signs as the vectors do', async (t) => {
  t.diagnostic(`${signable.length} vectors in the form that the SDK gives a signature`);
  assert.ok(signable.length > 15);
  for (const { name, now, key, session_id: keyid, request, base } of signable) {
    const nonce = /;nonce="([^"]*)"/.exec(base)[1];
    const created = Number(/;created=(\d+)/.exec(base)[1]);
    assert.ok(Math.abs(now - created) <= 30);
    const parameters = { created, nonce, keyid, alg: 'hmac-sha256', tag: 'portcullis-1' };
    const message = asSdkMessage(unsigned(request));
    const fields = await signatureFields(subtle, await hmacKey(key), verifier.PROFILE, message, parameters);
    assert.equal(fields['signature-input'], valueOf(request, 'signature-input'), name);
    assert.equal(fields.signature, valueOf(request, 'signature'), name);
  }
});

for (const vector of agreement.vectors) {
  test(`key agreement vector: ${vector.name}`, async () => {
    const bytes = (name) => Buffer.from(vector[name], 'base64url');
    assert.equal(
      gateDeriveKey(bytes('gate_private'), bytes('client_public'), bytes('salt')).toString('base64url'),
      vector.key,
    );
    const curve = { name: 'ECDH', namedCurve: 'P-256' };
    const own = await subtle.importKey('jwk', vector.client_private_jwk, curve, false, ['deriveKey']);
    const answer = { public_key: vector.gate_public, salt: vector.salt };
    const derived = await deriveKey(subtle, own, new Uint8Array(bytes('client_public')), answer);
    const message = Buffer.from('compared by what it signs, for it cannot be exported');
    const mac = Buffer.from(await subtle.sign('HMAC', derived, message));
    assert.deepEqual(mac, createHmac('sha256', bytes('key')).update(message).digest());
  });
}

function judge(request, key, now) {
  try {
    const signature = verifier.presentedSignature(request.headers);
    verifier.checkCoverage(request, signature);
    verifier.checkSignature(request, signature, { alg: 'hmac-sha256', key });
    verifier.checkTime(signature, now);
    verifier.checkDigest(request);
    return { base: verifier.signatureBase(request, signature), mac: signature.mac.toString('base64') };
  } catch (error) {
    if (error instanceof Refused) return error;
    throw error;
  }
}

function asGateRequest(request) {
  return { ...request, body: Buffer.from(request.body, 'base64') };
}

/** Whether a vector is what the SDK makes: its order of parts, its label, and a target that is in a URL's normal form. */
function inTheForm({ problems, label, request }) {
  if (problems.length || label !== 'portcullis' || valueOf(request, 'content-digest')?.includes(',')) return false;
  const input = valueOf(request, 'signature-input');
  const body = request.body ? / "content-digest"( "content-type")?/.source : '';
  const form = `^portcullis=\\("@method" "@authority" "@path" "@query"${body}\\);created=\\d+;nonce="[^"]+";keyid="[^"]+";alg="[^"]+";tag="[^"]+"$`;
  const { pathname } = asSdkMessage(request).url;
  return new RegExp(form).test(input) && pathname === request.target.split('?')[0];
}

function unsigned(request) {
  return { ...request, headers: request.headers.filter(([name]) => !/^signature/i.test(name)) };
}

function valueOf({ headers }, name) {
  return headers.find(([field]) => field.toLowerCase() === name)?.[1];
}
