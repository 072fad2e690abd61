/**
 * Signs requests as RFC 9421 says, with the components that the gate's profile names.
 *
 * @typedef {{ method: string, url: URL, headers: Headers, hasBody: boolean }} Message
 * @typedef {{ created: number, nonce: string, keyid: string, alg: string, tag: string }} Parameters
 * @typedef {import('./session.js').Profile} Profile
 */

import { toBase64 } from './encoding.js';

const LABEL = 'portcullis';

/**
 * The two fields that carry the signature.
 * @param {SubtleCrypto} subtle
 * @param {CryptoKey} key
 * @param {Profile} profile
 * @param {Message} message
 * @param {Parameters} parameters
 */
export async function signatureFields(subtle, key, profile, message, parameters) {
  const components = coveredComponents(profile, message);
  const input = signatureInput(components, parameters);
  const base = signatureBase(message, components, input);
  const mac = await subtle.sign('HMAC', key, new TextEncoder().encode(base));
  return {
    'signature-input': `${LABEL}=${input}`,
    signature: `${LABEL}=:${toBase64(mac)}:`,
  };
}

/**
 * @param {Profile} profile
 * @param {Message} message
 */
export function coveredComponents(profile, message) {
  if (!message.hasBody) return profile.components;
  return [...profile.components, ...profile.body_components.filter((name) => message.headers.has(name))];
}

/**
 * The inner list that is both the value of `Signature-Input` and the last line of the base.
 * @param {string[]} components
 * @param {Parameters} parameters
 */
export function signatureInput(components, { created, nonce, keyid, alg, tag }) {
  const names = components.map(quoted).join(' ');
  return (
    `(${names});created=${created};nonce=${quoted(nonce)}` +
    `;keyid=${quoted(keyid)};alg=${quoted(alg)};tag=${quoted(tag)}`
  );
}

/**
 * RFC 9421 section 2.5.
 * @param {Message} message
 * @param {string[]} components
 * @param {string} input
 */
export function signatureBase(message, components, input) {
  const lines = components.map((name) => `${quoted(name)}: ${componentValue(message, name)}`);
  return [...lines, `"@signature-params": ${input}`].join('\n');
}

/**
 * @param {Message} message
 * @param {string} name
 */
function componentValue({ method, url, headers }, name) {
  switch (name) {
    case '@method':
      return method;
    case '@authority':
      return url.host;
    case '@path':
      return url.pathname;
    case '@query':
      return url.search || '?';
    default:
      return fieldValue(headers, name);
  }
}

/**
 * @param {Headers} headers
 * @param {string} name
 */
function fieldValue(headers, name) {
  const value = name.startsWith('@') ? null : headers.get(name);
  if (value === null) throw new Error(`Portcullis: the gate wants ${name} signed, and the request has none`);
  return value;
}

/** A structured-field string (RFC 8941 section 3.3.3). @param {string} text */
function quoted(text) {
  return `"${text.replace(/["\\]/g, '\\$&')}"`;
}
