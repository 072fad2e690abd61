/**
 * SHA-256 of messages that share a beginning, one after the other and synchronously. WebCrypto answers each message with a
 * promise, which costs ten times what the hash does.
 */

const INITIAL = new Int32Array(8);
const ROUND = new Int32Array(64);

/** The first 32 bits of the fraction, as FIPS 180-4 makes its constants from the roots of primes. @param {number} root */
const fraction = (root) => (root % 1) * 2 ** 32;

for (let candidate = 2, found = 0; found < 64; candidate += 1) {
  let divisor = 2;
  while (candidate % divisor) divisor += 1;
  if (divisor < candidate) continue;
  if (found < 8) INITIAL[found] = fraction(candidate ** (1 / 2));
  ROUND[found] = fraction(candidate ** (1 / 3));
  found += 1;
}

const words = new Int32Array(64);

/** @param {number} word @param {number} by */
const rotated = (word, by) => (word >>> by) | (word << (32 - by));

/**
 * Works one block of 64 bytes into the state.
 * @param {Int32Array} state
 * @param {Uint8Array} bytes
 * @param {number} start
 */
export function compress(state, bytes, start) {
  for (let i = 0, at = start; i < 16; i += 1, at += 4) {
    words[i] = (bytes[at] << 24) | (bytes[at + 1] << 16) | (bytes[at + 2] << 8) | bytes[at + 3];
  }
  for (let i = 16; i < 64; i += 1) {
    const early = words[i - 15];
    const late = words[i - 2];
    const first = rotated(early, 7) ^ rotated(early, 18) ^ (early >>> 3);
    const second = rotated(late, 17) ^ rotated(late, 19) ^ (late >>> 10);
    words[i] = words[i - 16] + first + words[i - 7] + second;
  }
  let [a, b, c, d, e, f, g, h] = state;
  for (let i = 0; i < 64; i += 1) {
    const chosen = (rotated(e, 6) ^ rotated(e, 11) ^ rotated(e, 25)) + ((e & f) ^ (~e & g));
    const one = (h + chosen + ROUND[i] + words[i]) | 0;
    const two = (rotated(a, 2) ^ rotated(a, 13) ^ rotated(a, 22)) + ((a & b) ^ (a & c) ^ (b & c));
    h = g;
    g = f;
    f = e;
    e = (d + one) | 0;
    d = c;
    c = b;
    b = a;
    a = (one + two) | 0;
  }
  state[0] += a;
  state[1] += b;
  state[2] += c;
  state[3] += d;
  state[4] += e;
  state[5] += f;
  state[6] += g;
  state[7] += h;
}

/**
 * Hashes ASCII texts that begin with `prefix`. The function that it makes takes the rest of the text and gives the eight
 * words of the hash, in an array that the next call overwrites.
 * @param {string} prefix
 */
export function hasherAfter(prefix) {
  const begun = INITIAL.slice();
  const whole = prefix.length - (prefix.length % 64);
  const start = prefix.length - whole;
  const block = new Uint8Array(128);
  write(block, prefix.slice(whole), 0);
  const ahead = new Uint8Array(whole);
  write(ahead, prefix, 0);
  for (let at = 0; at < whole; at += 64) compress(begun, ahead, at);
  const state = new Int32Array(8);

  return (/** @type {string} */ rest) => {
    state.set(begun);
    block.fill(0, start);
    write(block, rest, start);
    const end = start + rest.length;
    block[end] = 128;
    const size = end < 56 ? 64 : 128;
    const bits = 8 * (whole + end);
    block[size - 2] = bits >>> 8;
    block[size - 1] = bits;
    for (let at = 0; at < size; at += 64) compress(state, block, at);
    return state;
  };
}

/**
 * @param {Uint8Array} bytes
 * @param {string} text
 * @param {number} start
 */
function write(bytes, text, start) {
  for (let i = 0; i < text.length && start + i < bytes.length; i += 1) bytes[start + i] = text.charCodeAt(i);
}
