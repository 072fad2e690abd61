/**
 * Opens sessions. The key is made inside WebCrypto and never leaves it: no key here is extractable.
 *
 * @typedef {{
 *   tag: string, components: string[], body_components: string[], digest: string, max_age: number,
 * }} Profile
 * @typedef {{
 *   id: string, alg: string, key: CryptoKey, profile: Profile, expiresAt: number, nonces: Nonces,
 * }} Session
 * @typedef {NonNullable<import('../index.d.ts').ClientOptions['algorithm']>} Algorithm
 * @typedef {import('./clock.js').Clock} Clock
 */

import { fromBase64Url, toBase64Url } from './encoding.js';
import { Nonces } from './nonce.js';
import { PortcullisError, problemOf } from './problem.js';
import { solve } from './work/solve.js';

/** The algorithm whose key is agreed upon; for the others the client makes a key pair. */
const AGREED = 'hmac-sha256';
const WORK = 'sha256-counters';
/** How often the work is done for one session. */
const WORK_LIMIT = 3;
const KEY_INFO = new TextEncoder().encode('portcullis-1/ecdh-p256/hmac-sha256\0');
const CURVE = { name: 'ECDH', namedCurve: 'P-256' };

/**
 * @typedef {{ endpoint: URL, algorithm: Algorithm, fetch: typeof globalThis.fetch, crypto: Crypto, clock: Clock }} Means
 *
 * @param {Means} means
 * @returns {Promise<Session>}
 */
export async function openSession(means) {
  const subtle = requireSubtle(means.crypto);
  const { request, keyFrom } = await (means.algorithm === AGREED ? agreement : keyPair)(subtle, means.algorithm);
  const answer = await ask(means, request);
  means.clock.correct(answer.server_time);
  return {
    id: answer.session_id,
    alg: answer.alg,
    key: await keyFrom(answer),
    profile: answer.profile,
    expiresAt: answer.expires_at,
    nonces: new Nonces(means.crypto, true),
  };
}

/**
 * The browser and the gate compute the same key.
 * @param {SubtleCrypto} subtle
 */
async function agreement(subtle) {
  const own = /** @type {CryptoKeyPair} */ (await subtle.generateKey(CURVE, false, ['deriveKey']));
  const point = await rawKey(subtle, own.publicKey);
  return {
    request: { key_agreement: 'ecdh-p256', public_key: toBase64Url(point) },
    keyFrom: (/** @type {any} */ answer) => deriveKey(subtle, own.privateKey, point, answer),
  };
}

/**
 * The gate gets the public key only, and cannot sign.
 * @param {SubtleCrypto} subtle
 * @param {Algorithm} alg
 */
async function keyPair(subtle, alg) {
  const kind = alg === 'ed25519' ? { name: 'Ed25519' } : { name: 'ECDSA', namedCurve: 'P-256' };
  const own = /** @type {CryptoKeyPair} */ (await subtle.generateKey(kind, false, ['sign', 'verify']));
  const point = await rawKey(subtle, own.publicKey);
  return {
    request: { key_agreement: 'public-key', alg, public_key: toBase64Url(point) },
    keyFrom: async () => own.privateKey,
  };
}

/**
 * @param {SubtleCrypto} subtle
 * @param {CryptoKey} key
 */
async function rawKey(subtle, key) {
  return new Uint8Array(await subtle.exportKey('raw', key));
}

/**
 * @param {Crypto | undefined} crypto
 * @returns {SubtleCrypto}
 */
function requireSubtle(crypto) {
  if (crypto?.subtle) return crypto.subtle;
  throw new PortcullisError(
    'insecure-context',
    'No crypto.subtle here: serve the page by https, or from localhost.',
  );
}

/**
 * @param {Means} means
 * @param {object} request
 */
async function ask({ endpoint, fetch }, request) {
  /** @type {object | undefined} */
  let work;
  for (let worked = 0; ; worked += 1) {
    const response = await fetch(endpoint, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ ...request, work }),
      cache: 'no-store',
    });
    if (response.status === 201) return response.json();
    const problem = await problemOf(response);
    if (problem?.code !== 'work-required' || worked === WORK_LIMIT) throw problem ?? unexpected(endpoint, response.status);
    const wanted = (await response.json()).work;
    if (wanted?.algorithm !== WORK) throw problem;
    work = { challenge: wanted.challenge, answers: await solve(wanted, new URL('work.js', endpoint)) };
  }
}

/**
 * @param {URL} endpoint
 * @param {number} status
 */
function unexpected(endpoint, status) {
  const message = `No session: ${endpoint} answered ${status}, not as a Portcullis gate does.`;
  return new PortcullisError('session-unavailable', message, { status });
}

/**
 * @param {SubtleCrypto} subtle
 * @param {CryptoKey} privateKey
 * @param {Uint8Array} ownPoint
 * @param {{ public_key: string, salt: string }} answer
 */
export async function deriveKey(subtle, privateKey, ownPoint, answer) {
  const gatePoint = fromBase64Url(answer.public_key);
  const gateKey = await subtle.importKey('raw', gatePoint, CURVE, false, []);
  const secret = await subtle.deriveKey({ name: 'ECDH', public: gateKey }, privateKey, 'HKDF', false, ['deriveKey']);
  const info = new Uint8Array([...KEY_INFO, ...ownPoint, ...gatePoint]);
  const salt = fromBase64Url(answer.salt);
  return subtle.deriveKey(
    { name: 'HKDF', hash: 'SHA-256', salt, info },
    secret,
    { name: 'HMAC', hash: 'SHA-256', length: 256 },
    false,
    ['sign'],
  );
}
