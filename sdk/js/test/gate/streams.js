import { randomBytes } from 'node:crypto';
import { Refused } from './refusal.js';

const LIVE = 8;
const WINDOW = 1024;

/** The nonces of one session (docs/protocol.md section 3), by plain sets instead of bitmaps. */
export class Streams {
  #live = new Map();
  #offered = new Set();
  #closedToOwn;
  #lastOffer;

  /** @param {boolean} complete whether every call of the session was seen */
  constructor(complete) {
    this.#closedToOwn = !complete;
  }

  accept({ stream, counter }) {
    const seen = this.#live.get(stream) ?? this.#open(stream);
    const highest = Math.max(...seen, -1);
    if (seen.has(counter) || counter <= highest - WINDOW) throw new Refused('nonce-reused');
    seen.add(counter);
    this.#live.delete(stream);
    this.#live.set(stream, seen);
  }

  /** @param {boolean} again whether to repeat the offer before, as a gate may that is asked twice in an instant */
  offer(again) {
    if (!again || !this.#lastOffer) this.#lastOffer = `~${randomBytes(18).toString('base64url')}`;
    this.#offered.add(this.#lastOffer);
    return `${this.#lastOffer}.0`;
  }

  get size() {
    return this.#live.size;
  }

  #open(stream) {
    const known = stream.startsWith('~') ? this.#offered.delete(stream) : !this.#closedToOwn;
    if (!known) throw new Refused('fresh-nonce-required');
    if (this.#live.size === LIVE) this.#dropIdlest();
    const seen = new Set();
    this.#live.set(stream, seen);
    return seen;
  }

  #dropIdlest() {
    this.#live.delete(this.#live.keys().next().value);
    this.#closedToOwn = true;
    this.#offered.clear();
  }
}
