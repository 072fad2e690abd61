/**
 * Opens sessions. The key comes out of an ECDH agreement and never leaves WebCrypto: no key here is extractable.
 *
 * @typedef {{
 *   tag: string, components: string[], body_components: string[], digest: string, max_age: number,
 * }} Profile
 * @typedef {{
 *   id: string, alg: string, key: CryptoKey, profile: Profile, expiresAt: number, nonces: Nonces,
 * }} Session
 */

import { fromBase64Url, toBase64Url } from './encoding.js';
import { Nonces } from './nonce.js';
import { PortcullisError, problemOf } from './problem.js';

const AGREEMENT = 'ecdh-p256';
const KEY_INFO = new TextEncoder().encode('portcullis-1/ecdh-p256/hmac-sha256\0');
const CURVE = { name: 'ECDH', namedCurve: 'P-256' };

/**
 * @param {{ endpoint: URL, fetch: typeof globalThis.fetch, crypto: Crypto, clock: import('./clock.js').Clock }} means
 * @returns {Promise<Session>}
 */
export async function openSession({ endpoint, fetch, crypto, clock }) {
  const subtle = requireSubtle(crypto);
  const own = /** @type {CryptoKeyPair} */ (await subtle.generateKey(CURVE, false, ['deriveKey']));
  const ownPoint = new Uint8Array(await subtle.exportKey('raw', own.publicKey));
  const answer = await ask(fetch, endpoint, ownPoint);
  clock.correct(answer.server_time);
  return {
    id: answer.session_id,
    alg: answer.alg,
    key: await deriveKey(subtle, own.privateKey, ownPoint, answer),
    profile: answer.profile,
    expiresAt: answer.expires_at,
    nonces: new Nonces(crypto),
  };
}

/**
 * @param {Crypto | undefined} crypto
 * @returns {SubtleCrypto}
 */
function requireSubtle(crypto) {
  if (crypto?.subtle) return crypto.subtle;
  throw new PortcullisError(
    'insecure-context',
    'This page cannot sign calls: crypto.subtle exists in secure contexts only. ' +
      'Serve the page over https://, or from http://localhost while you develop.',
  );
}

/**
 * @param {typeof globalThis.fetch} fetch
 * @param {URL} endpoint
 * @param {Uint8Array} ownPoint
 */
async function ask(fetch, endpoint, ownPoint) {
  const response = await fetch(endpoint, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ key_agreement: AGREEMENT, public_key: toBase64Url(ownPoint) }),
    cache: 'no-store',
  });
  if (response.status === 201) return response.json();
  throw (await problemOf(response)) ?? unexpected(endpoint, response.status);
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
