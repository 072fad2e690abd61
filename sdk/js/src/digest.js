import { toBase64 } from './encoding.js';

/**
 * The value of `Content-Digest` (RFC 9530) for these bytes.
 * @param {SubtleCrypto} subtle
 * @param {ArrayBuffer} bytes
 */
export async function contentDigest(subtle, bytes) {
  return `sha-256=:${toBase64(await subtle.digest('SHA-256', bytes))}:`;
}
