/**
 * Signs requests as RFC 9421 says, with the components that the gate's profile names.
 *
 * @typedef {{ method: string, url: URL, headers: Headers, hasBody: boolean }} Message
 * @typedef {Record<string, string | number>} Parameters in the order of the wire
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
  const { input, signature } = await sign(subtle, key, message, components, parameters);
  return {
    'signature-input': `${LABEL}=${input}`,
    signature: `${LABEL}=:${toBase64(signature)}:`,
  };
}

/**
 * @param {SubtleCrypto} subtle
 * @param {CryptoKey} key
 * @param {Message} message
 * @param {string[]} components
 * @param {Parameters} parameters
 */
export async function sign(subtle, key, message, components, parameters) {
  const input = signatureInput(components, parameters);
  const base = signatureBase(message, components, input);
  const way = { name: key.algorithm.name, hash: 'SHA-256' };
  return { input, signature: await subtle.sign(way, key, new TextEncoder().encode(base)) };
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
export function signatureInput(components, parameters) {
  const names = components.map(quoted).join(' ');
  const pairs = Object.entries(parameters).map(([name, value]) => {
    return `;${name}=${typeof value === 'number' ? value : quoted(value)}`;
  });
  return `(${names})${pairs.join('')}`;
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
  /** @type {Record<string, string>} */
  const derived = {
    '@method': method,
    '@authority': url.host,
    '@path': url.pathname,
    '@query': url.search || '?',
  };
  const value = name.startsWith('@') ? derived[name] : headers.get(name);
  if (typeof value === 'string') return value;
  throw new Error(`Portcullis: the gate wants ${name} signed; there is none`);
}

/** A structured-field string (RFC 8941 section 3.3.3). @param {string} text */
function quoted(text) {
  return `"${text.replace(/["\\]/g, '\\$&')}"`;
}
