/** @param {ArrayBuffer | Uint8Array} buffer */
export function toBase64(buffer) {
  return btoa(String.fromCharCode(...new Uint8Array(buffer)));
}

/** base64url without padding (RFC 4648 section 5). @param {ArrayBuffer | Uint8Array} buffer */
export function toBase64Url(buffer) {
  return toBase64(buffer).replaceAll('+', '-').replaceAll('/', '_').replaceAll('=', '');
}

/** @param {string} text base64url, with or without padding */
export function fromBase64Url(text) {
  const binary = atob(text.replaceAll('-', '+').replaceAll('_', '/'));
  return Uint8Array.from(binary, (character) => character.charCodeAt(0));
}
