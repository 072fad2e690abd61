/** @typedef {import('./session.js').Session} Session */

/** A session is replaced this many seconds before it ends, so that no call has to fail first. */
const MARGIN = 5;

/** Keeps the one session of a client; callers who come while it is being opened share it. */
export class Sessions {
  #open;
  #clock;
  /** @type {Promise<Session> | undefined} */
  #opening;
  /** @type {Session | undefined} */
  #session;

  /**
   * @param {() => Promise<Session>} open
   * @param {import('./clock.js').Clock} clock
   */
  constructor(open, clock) {
    this.#open = open;
    this.#clock = clock;
  }

  /** @returns {Promise<Session>} */
  current() {
    if (this.#session && this.#clock.now() > this.#session.expiresAt - MARGIN) this.forget();
    this.#opening ??= this.#start();
    return this.#opening;
  }

  /**
   * A session other than `stale`. Of several calls that were refused together, the first opens it.
   * @param {Session} stale
   */
  replace(stale) {
    if (this.#session === stale) this.forget();
    return this.current();
  }

  forget() {
    this.#session = undefined;
    this.#opening = undefined;
  }

  #start() {
    const opening = this.#open();
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
}
