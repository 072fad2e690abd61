/**
 * @typedef {import('./session.js').Session} Session
 * @typedef {import('./store.js').Store} Store
 */

import { Nonces } from './nonce.js';
import { PortcullisError } from './problem.js';

/** A session is replaced this many seconds before it ends, so that no call has to fail first. */
const MARGIN = 5;

/** Keeps the one session of a client; callers who come while it is being opened share it, and so do tabs. */
export class Sessions {
  #open;
  #clock;
  #store;
  #crypto;
  #closed = false;
  /** @type {Promise<Session> | undefined} */
  #opening;
  /** @type {Session | undefined} */
  #session;

  /**
   * @param {() => Promise<Session>} open
   * @param {{ clock: import('./clock.js').Clock, crypto: Crypto, store?: Store }} means without a store, a session is
   *   kept in memory
   */
  constructor(open, { clock, crypto, store }) {
    this.#open = open;
    this.#clock = clock;
    this.#crypto = crypto;
    this.#store = store;
  }

  /** @returns {Promise<Session>} */
  current() {
    if (this.#session && !this.#isFresh(this.#session)) this.#forget();
    this.#opening ??= this.#start();
    return this.#opening;
  }

  /**
   * A session other than `stale`. Of several calls that were refused together, the first obtains it.
   * @param {Session} stale
   */
  replace(stale) {
    if (this.#session === stale) {
      this.#forget();
      this.#opening = this.#start(stale);
    }
    return this.current();
  }

  /** Corrects the clock, also for the pages that will use this session. @param {number} serverTime */
  correctClock(serverTime) {
    this.#clock.correct(serverTime);
    if (this.#session) this.#keep(this.#session);
  }

  /** Forgets the session for good, and opens no other. */
  async close() {
    this.#closed = true;
    this.#forget();
    await this.#store?.remove();
  }

  #forget() {
    this.#session = undefined;
    this.#opening = undefined;
  }

  /** @param {Session} [stale] */
  #start(stale) {
    const opening = this.#obtain(stale);
    opening.then(
      (session) => {
        if (this.#opening === opening) this.#session = session;
      },
      () => {
        if (this.#opening === opening) this.#opening = undefined;
      },
    );
    return opening;
  }

  /** @param {Session} [stale] */
  async #obtain(stale) {
    if (this.#closed) throw new PortcullisError('closed', 'This client was closed.');
    if (!this.#store) return this.#open();
    return this.#store.exclusively(async () => (await this.#stored(stale)) ?? this.#openAndKeep());
  }

  /**
   * The session that another page left or another tab shares, unless it is the one to replace.
   * @param {Session} [stale]
   */
  async #stored(stale) {
    const found = await this.#store?.load();
    if (!found || found.id === stale?.id) return undefined;
    const { offset, ...session } = found;
    this.#clock.offset = offset;
    return this.#isFresh(session) ? { ...session, nonces: new Nonces(this.#crypto, false) } : undefined;
  }

  async #openAndKeep() {
    const session = await this.#open();
    await this.#keep(session);
    return session;
  }

  /** @param {Session} session */
  async #keep({ nonces: _, ...session }) {
    if (!this.#closed) await this.#store?.save({ ...session, offset: this.#clock.offset });
  }

  /** @param {{ expiresAt: number }} session */
  #isFresh({ expiresAt }) {
    return this.#clock.now() <= expiresAt - MARGIN;
  }
}
